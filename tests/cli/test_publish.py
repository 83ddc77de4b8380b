"""`refute publish stage` and `push`: a judged run goes to a hub, with its verdict, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from huggingface_hub import constants, snapshot_download

from refute.attest import (
    generate_key,
    hash_model,
    load_private_key,
    manifest_of_digests,
    read_model_signature,
    write_model_signature,
)
from refute.cli.publish.judged import LOOKED_AT
from refute.disk import file_sha256
from refute.engines.publish.manifest import hashed, write_manifest
from refute.engines.publish.rehearsal.faults import ALWAYS, Fault
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.folder import RunFolder
from refute.spec.policy import load_policy
from staged_run import PUBLICATION, TOKEN, open_hub, staged_run

if TYPE_CHECKING:
    from tests.conftest import Cli

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that was judged GO."""
    return staged_run(tmp_path_factory.mktemp("run"))


def staged(cli: Cli, run: RunFolder, out: Path) -> Path:
    """The run's release, laid out."""
    assert cli("publish", "stage", run.path, "--out", out).returncode == 0
    return out


def test_a_judged_run_is_published_once(cli: Cli, run: RunFolder, tmp_path: Path) -> None:
    """Staged with its verdict, pushed, pushed again: main and tag hold just that, in one commit; no token is shown."""
    place = staged(cli, run, tmp_path / "staged")
    with open_hub(tmp_path / "hub") as hub:
        first, again = (cli("publish", "push", place, "--json") for _ in range(2))
    assert (first.returncode, again.returncode, again.stdout) == (0, 0, first.stdout), first.stderr
    found = json.loads(first.stdout)
    held = hub.repositories["org/tiny"]
    assert held.tags == {found["tag"]: found["commit"]}
    assert held.branches["main"] == found["main"]
    names = {*(path.name for path in (place / "release").iterdir())}
    assert {"verdict.sigstore.json", "README.md", "model.safetensors"} == names - {"config.json"}
    assert held.at("main").tree.keys() - {".gitattributes"} == names
    assert len(held.history("main")) == 2
    bundle = place / "release/verdict.sigstore.json"
    assert cli("verify", bundle, "--key", place / "verifier.pem", "--require", "GO").returncode == 0
    assert TOKEN not in first.stdout + first.stderr


def test_the_release_file_names_its_newest_run(cli: Cli, run: RunFolder, tmp_path: Path) -> None:
    """And the folder that is made says of itself what was pushed."""
    root = run.path.parents[1]
    ended = cli("publish", "stage", root / "release.yaml", "--refute-dir", root, "--out", tmp_path / "s", "--json")
    assert json.loads(ended.stdout)["ruling"] == "GO"
    assert cli("publish", "stage", run.path, "--out", tmp_path / "s").returncode == 2  # never over what is there


def test_a_dry_run_asks_nobody(cli: Cli, run: RunFolder, tmp_path: Path) -> None:
    """It says what would be done, to the name of the tag."""
    place = staged(cli, run, tmp_path / "staged")
    with open_hub(tmp_path / "hub") as hub:
        ended = cli("publish", "push", place, "--dry-run", "--to", "other/name", "--json")
    assert (ended.returncode, hub.faults.asked) == (0, {})
    assert json.loads(ended.stdout)["repo"] == "other/name"


def test_a_signature_for_other_readers_goes_with_it(cli: Cli, run: RunFolder, tmp_path: Path) -> None:
    """On every file but itself and the verdict; one that is about other files is not published."""
    key = tmp_path / "model.key"
    key.write_bytes(ec_key())
    key.chmod(0o600)
    place = tmp_path / "staged"
    assert cli("publish", "stage", run.path, "--out", place, "--model-key", key).returncode == 0
    held = {path.name for path in (place / "release").iterdir()}
    signed = read_model_signature((place / "release/model.sig").read_bytes())
    assert held - set(signed[1].as_mapping()) == {"model.sig", "verdict.sigstore.json"}
    assert signed[0] == hash_model(place / "release").root_digest
    assert cli("publish", "push", place, "--dry-run").returncode == 0
    for fault in (lambda place: sign_otherwise(place, key), lambda place: (place / "model.sig").write_bytes(b"{}")):
        fault(place / "release")
        files = [hashed(path, path.name, "stage") for path in (place / "release").iterdir()]
        write_manifest(place, files)
        assert cli("publish", "push", place, "--dry-run").returncode == 4


