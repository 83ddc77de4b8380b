"""Whether an authentic verdict is the one that was asked for: of this release, in force, not older than one seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from refute.errors import StaleVerdictError
from refute.judge.predicate.model import Predicate
from refute.spec.criteria import parse_spec
from refute.spec.fields import moment

# Two machines' clocks differ.
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a reader asks of a verdict; None and nothing ask nothing. `at` is the moment to judge by, by default now.

    `min_spec_versions` maps spec ids to the lowest version that will do.
    """

    release: str | None = None
    at: datetime | None = None
    max_age: timedelta | None = None
    min_sequence: int | None = None
    min_spec_versions: Mapping[str, int] = field(default_factory=dict)


def check_freshness(predicate: Predicate, expected: Expected) -> list[str]:
    """What was checked, in words.

    Raises StaleVerdictError: another release, from the future, no longer valid, too old, superseded by a sequence or
    a spec version that is known already, or a spec that was not judged. Raises ValueError when `at` names no time zone.
    """
    if expected.at is not None and expected.at.tzinfo is None:
        raise ValueError(f"at = {expected.at} must name its time zone")
    if expected.release is not None and predicate.release.id != expected.release:
        raise StaleVerdictError(
            f"the verdict is about release {predicate.release.id!r}, expected {expected.release!r}", cause="release"
        )
    checks = [_check_time(predicate, expected.at or datetime.now(UTC), expected.max_age)]
    if expected.min_sequence is not None:
        checks.append(_check_sequence(predicate, expected.min_sequence))
    if expected.min_spec_versions:
        checks.append(_check_versions(predicate, expected.min_spec_versions))
    return checks


def _check_time(predicate: Predicate, at: datetime, max_age: timedelta | None) -> str:
    evaluated, ends = moment(predicate.evaluated_at), moment(predicate.identity.valid_until)
    if evaluated - at > CLOCK_SKEW:  # a difference: a sum could lie beyond the calendar
        raise StaleVerdictError(
            f"the verdict is dated {predicate.evaluated_at}, which lies in the future", cause="future"
        )
    if at >= ends:  # as a waiver: what ends at a moment is not in force at it
        raise StaleVerdictError(
            f"the verdict was valid until {predicate.identity.valid_until}",
            hint="run the gate again; to look at it as of an earlier day, give --at",
            cause="expired",
        )
    if max_age is not None and at - evaluated > max_age:
        raise StaleVerdictError(
            f"the verdict is of {predicate.evaluated_at}, older than the {max_age.days} days allowed",
            hint="run the gate again",
            cause="age",
        )
    return f"evaluated at {predicate.evaluated_at}, valid until {predicate.identity.valid_until}"


def _check_sequence(predicate: Predicate, least: int) -> str:
    found = predicate.identity.sequence
    if found < least:
        raise StaleVerdictError(
            f"the verdict is number {found} of release {predicate.release.id!r}, expected {least} or later",
            hint="a newer verdict on this release exists: ask for that one",
            cause="sequence",
        )
    return f"number {found} of its release, not before {least}"


def _check_versions(predicate: Predicate, least: Mapping[str, int]) -> str:
    versions = {each.id: parse_spec(each.text, each.name).version for each in predicate.specs}
    for spec, version in sorted(least.items()):
        if spec not in versions:
            raise StaleVerdictError(
                f"the verdict was not made under {spec}, but under {', '.join(sorted(versions)) or 'no spec'}",
                cause="spec_version",
            )
        if versions[spec] < version:
            raise StaleVerdictError(
                f"the verdict was made under version {versions[spec]} of {spec}, expected {version} or later",
                hint="run the gate again under the current specification",
                cause="spec_version",
            )
    return "made under " + ", ".join(f"{spec} version {versions[spec]}" for spec in sorted(least))
