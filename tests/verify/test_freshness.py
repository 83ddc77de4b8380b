"""Expiry, rollback and identity: an authentic verdict that is not the one asked for is stale, and says why."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from refute.attest import PrivateKey, load_private_key, public_pem
from refute.errors import EvidenceError, SpecError, StaleVerdictError, UsageError, VerificationError
from refute.judge.judge_run import Operator, judge_run
from refute.judge.predicate.identity import identify
from refute.judge.run.folder import RunFolder
from refute.judge.run.sequence import FOLDER, next_sequence
from refute.judge.sign import Judged
from refute.outcome import Outcome, Ruling
from refute.spec.fields import MAX_SEQUENCE
from refute.spec.files import parse_release
from refute.spec.waiver import Waiver
from refute.verify.freshness import Expected, check_freshness
from refute.verify.verification import verify_verdict
from tiny_run import RELEASE as TINY_RELEASE
from tiny_run import JudgedOnce

MakeRun = Callable[..., RunFolder]
RELEASE = TINY_RELEASE + "valid_days: 7\n"


@pytest.fixture(scope="module")
def valid_for_a_week(tmp_path_factory: pytest.TempPathFactory) -> JudgedOnce:
    """An honest GO that is valid for a week."""
    return JudgedOnce.make(tmp_path_factory.mktemp("a-week"), release=RELEASE, sequence=5)


@pytest.fixture
def judged(valid_for_a_week: JudgedOnce, tmp_path: Path) -> Judged:
    """A copy of that GO."""
    return valid_for_a_week.copy(tmp_path)


@pytest.fixture
def key(valid_for_a_week: JudgedOnce, tmp_path: Path) -> PrivateKey:
    """The key that signed it."""
    shutil.copytree(valid_for_a_week.root / "keys", tmp_path / "keys", dirs_exist_ok=True)
    return load_private_key(tmp_path / "keys" / "judge.key")


def moment(judged: Judged) -> datetime:
    """When it was judged."""
    return datetime.fromisoformat(judged.predicate.evaluated_at)


@pytest.mark.slow
def test_an_identity_is_of_release_number_and_run(judged: Judged) -> None:
    """What a person quotes, and the release's own days of validity."""
    identity = judged.predicate.identity
    assert identity.verdict_id == "tiny/5/a-run"
    assert datetime.fromisoformat(identity.valid_until) - moment(judged) == timedelta(days=7)


@pytest.mark.parametrize(
    ("later", "cause"),
    [
        (timedelta(days=7, seconds=-1), None),
        (timedelta(days=7), "expired"),
        (timedelta(minutes=-5), None),
        (timedelta(minutes=-5, seconds=-1), "future"),
        (timedelta(days=10_000), "expired"),
    ],
)
def test_a_verdict_expires_to_the_second(judged: Judged, key: PrivateKey, later: timedelta, cause: str | None) -> None:
    """Without being asked; an earlier moment can be asked for, one before the judgement cannot."""
    envelope, keys, at = judged.path.read_bytes(), [public_pem(key)], moment(judged) + later
    if cause is None:
        checks = verify_verdict(envelope, keys, at=at).checks
        assert any(f"valid until {judged.predicate.identity.valid_until}" in check for check in checks)
    else:
        with pytest.raises(StaleVerdictError, match=r"valid until|in the future") as caught:
            verify_verdict(envelope, keys, at=at)
        assert caught.value.cause == cause


@pytest.mark.parametrize(("year", "cause"), [(1, "future"), (9999, "expired")])
def test_the_ends_of_the_calendar_are_moments_too(judged: Judged, key: PrivateKey, year: int, cause: str) -> None:
    """The first and the last second that can be written are refused like any other, in any time zone."""
    for hours in (-14, 0, 14):
        zone = timezone(timedelta(hours=hours))
        at = datetime(year, 1, 1, tzinfo=zone) if year == 1 else datetime(year, 12, 31, 23, 59, 59, tzinfo=zone)
        with pytest.raises(StaleVerdictError) as caught:
            verify_verdict(judged.path.read_bytes(), [public_pem(key)], at=at)
        assert caught.value.cause == cause


def test_the_clock_is_asked_where_no_moment_is_given(judged: Judged) -> None:
    """Freshness is not an option that somebody forgets: the same verdict a week later is refused by default."""
    old = (datetime.now(UTC) - timedelta(days=8)).strftime("%Y-%m-%dT%H:%M:%SZ")
    ended = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    identity = judged.predicate.identity.model_copy(update={"valid_until": ended})
    stale = judged.predicate.model_copy(update={"evaluated_at": old, "identity": identity})
    with pytest.raises(StaleVerdictError, match="was valid until"):
        check_freshness(stale, Expected())
    with pytest.raises(ValueError, match="must name its time zone"):
        check_freshness(stale, Expected(at=datetime(2026, 1, 1)))  # noqa: DTZ001  # that is the point


@pytest.mark.parametrize(("least", "stale"), [(1, False), (5, False), (6, True), (MAX_SEQUENCE, True)])
def test_an_older_number_is_refused(judged: Judged, key: PrivateKey, least: int, stale: bool) -> None:
    """Who has seen number 6 is not served number 5 again."""
    if stale:
        with pytest.raises(StaleVerdictError, match=f"number 5 of release 'tiny', expected {least}") as caught:
            verify_verdict(judged.path.read_bytes(), [public_pem(key)], min_sequence=least)
        assert caught.value.cause == "sequence"
    else:
        verify_verdict(judged.path.read_bytes(), [public_pem(key)], min_sequence=least)


