"""What was promised before a run is held against the run: every way of moving the bar afterwards ends in NO-GO."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from refute.attest import (
    PAYLOAD_TYPE,
    build_statement,
    envelope_signatures,
    generate_key,
    load_private_key,
    sign_envelope,
)
from refute.attest.timestamp import request_timestamp
from refute.errors import VerificationError
from refute.lock.file import read_lock, sign_lock
from refute.lock.model import Lock
from refute.lock.state import LockState
from refute.verify.verification import verify_verdict
from timestamp_authority import Authority, serving

if TYPE_CHECKING:
    from tests.conftest import Cli
    from tests.gate.conftest import Ended, Repo

    from refute.judge.predicate.model import Predicate
from refute.judge.run.verdict_files import files_of, verdicts_in

pytestmark = pytest.mark.exhaustive

Json = dict[str, Any]
LOCK = "specs/releases/example.lock.intoto.json"
SECOND = """\
spec: SPEC-SECOND-001
version: 1
title: A second promise
criteria:
  - id: AC-SECOND-001
    title: It answers
    statement: No question is left without an answer.
    severity: block
    phase: 2
    falsifiers:
      - {id: F-SECOND-001, uses: answers-complete, thresholds: {missing: {holds_if: "== 0 answers"}}}
"""


@dataclass(frozen=True, slots=True)
class Locked:
    """A repository that was locked and then gated, honestly: look, do not touch."""

    repo: Repo
    ended: Ended


@pytest.fixture(scope="module")
def kept(new_repo: Callable[[], Repo]) -> Locked:
    """One honest run under a lock."""
    repo = new_repo()
    repo.write("specs/second.yaml", SECOND)
    assert repo.python("-P", "-m", "refute", "lock").returncode == 0
    return Locked(repo, repo.gate())


@pytest.fixture
def copy(kept: Locked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A copy of it with the same keys and its lock, at a place of its own; its run is not judged yet."""
    from tests.gate.conftest import Repo

    monkeypatch.setenv("REFUTE_KEYS", str(kept.repo.keys))
    copy = Repo(tmp_path / "copy", kept.repo.keys)
    shutil.copytree(kept.repo.path, copy.path, symlinks=True)
    for name in ("run.json", "evidence.jsonl"):
        text = (copy.run / name).read_text(encoding="utf-8").replace(str(kept.repo.path), str(copy.path))
        (copy.run / name).write_text(text, encoding="utf-8")
    (copy.run / "verdict.intoto.json").unlink()
    return copy


def latest(repo: Repo) -> Predicate:
    """The newest verdict, verified, which judges it again."""
    newest = verdicts_in(repo.run)[-1]
    return verify_verdict(newest.verdict.read_bytes(), [newest.key.read_bytes()]).predicate


def test_an_honest_run_under_a_lock_is_go_and_says_so(kept: Locked) -> None:
    """Nothing changed: GO, with the lock's payload digest and the key that signed it in the signed predicate."""
    found = latest(kept.repo)
    key = (kept.repo.keys / "development.pub").read_bytes()
    signed = read_lock((kept.repo.path / LOCK).read_bytes(), [key])
    registered = found.verdict.preregistration
    assert (found.verdict.ruling, registered.state, registered.changes) == ("GO", LockState.HELD, ())
    assert (registered.lock_sha256, registered.key_id) == (signed.payload_sha256, signed.key_id)
    assert "Pre-registered, and the run kept to it" in kept.ended.stdout


def test_an_authority_says_that_the_lock_was_there_before_the_run(new_repo: Callable[[], Repo], cli: Cli) -> None:
    """Its answer travels in the verdict, and only an authority of the reader's choice, and a moment before, will do."""
    repo, honest, late = new_repo(), Authority(), Authority(clock=lambda: datetime.now(UTC) + timedelta(days=1))
    found = {}
    for name, authority in (("honest", honest), ("late", late)):
        with serving(authority.answer) as url:
            ended = repo.python("-P", "-m", "refute", "lock", "--timestamp", url, "--json")
        assert json.loads(ended.stdout)["timestamp"] == f"{LOCK}.tsr", ended.stderr
        assert repo.gate().returncode == 0
        verdict, key = repo.run / "verdict.intoto.json", repo.run / "verifier.pem"
        (signature,) = envelope_signatures(verdict.read_bytes(), [key.read_bytes()]).values()
        with serving(authority.answer) as url:
            files_of(verdict).timestamp.write_bytes(request_timestamp(url, signature))
        for root in ("honest", "late") if name == "honest" else ("late",):
            pem = repo.path / f"{root}.pem"
            pem.write_bytes((honest if root == "honest" else late).root_pem)
            found[name, root] = cli("verify", verdict, "--key", key, "--timestamp-root", pem)
    assert "the lock was seen at" in found["honest", "honest"].stdout
    assert {pair: ended.returncode for pair, ended in found.items()} == {
        ("honest", "honest"): 0,
        ("honest", "late"): 4,
        ("late", "late"): 4,
    }
    assert "no authority under the given roots" in found["honest", "late"].stderr
    assert "after the run began" in found["late", "late"].stderr


