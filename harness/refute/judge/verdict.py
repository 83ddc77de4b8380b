"""The verdict as data: what the judge concludes, criterion by criterion. Plain dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from refute.lock.state import NOT_LOCKED, Preregistration
from refute.outcome import CLOSED, Outcome, Ruling, Severity


@dataclass(frozen=True, slots=True)
class FalsifierRuling:
    """What one falsifier's record came to after the judge recomputed it."""

    falsifier: str
    outcome: Outcome
    reason: str
    __pydantic_config__ = CLOSED


@dataclass(frozen=True, slots=True)
class CriterionRuling:
    """A criterion is the worst of its falsifiers; `uncovered` when it has none.

    `severity` is what it weighed at the moment of judgement: a criterion with a date in `effective_on` (UTC, such as
    2027-01-31) weighs as `warn` before it. `inconclusive` is what its spec says that it does while it is open.
    `about_subject`: it was measured on evidence of the verdict's subject, or on what was made of that.
    """

    spec: str
    criterion: str
    title: str
    severity: Severity
    phase: int
    outcome: Outcome
    uncovered: bool
    falsifiers: tuple[FalsifierRuling, ...]
    effective_on: str = ""
    inconclusive: Literal["block", "warn"] = "block"
    about_subject: bool = False
    __pydantic_config__ = CLOSED

    @property
    def corroborated(self) -> bool:
        """Whether it was attacked and stands."""
        return self.outcome is Outcome.CORROBORATED and not self.uncovered

    @property
    def carries(self) -> bool:
        """Whether a GO can rest on it: it blocks, and the subject itself was attacked and stands."""
        return self.severity is Severity.BLOCK and self.corroborated and self.about_subject

    @property
    def excused(self) -> bool:
        """Whether the spec itself says that it does not apply to this release."""
        return self.outcome is Outcome.NOT_APPLICABLE and not self.uncovered

    @property
    def holds(self) -> bool:
        """Whether it stands in nobody's way."""
        return self.corroborated or self.excused

    @property
    def merely_open(self) -> bool:
        """Whether too little was measured to decide it, and its spec says that this only taints a release."""
        return self.outcome is Outcome.INCONCLUSIVE and self.inconclusive == "warn" and not self.uncovered


class WaiverState(StrEnum):
    """What became of a waiver. Only `applied` changes a verdict, and it does so to WARN at best."""

    APPLIED = "applied"
    NOT_NEEDED = "not_needed"
    CANNOT_BE_WAIVED = "cannot_be_waived"
    APPROVER_NOT_ALLOWED = "approver_not_allowed"
    EXPIRED = "expired"
    WRONG_SUBJECT = "wrong_subject"
    UNKNOWN_CRITERION = "unknown_criterion"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class WaiverRuling:
    """One waiver with its state and why it has it, used or not. `reason` and `approver` are the waiver's own words.

    `expires_soon`: it is in force, and ends within the days of notice that the policy asks for.
    """

    criterion: str
    approver: str
    reason: str
    expires_at: str
    state: WaiverState
    why: str
    expires_soon: bool = False
    __pydantic_config__ = CLOSED


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole judgement. `reasons` says, most severe first, what stands between this run and GO.

    `decided_by` is the criterion that the first of them is about, which alone would have made this ruling; it is empty
    where that reason is about the run as a whole, or a waiver, and for GO. `subject_unread`: there is a subject, and no
    measurement read a file of it, so that all that was measured is evidence beside it. It warns, and rules nothing.
    """

    ruling: Ruling
    reasons: tuple[str, ...]
    criteria: tuple[CriterionRuling, ...]
    controls_behaved: int
    controls_total: int
    partial: bool
    waivers_applied: tuple[str, ...] = ()
    preregistration: Preregistration = NOT_LOCKED
    waivers: tuple[WaiverRuling, ...] = ()
    decided_by: str = ""
    subject_unread: bool = False
    __pydantic_config__ = CLOSED