def ec_key() -> bytes:
    """A private key on P-256."""
    form = serialization.PrivateFormat.PKCS8
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, form, serialization.NoEncryption()
    )


def sign_otherwise(folder: Path, key: Path) -> None:
    """A signature of the same key about one file less."""
    digests = {path.name: file_sha256(path) for path in folder.iterdir() if path.name != "README.md"}
    made = write_model_signature(manifest_of_digests(digests, folder), "x", (), load_private_key(key))
    (folder / "model.sig").write_bytes(made)


def test_a_key_that_no_reader_knows_signs_nothing(cli: Cli, run: RunFolder, tmp_path: Path) -> None:
    """Ed25519 is not of the format."""
    key = generate_key(tmp_path / "keys", "own").private
    ended = cli("publish", "stage", run.path, "--out", tmp_path / "staged", "--model-key", key)
    assert (ended.returncode, "expected ECDSA on P-256" in " ".join(ended.stderr.split())) == (2, True)


@pytest.mark.parametrize("path", ["README.md", "model.safetensors", "verdict.sigstore.json", "added.txt"])
def test_what_was_changed_after_the_verdict_is_not_published(
    cli: Cli, run: RunFolder, tmp_path: Path, path: str
) -> None:
    """Whatever file it is, nobody is asked for anything."""
    place = staged(cli, run, tmp_path / "staged")
    with (place / "release" / path).open("ab") as file:
        file.write(b"!")
    with open_hub(tmp_path / "hub") as hub:
        ended = cli("publish", "push", place)
    assert (ended.returncode, hub.faults.asked) == (4, {}), ended.stderr


def test_a_manifest_that_was_changed_too_does_not_help(cli: Cli, run: RunFolder, tmp_path: Path) -> None:
    """The verdict says which files were judged."""
    from refute.engines.publish.manifest import add_text
    from refute.engines.publish.push import StagedRelease

    place = staged(cli, run, tmp_path / "staged")
    files = [each for each in StagedRelease.read(place).files if each.path != "config.json"]
    write_manifest(place, [*files, add_text("[]", place / "release", "config.json")])
    ended = cli("publish", "push", place, "--dry-run")
    assert (ended.returncode, "the verdict is about" in " ".join(ended.stderr.split())) == (4, True), ended.stderr


def test_a_refuted_release_is_not_published_by_default(cli: Cli, tmp_path: Path) -> None:
    """It may be staged, for people to look at."""
    place = staged(cli, staged_run(tmp_path, right=40), tmp_path / "staged")
    ended = cli("publish", "push", place, "--dry-run")
    assert (ended.returncode, "NO-GO" in ended.stderr) == (1, True)
    assert cli("publish", "push", place, "--dry-run", "--accept-no-go").returncode == 0


@pytest.mark.parametrize("severity", ["block", "warn"])
def test_a_go_on_something_else_is_not_published(cli: Cli, tmp_path: Path, severity: str) -> None:
    """Nothing could refute its card, or all of it: no option says that this is well, and no name of a specification."""
    looked_at = [name for name in LOOKED_AT if severity == "warn" or name != "publication-card"]
    place = staged(cli, staged_run(tmp_path, looked_at=looked_at, severity=severity), tmp_path / "staged")
    unseen = "staged files, kinds of files, card, licence" if severity == "warn" else "card"
    for accepted in ((), ("--accept-warn", "--accept-no-go")):
        ended = cli("publish", "push", place, *accepted)
        said = f"judged by nothing that could refute its {unseen}"
        assert (ended.returncode, said in " ".join(ended.stderr.split())) == (1, True), ended.stderr


