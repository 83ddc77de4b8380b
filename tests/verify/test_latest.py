"""Among many verdicts on one model the newest counts, whatever it says; where it does not hold any more, none does."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refute.attest import (
    PAYLOAD_TYPE,
    PrivateKey,
    generate_key,
    load_private_key,
    public_pem,
    sign_envelope,
    verify_envelope,
    write_sigstore_bundle,
)
from refute.errors import StaleVerdictError, VerificationError
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.folder import RunFolder
from refute.judge.run.sequence import FOLDER
from refute.judge.sign import Judged
from refute.spec.fields import moment, utc_now
from refute.spec.policy import LoadedPolicy, load_policy
from refute.verify.latest import Latest, Reader, latest_verdict
from refute.verify.sign_off.statement import default_path, sign_off_verdict
from refute.verify.verification import verify_file

if TYPE_CHECKING:
    from tests.conftest import Cli


@dataclass(frozen=True)
class Shelf:
    """A run folder with two verdicts on one file, number 1 and number 2, by `key`; `second_key` may sign, too."""

    first: Judged
    second: Judged
    key: PrivateKey
    second_key: PrivateKey

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.first.path.parent

    def latest(
        self,
        policy: LoadedPolicy | None = None,
        model: Path | None = None,
        at: datetime | None = None,
        digest: str | None = None,
        release: str | None = None,
    ) -> Latest:
        """The one that counts for that file."""
        reader = Reader([] if policy else [public_pem(self.key)], policy, model, at)
        own = self.first.predicate.subject.sha256
        return latest_verdict(self.folder, reader, digest=own if digest is None else digest, release=release)

    def policy(self, threshold: int = 1, **said: object) -> LoadedPolicy:
        """One that asks little more than signatures of its operators; `said` of the key that signed."""
        pems = {name: public_pem(key).decode() for name, key in (("one", self.key), ("two", self.second_key))}
        keys = [{"name": "one", "pem": pems["one"], **said}, {"name": "two", "pem": pems["two"]}]
        content: dict[str, object] = {"roles": {"operator": {"keys": keys, "threshold": threshold}}}
        path = self.folder.parent / "policy.yaml"
        path.write_text(json.dumps({**content, "require_lock": False, "require_remeasured": False}), encoding="utf-8")
        return load_policy(path)

    def withdraw(self, judged: Judged, key: PrivateKey) -> None:
        """A withdrawal beside a verdict."""
        verified = verify_file(judged.path, [public_pem(self.key)])
        signed = sign_off_verdict(verified, key, role="operator", decision="withdraw", note="leak", at=utc_now())
        default_path(judged.path, "operator", key).write_bytes(signed)


@pytest.fixture
def shelf(judged: Judged, key: PrivateKey) -> Shelf:
    """A run that was judged twice."""
    run = RunFolder(judged.path.parent)
    second = load_private_key(generate_key(judged.path.parents[1], "second").private)
    return Shelf(judged, judge_run(run, Operator(key, development=False)), key, second)


def test_the_higher_number_counts(shelf: Shelf) -> None:
    """Found by either digest; what does not count is named."""
    found = shelf.latest()
    assert (found.verified.predicate.identity.sequence, found.path.parent) == (2, shelf.folder)
    assert {each.rpartition(": ")[2] for each in found.others} == {"superseded"}
    assert shelf.first.predicate.model is not None
    assert shelf.latest(digest=shelf.first.predicate.model.root_sha256).path == found.path


def test_a_sigstore_bundle_is_a_verdict_like_another(shelf: Shelf) -> None:
    """Also where nothing else is left of it."""
    bundle = write_sigstore_bundle(shelf.second.path.read_bytes(), "")
    for path in (shelf.second.files.verdict, shelf.second.files.bundle):
        path.unlink()
    assert shelf.latest().verified.predicate.identity.sequence == 1
    (shelf.folder / "verdict-2.sigstore.json").write_bytes(bundle)
    assert shelf.latest().path.name == "verdict-2.sigstore.json"


def test_strangers_and_rubbish_do_not_count(shelf: Shelf, tmp_path: Path) -> None:
    """A folder, a cut file and another signer's number 9 are named, and change nothing."""
    before, stranger = shelf.latest(), load_private_key(generate_key(tmp_path / "more", "other").private)
    run = RunFolder(shelf.folder)
    judge_run(run, Operator(stranger, development=False, sequence=9))
    (shelf.folder / "verdict-7.intoto.json").write_bytes(shelf.first.path.read_bytes()[:99])
    (shelf.folder / "verdict-8.intoto.json").mkdir()
    after = shelf.latest()
    assert after.path == before.path
    assert len(after.others) == len(before.others) + 4


def test_after_a_withdrawal_none_counts(shelf: Shelf) -> None:
    """Of the newest; a withdrawn number 1 was superseded anyway, and a stranger withdraws nothing."""
    stranger = load_private_key(generate_key(shelf.folder, "other").private)
    shelf.withdraw(shelf.second, stranger)
    shelf.withdraw(shelf.first, shelf.key)
    assert shelf.latest().verified.predicate.identity.sequence == 2
    default_path(shelf.first.path, "operator", shelf.key).unlink()
    shelf.withdraw(shelf.second, shelf.key)
    with pytest.raises(StaleVerdictError, match=r"was withdrawn: .*leak") as caught:
        shelf.latest()
    assert caught.value.cause == "withdrawn"