@pytest.mark.parametrize(
    ("least", "match"),
    [
        ({"SPEC-TINY-001": 1}, None),
        ({"SPEC-TINY-001": 2}, "version 1 of SPEC-TINY-001, expected 2"),
        ({"SPEC-OTHER-001": 1}, "not made under SPEC-OTHER-001, but under SPEC-TINY-001"),
    ],
)
def test_an_older_specification_is_refused(
    judged: Judged, key: PrivateKey, least: dict[str, int], match: str | None
) -> None:
    """Also one that was not judged at all."""
    if match is None:
        verify_verdict(judged.path.read_bytes(), [public_pem(key)], min_spec_versions=least)
    else:
        with pytest.raises(StaleVerdictError, match=match) as caught:
            verify_verdict(judged.path.read_bytes(), [public_pem(key)], min_spec_versions=least)
        assert caught.value.cause == "spec_version"


@pytest.mark.slow
def test_numbers_grow_with_each_verdict(make_run: MakeRun, key: PrivateKey) -> None:
    """The next one, a jump ahead, and never back or the same again."""
    run = make_run()
    numbers = [judge_run(run, Operator(key, development=False)).predicate.identity.sequence for _ in range(2)]
    numbers.append(judge_run(run, Operator(key, development=False, sequence=40)).predicate.identity.sequence)
    numbers.append(judge_run(run, Operator(key, development=False)).predicate.identity.sequence)
    assert numbers == [1, 2, 40, 41]
    for passed in (41, 7, 0, MAX_SEQUENCE + 1):
        with pytest.raises(UsageError, match=f"sequence {passed} is not above 41"):
            judge_run(run, Operator(key, development=False, sequence=passed))
    assert judge_run(run, Operator(key, development=False)).predicate.identity.sequence == 42


def test_a_number_is_taken_only_by_a_verdict(tmp_path: Path) -> None:
    """A judgement that failed leaves no gap, releases count apart, and a spoilt count is an error."""
    with pytest.raises(VerificationError), next_sequence(tmp_path, "tiny"):
        raise VerificationError("not signed")
    for release, number in (("tiny", 1), ("other", 1), ("tiny", 2)):
        with next_sequence(tmp_path, release) as found:
            assert found == number
    with next_sequence(tmp_path, "tiny"):
        text = (tmp_path / FOLDER / "tiny").read_text(encoding="utf-8")
    assert text == "3\n", "a judge that is killed here must leave a gap, not a number to be given again"
    for spoilt in ("two\n", "-1\n", "9" * 40):
        (tmp_path / FOLDER / "tiny").write_text(spoilt, encoding="utf-8")
        with pytest.raises(EvidenceError, match="should hold the number"), next_sequence(tmp_path, "tiny"):
            pass


def test_two_judges_never_share_a_number(tmp_path: Path) -> None:
    """One waits until the other has written its verdict."""
    found: list[int] = []

    def take() -> None:
        for _ in range(25):
            with next_sequence(tmp_path, "tiny") as number:
                found.append(number)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == list(range(1, 101))


def test_a_waived_verdict_ends_with_its_waiver(judged: Judged) -> None:
    """The earliest end of a waiver that it rests on; those for other subjects or criteria do not count."""
    at, subject = moment(judged), judged.predicate.subject.sha256
    release = parse_release(RELEASE, "release.yaml")
    failed = replace(judged.predicate.verdict.criteria[0], outcome=Outcome.FALSIFIED)
    verdict = replace(judged.predicate.verdict, ruling=Ruling.WARN, criteria=(failed,), waivers_applied=("…",))

    def waiver(days: int, **members: str) -> Waiver:
        ends = (at + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        given = {"criterion": failed.criterion, "subject_sha256": subject, "approver": "A", "reason": "r"}
        return Waiver.model_validate({**given, "expires_at": ends, **members})

    def days(*waivers: Waiver) -> float:
        ends = identify(release, "a-run", 1, at, verdict, waivers, subject).valid_until
        return (datetime.fromisoformat(ends) - at) / timedelta(days=1)

    assert days() == days(waiver(30)) == 7
    assert days(waiver(5), waiver(3)) == 3
    assert days(waiver(2, criterion="AC-OTHER-001"), waiver(2, subject_sha256="0" * 64), waiver(-1)) == 7
    assert days(waiver(2, expires_at="2026-02-30T00:00:00Z")) == 7
    no_need = replace(verdict, waivers_applied=())
    assert identify(release, "a-run", 1, at, no_need, (waiver(1),), subject).valid_until > (
        at + timedelta(days=6)
    ).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_date_beyond_the_calendar_is_no_identity(judged: Judged) -> None:
    """Year 9999 has no week after its end."""
    release = parse_release(RELEASE, "release.yaml")
    late = datetime(9999, 12, 31, tzinfo=UTC)
    with pytest.raises(ValueError, match="too late"):
        identify(release, "a-run", 1, late, judged.predicate.verdict, (), "0" * 64)


@pytest.mark.parametrize("days", [0, 367, -1])
def test_validity_is_bounded(days: int) -> None:
    """At least a day, at most a year."""

    with pytest.raises(SpecError, match="valid_days"):
        parse_release(RELEASE.replace("valid_days: 7", f"valid_days: {days}"), "release.yaml")


def test_a_release_that_says_nothing_gives_ninety_days() -> None:
    """The default of the published schema."""
    assert parse_release(RELEASE.replace("valid_days: 7\n", ""), "release.yaml").valid_days == 90
    schema = Path(__file__).parents[2] / "contracts" / "schema" / "release.schema.json"
    assert json.loads(schema.read_text(encoding="utf-8"))["properties"]["valid_days"]["default"] == 90