def test_a_timestamp_that_is_demanded_must_be_there(kept: Locked, honest: Any, cli: Cli) -> None:
    """Neither a lock without one nor no lock at all will do."""
    (kept.repo.path / "root.pem").write_bytes(Authority().root_pem)
    for repo, message in ((kept.repo, "the lock has no timestamp"), (honest.repo, "the run was not pre-registered")):
        files = (repo.run / "verdict.intoto.json", "--key", repo.run / "verifier.pem")
        ended = cli("verify", *files, "--timestamp-root", kept.repo.path / "root.pem")
        assert (ended.returncode, message in ended.stderr) == (4, True), ended.stderr


def test_a_new_lock_drops_the_timestamp_of_the_old_one(new_repo: Callable[[], Repo]) -> None:
    """What an authority saw is not what lies there now."""
    repo = new_repo()
    with serving(Authority().answer) as url:
        assert repo.python("-P", "-m", "refute", "lock", "--timestamp", url).returncode == 0
    stamp = repo.path / f"{LOCK}.tsr"
    assert stamp.is_file()
    repo.edit("specs/example.yaml", ">= 80 %", ">= 90 %")
    assert repo.python("-P", "-m", "refute", "lock").returncode == 0
    assert not stamp.exists()


def test_a_run_without_a_lock_is_called_not_pre_registered(honest: Any) -> None:
    """It may be GO, but every report says that nothing shows when the bars were set."""
    registered = latest(honest.repo).verdict.preregistration
    assert registered.state is LockState.NONE
    for name in ("report.md", "report.html", "report.json"):
        text = (honest.repo.run / name).read_text(encoding="utf-8")
        assert "Not pre-registered" in text or '"state": "none"' in text, name


def move_the_bar(repo: Repo) -> None:
    """A lower bar than the one that was promised."""
    repo.edit("specs/example.yaml", ">= 80 %", ">= 50 %")


def edit_the_falsifier(repo: Repo) -> None:
    """Another way of counting."""
    repo.edit("falsifiers/answers.py", 'row["answer"] == row["expected"]', 'row["answer"] is not None')


def change_the_data(repo: Repo) -> None:
    """Other answers under the same name: all of them right."""
    repo.write("evidence/answers.jsonl", '{"question": "1 + 1", "expected": 2, "answer": 2}\n' * 60)


def delete_a_spec(repo: Repo) -> None:
    """A promise less."""
    (repo.path / "specs/second.yaml").unlink()


