"""Which verdict this is: its id, its number in the line of its release, and until when it may be relied upon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from refute.judge.verdict import Verdict
from refute.spec.fields import Closed, SequenceNumber, UtcTime, utc_text
from refute.spec.release import Release
from refute.spec.waiver import Waiver


class Identity(Closed):
    """One verdict among those of its release id. `sequence` grows with each; `valid_until`, RFC 3339, UTC, is the first
    moment at which it is not valid any more.

    `verdict_id` reads `<release>/<sequence>/<run>`.
    """

    verdict_id: str
    sequence: SequenceNumber
    valid_until: UtcTime


def identify(
    release: Release,
    run: str,
    sequence: int,
    evaluated_at: datetime,
    verdict: Verdict,
    waivers: Sequence[Waiver],
    subject_sha256: str,
) -> Identity:
    """The identity of the verdict on `run` made at `evaluated_at`.

    It is valid for the release's `valid_days`, and no longer than any waiver that it may rest on. Raises
    ValueError for a moment so late that no such date can be written.
    """
    try:
        latest = evaluated_at + timedelta(days=release.valid_days)
    except OverflowError as error:
        raise ValueError(f"{evaluated_at} lies too late for a verdict that is valid for some days") from error
    ends = min([latest, *_waived_until(verdict, waivers, subject_sha256, evaluated_at)])
    return Identity(verdict_id=f"{release.release}/{sequence}/{run}", sequence=sequence, valid_until=utc_text(ends))


def _waived_until(
    verdict: Verdict, waivers: Sequence[Waiver], subject_sha256: str, evaluated_at: datetime
) -> Iterator[datetime]:
    """When the waivers end that were in force for a criterion that does not hold; none where none was applied."""
    missed = {each.criterion for each in verdict.criteria if not each.holds} if verdict.waivers_applied else set()
    for waiver in waivers:
        if waiver.criterion in missed and waiver.subject_sha256 == subject_sha256:
            try:
                ends = datetime.fromisoformat(waiver.expires_at)
            except ValueError:  # a date that does not exist: such a waiver was not applied
                continue
            if ends > evaluated_at:
                yield ends
