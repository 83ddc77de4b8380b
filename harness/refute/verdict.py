"""The verdict as data: what the judge concludes, criterion by criterion. Plain dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

from refute.outcome import Outcome, Ruling, Severity
from refute.promise import NOT_LOCKED, Preregistration

_CLOSED = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


@dataclass(frozen=True, slots=True)
class FalsifierRuling:
    """What one falsifier's record came to after the judge recomputed it."""

    falsifier: str
    outcome: Outcome
    reason: str
    __pydantic_config__ = _CLOSED


@dataclass(frozen=True, slots=True)
class CriterionRuling:
    """A criterion is the worst of its falsifiers; `uncovered` when it has none."""

    spec: str
    criterion: str
    title: str
    severity: Severity
    phase: int
    outcome: Outcome
    uncovered: bool
    falsifiers: tuple[FalsifierRuling, ...]
    __pydantic_config__ = _CLOSED

    @property
    def holds(self) -> bool:
        """Whether this criterion stands in nobody's way: corroborated, or waved through by the spec itself."""
        return self.outcome in (Outcome.CORROBORATED, Outcome.NOT_APPLICABLE) and not self.uncovered


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole judgement. `reasons` says, most severe first, what stands between this run and GO."""

    ruling: Ruling
    reasons: tuple[str, ...]
    criteria: tuple[CriterionRuling, ...]
    controls_behaved: int
    controls_total: int
    partial: bool
    waivers_applied: tuple[str, ...] = ()
    preregistration: Preregistration = NOT_LOCKED
    __pydantic_config__ = _CLOSED
