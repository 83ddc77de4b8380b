"""The difference between two verdicts as data. Plain dataclasses; None stands for what is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from refute.outcome import Direction, Measurement, Ruling, Severity

# A criterion regressed when its outcome is worse than it was, whatever it was; `still failing` did not hold before.
State = Literal["added", "removed", "regressed", "fixed", "still failing", "unchanged"]
WaiverState = Literal["new", "expired", "removed"]


@dataclass(frozen=True, slots=True)
class Side:
    """Which verdict stands on one side."""

    ruling: Ruling
    release: str
    subject_sha256: str
    payload_sha256: str
    evaluated_at: str


@dataclass(frozen=True, slots=True)
class Change:
    """Something named whose text differs."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class SpecDifference:
    """A specification on either side; the same when the digests are."""

    spec: str
    old_version: int | None
    new_version: int | None
    old_sha256: str | None
    new_sha256: str | None


@dataclass(frozen=True, slots=True)
class TermDifference:
    """A term of a criterion or falsifier other than a bar. `weaker`: it now asks for less."""

    where: str
    term: str
    old: str | None
    new: str | None
    weaker: bool


@dataclass(frozen=True, slots=True)
class BarDifference:
    """The bar of one measurement. `direction` is `changed` where it can be called neither looser nor tighter."""

    criterion: str
    falsifier: str
    measurement: str
    old: str | None
    new: str | None
    direction: Direction | Literal["added", "removed"]


@dataclass(frozen=True, slots=True)
class CriterionDifference:
    """A criterion's outcomes. `severity` is the heavier of the two."""

    criterion: str
    title: str
    severity: Severity
    old: str | None
    new: str | None
    state: State


@dataclass(frozen=True, slots=True)
class MetricDifference:
    """One measurement. `delta` is new minus old, where both were measured in one unit; `bar` is the newer one."""

    criterion: str
    falsifier: str
    measurement: str
    old: Measurement | None
    new: Measurement | None
    delta: float | None
    bar: str | None


@dataclass(frozen=True, slots=True)
class WaiverDifference:
    """A waiver that came, ran out by the time of the newer verdict, or was taken back."""

    criterion: str
    approver: str
    expires_at: str
    reason: str
    state: WaiverState


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that differs, and what of it makes the newer verdict worse, in sentences."""

    old: Side
    new: Side
    regressions: tuple[str, ...]
    specs: tuple[SpecDifference, ...]
    terms: tuple[TermDifference, ...]
    bars: tuple[BarDifference, ...]
    criteria: tuple[CriterionDifference, ...]
    metrics: tuple[MetricDifference, ...]
    waivers: tuple[WaiverDifference, ...]
    inputs: tuple[Change, ...]
    evidence: tuple[Change, ...]
    environment: tuple[Change, ...]
