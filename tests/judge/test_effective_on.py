"""A criterion that blocks from a date on: before it WARN, from its first second NO-GO, and nobody can move the date."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest

from refute.attest import PrivateKey, public_pem
from refute.errors import SpecError, VerificationError
from refute.judge.algebra import judge
from refute.judge.judge_run import Operator, judge_run
from refute.judge.recompute import recompute
from refute.judge.run.folder import RunFolder
from refute.outcome import Outcome, Ruling, Severity
from refute.report import REPORTS
from refute.spec.criteria import Criterion, parse_spec
from refute.verify.verification import verify_verdict
from tiny_spec import tiny_spec

MakeRun = Callable[..., RunFolder]
BEGINS = datetime(2027, 1, 31, tzinfo=UTC)


def dated(date: str) -> str:
    """A spec that blocks throughout, its first criterion from `date` on."""
    return tiny_spec(second="block", effective_on=date)


def criterion(date: str = "2027-01-31") -> Criterion:
    """The first criterion of the spec."""
    return parse_spec(dated(date), "spec.yaml").criteria[0]


@pytest.mark.parametrize(
    ("moment", "severity"),
    [
        (BEGINS - timedelta(seconds=1), Severity.WARN),
        (BEGINS, Severity.BLOCK),
        (BEGINS.astimezone(timezone(timedelta(hours=-8))), Severity.BLOCK),
        (None, Severity.BLOCK),
    ],
)
def test_it_blocks_from_the_first_second_of_its_day_in_utc(moment: datetime | None, severity: Severity) -> None:
    """Wherever it is judged; without a moment it blocks."""
    assert criterion().severity_at(moment) is severity


@pytest.mark.parametrize(
    "date", ["2027-02-30", "2027-1-31", "20270131", "2027-W05-1", "2027-01-31T00:00:00Z", "soon", ""]
)
def test_a_date_that_is_none_is_refused(date: str) -> None:
    """With the line that it stands on."""
    with pytest.raises(SpecError, match=r"spec\.yaml:10: criteria\[0\]\.effective_on"):
        criterion(date)


@pytest.mark.parametrize("severity", ["warn", "info"])
def test_only_a_block_criterion_begins_to_block(severity: str) -> None:
    """A date on anything else would be read as a promise that nobody keeps."""
    text = dated("2027-01-31").replace("severity: block", f"severity: {severity}", 1)
    with pytest.raises(SpecError, match=r"spec\.yaml:10: .*only a `block` criterion"):
        parse_spec(text, "spec.yaml")


@pytest.mark.slow
@pytest.mark.parametrize(("date", "ruling"), [("2999-01-01", Ruling.WARN), ("2020-01-01", Ruling.NO_GO)])
def test_the_date_decides_and_is_shown(make_run: MakeRun, key: PrivateKey, date: str, ruling: Ruling) -> None:
    """Judged, verified again from the signed text, and named in every report."""
    judged = judge_run(make_run(spec=dated(date), right=10), Operator(key, development=False))
    assert judged.predicate.verdict.ruling is ruling
    assert verify_verdict(judged.path.read_bytes(), [public_pem(key)]).predicate == judged.predicate
    words = {"2999-01-01": "warn, block from 2999-01-01", "2020-01-01": "block since 2020-01-01"}[date]
    for name in ("md", "html"):
        assert words in REPORTS[name].render(judged.predicate, judged.payload_sha256)
    assert f'"effective_on": "{date}"' in REPORTS["json"].render(judged.predicate, judged.payload_sha256)


@pytest.mark.slow
def test_a_date_of_judgement_moved_back_is_seen(make_run: MakeRun, key: PrivateKey) -> None:
    """`evaluated_at` decides, so a verdict that was NO-GO cannot be called WARN without moving it, nor with."""
    predicate = judge_run(make_run(spec=dated("2020-01-01"), right=10), Operator(key, development=False)).predicate
    early = predicate.model_copy(update={"evaluated_at": "2019-12-31T23:59:59Z"})
    with pytest.raises(VerificationError, match="signed verdict is NO-GO, but its own records give WARN"):
        recompute(early)


def test_before_its_date_it_weighs_as_warn_in_every_outcome() -> None:
    """Also when nothing was measured: that is what severity warn does."""
    spec = parse_spec(dated("2027-01-31"), "spec.yaml")
    verdict = judge(spec, [], at=BEGINS - timedelta(days=1))
    assert [each.severity for each in verdict.criteria] == [Severity.WARN, Severity.BLOCK]
    assert verdict.criteria[0].outcome is Outcome.NOT_RUN
