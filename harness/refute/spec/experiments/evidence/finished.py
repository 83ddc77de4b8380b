"""What is measured on a student that somebody else has trained, and what its trainer claims."""

from __future__ import annotations

from typing import Literal

from refute.spec.experiments.evidence.base import EvidenceModel


class ScoredWindow(EvidenceModel):
    """One held-out window: cross-entropy in nat per predicted token of the student, its init and its teacher; KL
    (teacher || student, T = 1) a token, and at how many percent of positions both find the same token likeliest.

    None where that model is not named.
    """

    window: int
    ce: float
    ce_init: float | None
    ce_teacher: float | None
    kl: float | None
    agreement: float | None


class LintFinding(EvidenceModel):
    """One place where the student's files break a rule of `refute model lint`."""

    rule: str
    severity: Literal["error", "warn", "info"]
    found: str


class ClaimedStep(EvidenceModel):
    """What a trainer logged at `step`; None for what it does not say. `tokens` were seen up to there."""

    step: int
    loss: float | None
    learning_rate: float | None
    tokens: int | None


class ClaimedRun(EvidenceModel):
    """A trainer's account of its run. `origin` is always `claimed`: nothing of it was done again."""

    origin: Literal["claimed"]
    tool: str
    steps: int
    planned_steps: int | None
    logged: int
