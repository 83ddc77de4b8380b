"""A verdict under an authority of one's own, as people type it: exported with its chain, trusted by name."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from own_authority import NAME, Holder, Wanted, certify, leaf, root
from refute.attest import public_pem
from refute.attest.sigstore_bundle import read_sigstore_bundle
from refute.errors import SpecError
from refute.judge.sign import Judged
from refute.spec.policy import load_policy
from timestamp_authority import Authority

if TYPE_CHECKING:
    from tests.conftest import Cli, Ended

pytestmark = pytest.mark.slow

TOP = root()
ISSUING = certify(Wanted(), TOP)


@dataclass(frozen=True)
class Organisation:
    """A verdict that somebody of an organisation countersigned, in a folder with its root as ca.pem."""

    judged: Judged
    folder: Path
    cli: Cli

    def sign(self, signer: Holder) -> Ended:
        """`refute countersign`, then `refute export --certificate`."""
        raw = signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        files = {"job.key": raw, "job.pub": public_pem(signer.key), "chain.pem": signer.pem + ISSUING.pem}
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        (self.folder / "job.key").chmod(0o600)
        by = ("--key", self.folder / "job.key", "--verdict-key", self.judged.files.key)
        assert self.cli("countersign", self.judged.path, *by).returncode == 0
        return self.export("job")

    def export(self, key: str) -> Ended:
        """The bundle, verified by the key of that name."""
        chain = ("--certificate", self.folder / "chain.pem")
        return self.cli("export", self.judged.path, "--key", self.folder / f"{key}.pub", *chain)

    @property
    def bundle(self) -> Path:
        """What was exported."""
        return self.judged.path.with_name("verdict.sigstore.json")

    def verify(self, *options: object, name: str = NAME) -> Ended:
        """`refute verify` of it by name."""
        asked = ("--identity", name, "--ca", self.folder / "ca.pem")
        return self.cli("verify", self.bundle, *asked, *options)

    def policy(self, *clocks: Path, **changes: object) -> Path:
        """A policy that names the operator so, and whose clocks are trusted."""
        somebody = {"name": "job", "identity": NAME, "ca": [{"path": "ca.pem"}], **changes}
        content = {
            "roles": {"operator": {"identities": [somebody]}},
            "require_lock": False,
            "require_remeasured": False,
        }
        content["timestamp_roots"] = [{"path": str(each)} for each in clocks]
        path = self.folder / "policy.yaml"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path


@pytest.fixture
def organisation(judged: Judged, cli: Cli, tmp_path: Path) -> Organisation:
    """Before anybody of it signed."""
    (tmp_path / "ca.pem").write_bytes(TOP.pem)
    (tmp_path / "first.pub").write_bytes(judged.files.key.read_bytes())
    return Organisation(judged, tmp_path, cli)


def test_the_name_and_the_authority_are_enough(organisation: Organisation) -> None:
    """On the command line and in a policy; another name, another root, and the envelope alone are not."""
    signer = certify(leaf(), ISSUING)
    assert organisation.sign(signer).returncode == 0
    assert read_sigstore_bundle(organisation.bundle.read_bytes()).certificates == (signer.der, ISSUING.der)
    assert organisation.verify().returncode == 0
    ended = organisation.cli("verify", organisation.bundle, "--policy", organisation.policy())
    assert (ended.returncode, "signed as operator by job" in ended.stdout) == (0, True), ended.stderr
    assert organisation.verify(name=f"{NAME}x").returncode == 4
    for path in (organisation.judged.path, organisation.bundle):
        other = organisation.policy(identity=f"{NAME}/fork")
        assert organisation.cli("verify", path, "--policy", other).returncode == 4
    (organisation.folder / "ca.pem").write_bytes(root("Another").pem)
    ended = organisation.verify("--json")
    assert (ended.returncode, json.loads(ended.stdout)["cause"]) == (4, "signature")


def test_a_chain_is_exported_with_the_signature_of_its_own_key(organisation: Organisation) -> None:
    """Not with the first key's; and where that key did not sign, nothing is written."""
    assert organisation.sign(certify(leaf(), ISSUING)).returncode == 0
    organisation.bundle.unlink()
    assert organisation.export("first").returncode == 0
    assert organisation.verify().returncode == 0
    organisation.bundle.unlink()
    (organisation.folder / "chain.pem").write_bytes(certify(leaf(), ISSUING).pem)
    ended = organisation.export("first")
    assert (ended.returncode, "did not sign this verdict" in ended.stderr) == (2, True)
    assert not organisation.bundle.exists()