ATTACKS: dict[Callable[[Repo], None], tuple[str, str, str]] = {
    move_the_bar: ("F-EXAMPLE-001 accuracy", ">= 80 %", ">= 50 %"),
    edit_the_falsifier: ("falsifier answer-accuracy code", "", ""),
    change_the_data: ("input evidence.answers", "", ""),
    delete_a_spec: ("AC-SECOND-001", "block criterion", "nothing"),
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_what_changes_after_the_lock_ends_in_no_go(copy: Repo, attack: Callable[[Repo], None]) -> None:
    """A gate run with the change is NO-GO for that reason, and the signed verdict has the old and the new value."""
    place, old, new = ATTACKS[attack]
    attack(copy)
    ended = copy.gate()
    assert (ended.returncode, "can only end in NO-GO" in ended.stdout) == (1, True), ended.stdout
    verdict = latest(copy).verdict
    (change,) = [each for each in verdict.preregistration.changes if each.place.endswith(place)]
    assert (verdict.ruling, verdict.preregistration.state) == ("NO-GO", LockState.BROKEN)
    assert change.old.startswith(old)
    assert change.new.startswith(new)
    assert change.old != change.new
    assert any(place in reason for reason in verdict.reasons)
    report = (copy.run / "report.json").read_text(encoding="utf-8")
    assert all(json.dumps(text) in report for text in (change.old, change.new) if "<" not in text)


def test_a_stranger_who_signs_a_lock_is_not_believed(copy: Repo, cli: Cli, tmp_path: Path) -> None:
    """The same promise under another key, in the lock's place: NO-GO; with --lock-key naming that key it holds."""
    pair = generate_key(tmp_path, "stranger")
    lock = read_lock((copy.path / LOCK).read_bytes(), [(copy.keys / "development.pub").read_bytes()]).lock
    (copy.path / LOCK).write_bytes(sign_lock(lock, load_private_key(pair.private)))
    assert copy.gate().returncode == 1
    verdict = latest(copy).verdict
    assert (verdict.ruling, verdict.preregistration.lock_sha256) == ("NO-GO", "")
    assert "not to be trusted: signed by none of the 1 trusted key" in verdict.reasons[0]
    assert cli("judge", copy.run, "--lock-key", pair.public).returncode == 0
    assert latest(copy).verdict.preregistration.state is LockState.HELD


def test_the_policy_that_was_locked_is_the_one_that_is_applied(copy: Repo, cli: Cli, tmp_path: Path) -> None:
    """Another policy, or waivers under none, is not what was promised; a verdict that needs neither is."""
    pem = shutil.copy(copy.keys / "development.pub", copy.path / "gate.pub")
    roles = {"operator": {"keys": [{"name": "gate", "path": str(pem)}]}}
    for name, approver in (("policy.json", "Ada"), ("other.json", "Eve")):
        policy = {"roles": roles, "sign_off": [], "approvers": [approver], "require_lock": True}
        (copy.path / name).write_text(json.dumps(policy), encoding="utf-8")
    waiver = {"criterion": "AC-EXAMPLE-001", "subject_sha256": "0" * 64, "approver": "Ada", "reason": "r"}
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text(json.dumps({"waivers": [{**waiver, "expires_at": "2999-01-01T00:00:00Z"}]}), encoding="utf-8")
    assert copy.python("-P", "-m", "refute", "lock", "--policy", "policy.json").returncode == 0
    assert copy.gate().returncode == 0
    expected = {
        ("--policy", copy.path / "policy.json"): "",
        ("--policy", copy.path / "policy.json", "--waivers", waivers): "",
        ("--policy", copy.path / "other.json"): "policy",
        ("--waivers", waivers): "policy",
    }
    for options, place in expected.items():
        ended = cli("judge", copy.run, *options)
        assert ended.returncode == (1 if place else 0), ended.stderr
        found = latest(copy).verdict.preregistration
        assert (found.state is LockState.BROKEN, [each.place for each in found.changes]) == (
            bool(place),
            [place] if place else [],
        )


def test_a_lock_that_was_named_must_be_there(copy: Repo) -> None:
    """--lock with a file that is absent stops the run before it begins: it is never run as if it had none."""
    before = copy.run
    ended = copy.gate("--lock", "absent.json")
    assert (ended.returncode, "absent.json" in ended.stdout) == (4, True)
    assert copy.run == before


# ---------------------------------------------------------------------------------- a finished run, judged once more


def edited_lock(repo: Repo, change: Callable[[Json], object]) -> str:
    """The lock after `change`, signed by the key that is trusted."""
    private = load_private_key(repo.keys / "development.key")
    lock = read_lock((repo.path / LOCK).read_bytes(), [(repo.keys / "development.pub").read_bytes()]).lock
    content = json.loads(lock.model_dump_json(by_alias=True))
    change(content)
    return sign_lock(Lock.model_validate_json(json.dumps(content)), private).decode()


def asked(repo: Repo, change: Callable[[Json], object]) -> None:
    """run.json after `change`."""
    path = repo.run / "run.json"
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def relocked(change: Callable[[Json], object]) -> Callable[[Repo], None]:
    """A run that was recorded under a lock with `change` in it."""
    return lambda repo: asked(repo, lambda run: run["lock"].update(envelope=edited_lock(repo, change)))


def noted(change: Callable[[Json], object]) -> Callable[[Repo], None]:
    """A run that noted something else in place of what was locked."""
    return lambda repo: asked(repo, lambda run: change(run["lock"]["facts"]))


def edit_the_payload(repo: Repo) -> None:
    """One character of the signed payload."""

    def change(run: Json) -> None:
        envelope = json.loads(run["lock"]["envelope"])
        envelope["payload"] = envelope["payload"][:400] + "A" + envelope["payload"][401:]
        run["lock"]["envelope"] = json.dumps(envelope)

    asked(repo, change)


def record(change: Callable[[Json], object]) -> Callable[[Repo], None]:
    """A first record with `change` in it."""

    def tamper(repo: Repo) -> None:
        path = repo.run / "records.jsonl"
        first, *rest = path.read_text(encoding="utf-8").splitlines()
        content = json.loads(first)
        change(content)
        path.write_text("\n".join([json.dumps(content), *rest]) + "\n", encoding="utf-8")

    return tamper


def another_release(lock: Json) -> None:
    """The lock of a release of another name."""
    lock["promise"]["release"]["content"]["release"] = "other"


JUDGED: dict[str, tuple[Callable[[Repo], None], str]] = {
    "payload edited": (edit_the_payload, "not to be trusted"),
    "garbage": (lambda repo: asked(repo, lambda run: run["lock"].update(envelope="GO")), "the envelope is not JSON"),
    "another release": (relocked(another_release), "release release: other -> example"),
    "another engine": (relocked(lambda lock: lock["promise"]["facts"].update(engine="0" * 64)), "engine code: 0000"),
    "other data": (
        relocked(lambda lock: lock["promise"]["facts"]["inputs"].update({"evidence.answers": "0" * 64})),
        "input evidence.answers: 0000",
    ),
    "a later lock": (relocked(lambda lock: lock.update(locked_at="2099-01-01T00:00:00Z")), "after the run began"),
    "no such time": (relocked(lambda lock: lock.update(locked_at="2099-13-01T00:00:00Z")), "cannot be put in order"),
    "engine noted": (noted(lambda facts: facts.update(engine="0" * 64)), "engine code: "),
    "falsifier not noted": (noted(lambda facts: facts["falsifiers"].pop("answer-accuracy")), "-> nothing"),
    "code in a record": (record(lambda each: each.update(code="0" * 64)), "falsifier answer-accuracy code: "),
    "a control less": (record(lambda each: each["controls"].pop()), "falsifier answer-accuracy control"),
}


@pytest.mark.parametrize("name", JUDGED)
def test_a_run_is_judged_by_its_lock_and_not_by_its_word(copy: Repo, cli: Cli, name: str) -> None:
    """Edited lock, facts or records of a finished run: NO-GO that names the cause, and verifies as such."""
    tamper, reason = JUDGED[name]
    tamper(copy)
    assert cli("judge", copy.run).returncode == 1
    verdict = latest(copy).verdict
    assert verdict.preregistration.state is LockState.BROKEN
    assert any(reason in each for each in verdict.reasons), verdict.reasons


def test_a_lock_deleted_after_the_run_still_binds_it(copy: Repo, cli: Cli) -> None:
    """The run carries its lock: without the file it is judged as before, and with an edited spec text it is not GO."""
    (copy.path / LOCK).unlink()
    assert cli("judge", copy.run).returncode == 0
    assert latest(copy).verdict.preregistration.state is LockState.HELD


def test_evidence_that_is_not_what_was_locked_is_seen_in_its_manifest(copy: Repo, cli: Cli) -> None:
    """The run notes the locked digest, but its evidence has another: the evidence is believed."""
    relocked(lambda lock: lock["promise"]["facts"]["inputs"].update({"evidence.answers": "0" * 64}))(copy)
    noted(lambda facts: facts["inputs"].update({"evidence.answers": "0" * 64}))(copy)
    assert cli("judge", copy.run).returncode == 1
    (change,) = latest(copy).verdict.preregistration.changes
    assert (change.place, change.old) == ("input evidence.answers", "0" * 64)


def test_a_verifier_may_demand_a_lock_of_its_own_choice(kept: Locked, honest: Any, cli: Cli, tmp_path: Path) -> None:
    """--lock-key: the key that signed the lock is accepted, another one and a run without a lock are not (status 4)."""
    own = kept.repo.keys / "development.pub"
    options = ("verify", kept.repo.run / "verdict.intoto.json", "--key", own, "--lock-key")
    ended = cli(*options, own)
    assert (ended.returncode, "pre-registered at" in ended.stdout) == (0, True)
    ended = cli(*options, generate_key(tmp_path, "other").public)
    assert (ended.returncode, "is not to be trusted: signed by none of" in ended.stderr) == (4, True)
    none = honest.repo.keys / "development.pub"
    ended = cli("verify", honest.repo.run / "verdict.intoto.json", "--key", none, "--lock-key", none)
    assert (ended.returncode, "was not pre-registered" in ended.stderr) == (4, True)


def test_a_broken_lock_cannot_be_called_held(copy: Repo, cli: Cli) -> None:
    """A broken lock is no lock for who demands one; a signed verdict that calls it held contradicts itself."""
    relocked(another_release)(copy)
    cli("judge", copy.run)
    own = copy.keys / "development.pub"
    ended = cli("verify", copy.run / "verdict.intoto.json", "--key", own, "--lock-key", own)
    assert (ended.returncode, "the lock did not hold" in ended.stderr) == (4, True)
    content = json.loads(latest(copy).model_dump_json())
    content["verdict"]["preregistration"]["state"] = "held"
    payload = build_statement(content["subject"]["name"], content["subject"]["sha256"], content)
    envelope = sign_envelope(payload, PAYLOAD_TYPE, [load_private_key(copy.keys / "development.key")])
    with pytest.raises(VerificationError, match="details differ"):
        verify_verdict(envelope, [own.read_bytes()])
