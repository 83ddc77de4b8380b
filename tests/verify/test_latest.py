"""Among many verdicts on one model the newest counts, whatever it says; where it does not hold any more, none does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from refute.attest import PrivateKey, generate_key, load_private_key, public_pem, write_sigstore_bundle
from refute.errors import StaleVerdictError, VerificationError
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.folder import RunFolder
from refute.judge.run.sequence import FOLDER
from refute.judge.sign import Judged
from refute.spec.fields import moment, utc_now
from refute.verify.latest import Latest, latest_verdict
from refute.verify.sign_off.statement import default_path, sign_off_verdict
from refute.verify.verification import verify_file


@dataclass(frozen=True)
class Shelf:
    """A run folder with two verdicts on one file, number 1 and number 2."""

    first: Judged
    second: Judged
    key: PrivateKey

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.first.path.parent

    def latest(self, **asked: object) -> Latest:
        """The one that counts for that file."""
        given = {"digest": self.first.predicate.subject.sha256, **asked}
        return latest_verdict(self.folder, [public_pem(self.key)], **given)  # type: ignore[arg-type]  # its own keywords

    def withdraw(self, judged: Judged, key: PrivateKey) -> None:
        """A withdrawal beside a verdict."""
        verified = verify_file(judged.path, [public_pem(self.key)])
        signed = sign_off_verdict(verified, key, role="operator", decision="withdraw", note="leak", at=utc_now())
        default_path(judged.path, "operator", key).write_bytes(signed)


@pytest.fixture
def shelf(judged: Judged, key: PrivateKey) -> Shelf:
    """A run that was judged twice."""
    run = RunFolder(judged.path.parent)
    return Shelf(judged, judge_run(run, Operator(key, development=False)), key)


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


def test_where_the_newest_has_expired_none_counts(shelf: Shelf) -> None:
    """Nor before it was made."""
    ends = moment(shelf.second.predicate.identity.valid_until)
    assert shelf.latest(at=ends - timedelta(seconds=1)).verified.predicate.identity.sequence == 2
    with pytest.raises(StaleVerdictError) as caught:
        shelf.latest(at=ends)
    assert caught.value.cause == "expired"


def test_a_model_that_nobody_judged_has_none(shelf: Shelf) -> None:
    """Nor has a release of another name."""
    for asked in ({"digest": "a" * 64}, {"release": "other"}):
        with pytest.raises(VerificationError, match=r"no verdict below .* is to be trusted"):
            shelf.latest(**asked)


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