def test_a_rehearsal_goes_to_no_hub(cli: Cli, tmp_path: Path) -> None:
    """Its release does not say who may read it, and its card names no repository: naming one now is too late."""
    rehearsed = PUBLICATION.replace("hub: { repo: org/tiny }", "rehearsal: true")
    place = staged(cli, staged_run(tmp_path, publication=rehearsed), tmp_path / "staged")
    with open_hub(tmp_path / "hub") as hub:
        for named in ((), ("--to", "org/tiny")):
            ended = cli("publish", "push", place, *named)
            assert (ended.returncode, "is a rehearsal" in " ".join(ended.stderr.split())) == (1, True), ended.stderr
    assert hub.faults.asked == {}


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Fault("refs", "status", 401, times=ALWAYS), 7), (Fault("lfs_get", "corrupt"), 4)],
    ids=str,
)
def test_the_status_says_what_came_of_it(cli: Cli, run: RunFolder, tmp_path: Path, fault: Fault, status: int) -> None:
    """And that the hub holds nothing where anybody looks."""
    place = staged(cli, run, tmp_path / "staged")
    with open_hub(tmp_path / "hub", fault) as hub:
        ended = cli("publish", "push", place)
    assert ended.returncode == status, ended.stderr
    assert hub.repositories["org/tiny"].tags == {}
    assert TOKEN not in ended.stdout + ended.stderr


def test_what_others_have_put_there_is_not_replaced(cli: Cli, run: RunFolder, tmp_path: Path) -> None:
    """A person must look: 1."""
    place = staged(cli, run, tmp_path / "staged")
    with open_hub(tmp_path / "hub") as hub:
        theirs = hub.repositories["org/tiny"] = hub.storage.begin()
        hub.storage.commit(theirs, "main", "theirs", {"theirs.txt": hub.storage.regular(b"?")}, None)
        ended = cli("publish", "push", place)
    assert (ended.returncode, "theirs.txt" in ended.stderr, len(theirs.commits)) == (1, True, 2)


def test_a_run_that_staged_nothing_says_so(cli: Cli, place: object) -> None:
    """By what to do next."""
    ended = cli("publish", "stage", place.verdicts[0].parent)  # type: ignore[attr-defined]  # every_command.Place
    assert (ended.returncode, "has staged nothing" in ended.stderr) == (2, True)


def test_push_says_whom_the_policy_still_waits_for(cli: Cli, tmp_path: Path) -> None:
    """The policy that was signed with the verdict demands a consumer, who can begin once the release is there."""
    run = staged_run(tmp_path)
    generate_key(tmp_path / "keys", "ann")
    (tmp_path / "policy.yaml").write_text("roles: {consumer: {keys: [{name: Ann, path: keys/ann.pub}]}}\n")
    key = load_private_key(tmp_path / "keys/gate.key")
    judge_run(run, Operator(key, development=False, policy=load_policy(tmp_path / "policy.yaml")))
    place = staged(cli, run, tmp_path / "laid-out")
    shown = cli("publish", "push", place, "--dry-run")
    assert (shown.returncode, "demands 1 independent consumers: refute consume" in shown.stdout) == (0, True)
    found = json.loads(cli("publish", "push", place, "--dry-run", "--json").stdout)
    assert found["consumers_required"] == 1


def test_a_consumer_finds_the_verdict_in_the_pulled_commit(
    cli: Cli, run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the hub's own cache, which holds links; the statement goes where the consumer is, and not in there."""
    place = staged(cli, run, tmp_path / "staged")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with open_hub(tmp_path / "hub") as hub:
        commit = json.loads(cli("publish", "push", place, "--json").stdout)["main"]
        snapshot_download("org/tiny", revision=commit, endpoint=hub.api, token=TOKEN, cache_dir=tmp_path / "cache")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # what is there is taken
    key, public = generate_key(tmp_path / "keys", "ann").private, place / "verifier.pem"
    named = f"hub:org/tiny@{commit}"
    ended = cli("consume", named, "--verdict-key", public, "--key", key, "--withdraw", "--note", "no")
    assert (ended.returncode, len(list(tmp_path.glob("consumer-*-withdrawn.sigstore.json")))) == (0, 1), ended.stderr