def test_a_withdrawal_counts_wherever_it_lies(shelf: Shelf) -> None:
    """Also apart from its verdict, below the folder that was named."""
    shelf.withdraw(shelf.second, shelf.key)
    filed = default_path(shelf.second.path, "operator", shelf.key)
    (shelf.folder / "withdrawn" / "2026").mkdir(parents=True)
    filed.rename(shelf.folder / "withdrawn" / "2026" / filed.name)
    with pytest.raises(StaleVerdictError, match=r"was withdrawn: .*leak"):
        shelf.latest()


def test_the_newest_must_meet_the_policy(shelf: Shelf) -> None:
    """A revoked key's verdict does not count, nor one key's where two must sign; an older one takes no place of it."""
    assert shelf.latest(shelf.policy()).verified.predicate.identity.sequence == 2
    for policy, why in (
        (shelf.policy(revoked=True), "the key of one is revoked"),
        (shelf.policy(valid_until="2026-01-01T00:00:00Z"), "the key of one was valid until"),
        (shelf.policy(threshold=2), "signed by 1 keys of the role operator, 2 required"),
    ):
        with pytest.raises(VerificationError, match=why) as caught:
            shelf.latest(policy)
        assert caught.value.cause == "policy"
        assert shelf.second.path.name in str(caught.value)


def test_a_policy_may_demand_the_model(shelf: Shelf) -> None:
    """Who names a digest alone has compared nothing."""
    asked = shelf.policy()
    asked = replace(asked, policy=asked.policy.model_copy(update={"require_model": True}))
    with pytest.raises(VerificationError, match="the model was not compared"):
        shelf.latest(asked)
    predicate = shelf.second.predicate
    assert shelf.latest(asked, shelf.folder / "subject" / predicate.subject.name).verified.model_compared


def test_of_copies_the_one_that_holds_counts(shelf: Shelf) -> None:
    """A countersigned verdict beside a copy from before."""
    _, payload = verify_envelope(shelf.second.path.read_bytes(), [public_pem(shelf.key)])
    both = sign_envelope(payload, PAYLOAD_TYPE, [shelf.key, shelf.second_key])
    (shelf.folder / "verdict-9.intoto.json").write_bytes(both)
    assert shelf.latest(shelf.policy(threshold=2)).path.name == "verdict-9.intoto.json"


@pytest.mark.parametrize("named", ["", "a" * 63, "A" * 64, "a" * 64 + "\n"])
def test_a_subject_is_a_whole_digest(shelf: Shelf, cli: Cli, named: str) -> None:
    """An empty one, of an unset variable, is not that of every verdict without a model."""
    ended = cli("latest", shelf.folder, "--key", shelf.second.files.key, "--subject", named)
    assert (ended.returncode, "expected 64 digits" in ended.stderr) == (2, True)


def test_no_digest_is_of_a_verdict_without_a_model(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is an empty one."""
    bare = replace(shelf.latest().verified, predicate=shelf.second.predicate.model_copy(update={"model": None}))
    monkeypatch.setattr("refute.verify.latest.verify_verdict", lambda *_, **__: bare)
    with pytest.raises(VerificationError, match="is to be trusted"):
        shelf.latest(digest="")


def test_the_command_holds_it_to_the_policy(shelf: Shelf, cli: Cli) -> None:
    """4 where a key was revoked, whatever the verdict says."""
    subject = ("--subject", shelf.second.predicate.subject.sha256)
    for said, status in (({}, 0), ({"revoked": True}, 4)):
        ended = cli("latest", shelf.folder, "--policy", shelf.policy(**said).path, *subject)
        assert (ended.returncode, "is revoked" in ended.stderr) == (status, status == 4), ended.stderr


def test_where_the_newest_has_expired_none_counts(shelf: Shelf) -> None:
    """Nor before it was made."""
    ends = moment(shelf.second.predicate.identity.valid_until)
    assert shelf.latest(at=ends - timedelta(seconds=1)).verified.predicate.identity.sequence == 2
    with pytest.raises(StaleVerdictError) as caught:
        shelf.latest(at=ends)
    assert caught.value.cause == "expired"


def test_what_was_judged_later_does_not_count_yet(shelf: Shelf) -> None:
    """As of a moment before the first one there is none."""
    before = moment(shelf.first.predicate.evaluated_at) - timedelta(seconds=1)
    with pytest.raises(VerificationError, match="judged later"):
        shelf.latest(at=before)


def test_a_model_that_nobody_judged_has_none(shelf: Shelf) -> None:
    """Nor has a release of another name."""
    for digest, release in (("a" * 64, None), (None, "other")):
        with pytest.raises(VerificationError, match=r"no verdict below .* is to be trusted"):
            shelf.latest(digest=digest, release=release)


def test_two_of_one_number_and_moment_are_no_answer(
    shelf: Shelf, key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that forgot its numbers: which of the two holds, only their signer can say."""
    monkeypatch.setattr("refute.judge.judge_run.utc_now", lambda: shelf.second.predicate.evaluated_at)
    for number in (shelf.folder.parent / FOLDER).iterdir():
        number.unlink()
    judge_run(RunFolder(shelf.folder), Operator(key, development=True, sequence=2))
    with pytest.raises(VerificationError, match="2 verdicts are number 2 of the same moment"):
        shelf.latest()