def flipped(text: str) -> str:
    """Base64 with another byte in the middle."""
    raw = bytearray(base64.b64decode(text))
    raw[len(raw) // 2] ^= 1
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize("changed", ["signature", "payload", "certificate"])
def test_whatever_is_changed_in_it_is_noticed(organisation: Organisation, changed: str) -> None:
    """Another's certificate for the same name, too: its key did not sign this."""
    assert organisation.sign(certify(leaf(), ISSUING)).returncode == 0
    content = json.loads(organisation.bundle.read_bytes())
    envelope, material = content["dsseEnvelope"], content["verificationMaterial"]
    if changed == "signature":
        envelope["signatures"][0]["sig"] = flipped(envelope["signatures"][0]["sig"])
    elif changed == "payload":
        envelope["payload"] = flipped(envelope["payload"])
    else:
        twin = base64.b64encode(certify(leaf(), ISSUING).der).decode()
        material["x509CertificateChain"]["certificates"][0]["rawBytes"] = twin
    organisation.bundle.write_text(json.dumps(content), encoding="utf-8")
    assert organisation.verify().returncode == 4


def stamped(organisation: Organisation, moment: datetime) -> Path:
    """The bundle with the answer of an authority whose clock says `moment`; its root."""
    authority = Authority(clock=lambda: moment)
    content = json.loads(organisation.bundle.read_bytes())
    signature = base64.b64decode(content["dsseEnvelope"]["signatures"][0]["sig"])
    answer = base64.b64encode(authority.stamp(hashlib.sha256(signature).digest())).decode()
    stamps = {"rfc3161Timestamps": [{"signedTimestamp": answer}]}
    content["verificationMaterial"]["timestampVerificationData"] = stamps
    organisation.bundle.write_text(json.dumps(content), encoding="utf-8")
    path = organisation.folder / "clock.pem"
    path.write_bytes(authority.root_pem)
    return path


def test_a_certificate_that_ended_since_needs_a_clock_that_is_not_the_signers(organisation: Organisation) -> None:
    """It was valid when it signed: that is the signer's word, until an authority bears it out."""
    judged_at = organisation.judged.predicate.evaluated_at
    moment = datetime.fromisoformat(judged_at)
    short = leaf(begins=moment - timedelta(hours=1), ends=moment + timedelta(seconds=30))
    assert organisation.sign(certify(short, ISSUING)).returncode == 0
    later = ("--at", (moment + timedelta(hours=1)).isoformat())
    assert organisation.verify(*later).returncode == 4
    under_policy = ("verify", organisation.bundle, *later, "--policy")
    clock = stamped(organisation, moment + timedelta(seconds=10))
    assert organisation.verify(*later).returncode == 4  # nobody was named who is trusted for the time
    seen = organisation.cli(*under_policy, organisation.policy(clock))
    assert seen.returncode == 0, seen.stderr
    late = stamped(organisation, moment + timedelta(minutes=2))
    refused = organisation.cli(*under_policy, organisation.policy(late))
    assert (refused.returncode, "not valid at validation time" in refused.stderr) == (4, True)


def test_a_certificate_younger_than_the_verdict_is_none(organisation: Organisation) -> None:
    """What it signed it signed before it was certified, says the verdict; or the verdict was dated back."""
    moment = datetime.fromisoformat(organisation.judged.predicate.evaluated_at)
    young = leaf(begins=moment + timedelta(minutes=1))
    assert organisation.sign(certify(young, ISSUING)).returncode == 0
    assert organisation.verify("--at", (moment + timedelta(hours=1)).isoformat()).returncode == 4


@pytest.mark.parametrize("twice", ["name", "mail", "key"])
def test_one_signature_is_one_however_often_its_signer_is_named(organisation: Organisation, twice: str) -> None:
    """Under both names of a certificate, under one name twice, or by its key as well: a threshold of two is not met."""
    names = (x509.UniformResourceIdentifier(NAME), x509.RFC822Name("job@example.com"))
    assert organisation.sign(certify(leaf(names=names), ISSUING)).returncode == 0
    path = organisation.policy()
    content = json.loads(path.read_text(encoding="utf-8"))
    (operator,) = content["roles"].values()
    if twice == "key":
        operator["keys"] = [{"name": "the same", "path": "job.pub"}]
    else:
        second = {"name": NAME, "mail": "job@example.com"}[twice]
        operator["identities"].append({**operator["identities"][0], "name": "other", "identity": second})
    for threshold, status in ((1, 0), (2, 4)):
        path.write_text(json.dumps({**content, "roles": {"operator": {**operator, "threshold": threshold}}}))
        assert organisation.cli("verify", organisation.bundle, "--policy", path).returncode == status


def test_two_who_vouch_or_none_is_a_wrong_call(organisation: Organisation) -> None:
    """And so is an authority without a name; a policy says where."""
    assert organisation.sign(certify(leaf(), ISSUING)).returncode == 0
    ca = organisation.folder / "ca.pem"
    for asked in (
        ("--identity", NAME),
        ("--ca", ca),
        ("--identity", NAME, "--ca", ca, "--issuer", "https://issuer.example"),
        ("--identity", NAME, "--ca", organisation.folder / "job.pub"),
        ("--identity", NAME, "--ca", organisation.folder / "absent.pem"),
    ):
        assert organisation.cli("verify", organisation.bundle, *asked).returncode == 2, asked
    broken: list[Callable[[], Path]] = [
        lambda: organisation.policy(issuer="https://issuer.example"),
        lambda: organisation.policy(ca=[]),
        lambda: organisation.policy(trusted_root="root.json"),
        lambda: organisation.policy(ca=[{"path": "job.pub"}]),
        lambda: organisation.policy(ca=[{"pem": certify(leaf(), ISSUING).pem.decode()}]),
        lambda: organisation.policy(ca=[{"path": "absent.pem"}]),
    ]
    for make in broken:
        with pytest.raises(SpecError):
            load_policy(make())
        assert (
            organisation.cli("verify", organisation.bundle, "--policy", organisation.folder / "policy.yaml").returncode
            == 2
        )
