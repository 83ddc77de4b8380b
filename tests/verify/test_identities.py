"""A verdict signed again by identity, as people type it: who is trusted is a name and whoever vouches for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refute.attest import generate_key
from refute.errors import SpecError
from refute.judge.sign import Judged
from refute.spec.policy import load_policy
from sigstore_services import ISSUER, Services, serving, token

if TYPE_CHECKING:
    from tests.conftest import Cli, Ended

pytestmark = pytest.mark.slow

NAME = "https://ci.example/org/small/release.yml@refs/heads/main"


@dataclass(frozen=True)
class Published:
    """A verdict, its bundle signed by the identity NAME, and the trusted root that its services are under."""

    judged: Judged
    bundle: Path
    root: Path
    cli: Cli

    def verify(self, *options: object, path: Path | None = None) -> Ended:
        """`refute verify` of the bundle, or of another file."""
        return self.cli("verify", path or self.bundle, *options)

    def policy(self, **changes: object) -> Path:
        """A policy that names the operator by identity."""
        somebody = {"name": "job", "identity": NAME, "issuer": ISSUER, "trusted_root": self.root.name, **changes}
        content = {
            "roles": {"operator": {"identities": [somebody]}},
            "require_lock": False,
            "require_remeasured": False,
        }
        path = self.root.with_name("policy.yaml")
        path.write_text(json.dumps(content), encoding="utf-8")
        return path


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    """Fulcio and Rekor on loopback."""
    with serving(Services()) as started:
        yield started


@pytest.fixture
def published(judged: Judged, services: Services, cli: Cli, tmp_path: Path) -> Published:
    """`refute export --keyless`."""
    config, root = services.write(tmp_path)
    (tmp_path / "token").write_text(token(NAME) + "\n", encoding="utf-8")
    signing = ("--keyless", "--identity-token", tmp_path / "token", "--trust-config", config)
    ended = cli("export", judged.path, "--key", judged.files.key, *signing)
    assert ended.returncode == 0, ended.stderr
    return Published(judged, judged.path.with_name("verdict.sigstore.json"), root, cli)


def test_the_identity_is_enough(published: Published) -> None:
    """Its signature is over the same payload; the key that the judge signed by did not sign this file, and is named."""
    asked = ("--identity", NAME, "--issuer", ISSUER, "--trusted-root", published.root)
    ended = published.verify(*asked, "--json")
    assert ended.returncode == 0, ended.stderr
    shown = json.loads(ended.stdout)
    assert shown["payload_sha256"] == published.judged.payload_sha256
    assert any("is not among the keys given" in check for check in shown["checks"])
    assert published.verify(*asked, path=published.judged.path).returncode == 4
    assert published.verify("--key", published.judged.files.key).returncode == 4


@pytest.mark.parametrize(("name", "issuer"), [("https://ci.example/fork", ISSUER), (NAME, "https://other.example")])
def test_another_identity_is_not(published: Published, name: str, issuer: str) -> None:
    """Nor the same name at another issuer."""
    ended = published.verify("--identity", name, "--issuer", issuer, "--trusted-root", published.root, "--json")
    assert (ended.returncode, json.loads(ended.stdout)["cause"]) == (4, "signature")


def test_half_of_what_an_identity_is_was_called_wrongly(published: Published) -> None:
    """Without the issuer anybody is meant."""
    for asked in (("--identity", NAME), ("--issuer", ISSUER), ("--trusted-root", published.root)):
        assert published.verify(*asked).returncode == 2


def test_a_policy_names_an_operator_by_identity(published: Published) -> None:
    """The role is filled by whoever the certificate names; the envelope alone has none."""
    ended = published.verify("--policy", published.policy())
    assert (ended.returncode, "signed as operator by job" in ended.stdout) == (0, True), ended.stderr
    assert published.verify("--policy", published.policy(), path=published.judged.path).returncode == 4
    for other in ({"identity": "https://ci.example/fork"}, {"issuer": "https://other.example"}):
        assert published.verify("--policy", published.policy(**other)).returncode == 4
    assert published.verify("--policy", published.policy(trusted_root="absent.json")).returncode == 2


def test_who_trusts_an_identity_signs_off_and_hands_on_what_it_signed(published: Published, tmp_path: Path) -> None:
    """Under the policy alone; the bundle that is handed on keeps its certificate: without it nobody could verify it."""
    generate_key(tmp_path, "ann")
    content = json.loads(published.policy().read_text(encoding="utf-8"))
    content["roles"]["owner"] = {"keys": [{"name": "Ann", "path": "ann.pub"}]}
    policy = tmp_path / "reviewed.yaml"
    policy.write_text(json.dumps(content), encoding="utf-8")
    by = ("--role", "owner", "--decision", "approve", "--note", "looked", "--key", tmp_path / "ann.key")
    ended = published.cli("sign-off", published.bundle, *by, "--policy", policy)
    assert ended.returncode == 0, ended.stderr
    assert published.verify("--policy", policy).returncode == 0
    (tmp_path / "handed").mkdir()
    ended = published.cli("export", published.bundle, "--policy", policy, "--out", tmp_path / "handed")
    assert ended.returncode == 0, ended.stderr
    (handed,) = (tmp_path / "handed").iterdir()
    assert handed.read_bytes() == published.bundle.read_bytes()
    assert published.cli("export", published.judged.path, "--policy", policy).returncode == 4


def test_of_many_verdicts_an_identitys_counts(published: Published) -> None:
    """The bundle that it signed; what lies beside it was signed by a key, which the policy does not name."""
    digest = published.judged.predicate.subject.sha256
    asked = ("latest", published.bundle.parent, "--subject", digest, "--json", "--policy")
    ended = published.cli(*asked, published.policy())
    assert (ended.returncode, json.loads(ended.stdout)["path"]) == (0, str(published.bundle)), ended.stderr
    assert published.cli(*asked, published.policy(issuer="https://other.example")).returncode == 4


def test_a_threshold_counts_identities_and_reviewers_have_keys(tmp_path: Path) -> None:
    """What can never be met, and what is not supported, are faults of the policy."""
    somebody = {"name": "job", "identity": NAME, "issuer": ISSUER}
    path = tmp_path / "policy.yaml"

    def policy(role: str, threshold: int) -> None:
        roles = {role: {"identities": [somebody], "threshold": threshold}}
        path.write_text(json.dumps({"roles": roles}), encoding="utf-8")
        load_policy(path)

    policy("operator", 1)
    with pytest.raises(SpecError, match="a threshold of 2 cannot be met with 1"):
        policy("operator", 2)
    with pytest.raises(SpecError, match="who reviews or uses has a key of their own"):
        policy("owner", 1)
