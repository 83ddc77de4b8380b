"""How a number, a measurement and an outcome are written, the same in every format."""

from __future__ import annotations

import math

from refute.judge.verdict import CriterionRuling, WaiverRuling
from refute.outcome import Interval, Measurement, Outcome, Severity

# An outcome never rests on colour: each has a sign and always its word beside it.
SIGNS = {
    Outcome.CORROBORATED: "✓",
    Outcome.NOT_APPLICABLE: "-",
    Outcome.INCONCLUSIVE: "?",
    Outcome.NOT_RUN: "○",
    Outcome.SKIPPED: "○",
    Outcome.TIMEOUT: "!",
    Outcome.ERROR: "!",
    Outcome.FALSIFIED: "✗",
}


def number(amount: float) -> str:
    """Whole numbers in full, others to six significant digits; report.json has every digit."""
    if math.isfinite(amount) and amount == int(amount) and abs(amount) < 1e15:
        return str(int(amount))
    return f"{amount:.6g}"


def count(amount: int, singular: str, plural: str) -> str:
    """`1 thing` or `2 things`."""
    return f"{amount} {singular if amount == 1 else plural}"


def interval(bounds: Interval) -> str:
    """Such as `95 % interval 0.0118 to 0.0611, wilson`."""
    level = number(bounds.level * 100)
    return f"{level} % interval {number(bounds.low)} to {number(bounds.high)}, {bounds.method}"


def value(measured: Measurement) -> str:
    """Such as `pass_at_1 = 0.0268 share`."""
    return f"{measured.name} = {number(measured.value)} {measured.unit}"


def measurement(measured: Measurement) -> str:
    """Such as `pass_at_1 = 0.0268 share (n = 164; 95 % interval …)`."""
    beside = f"n = {measured.n}"
    if measured.interval is not None:
        beside += f"; {interval(measured.interval)}"
    return f"{value(measured)} ({beside})"


def outcome(word: Outcome) -> str:
    """The outcome's word, spelt with spaces."""
    return word.value.replace("_", " ")


def criterion_outcome(ruling: CriterionRuling) -> str:
    """The outcome's word; a criterion without a falsifier is `uncovered`."""
    return "uncovered" if ruling.uncovered else outcome(ruling.outcome)


def severity(ruling: CriterionRuling) -> str:
    """What the criterion weighed, and what changes that: `warn, block from 2027-01-31`, `block, open only warns`."""
    lenient = ", open only warns" if ruling.inconclusive == "warn" else ""
    if not ruling.effective_on:
        return f"{ruling.severity}{lenient}"
    if ruling.severity is Severity.BLOCK:
        return f"block since {ruling.effective_on}{lenient}"
    return f"warn, block from {ruling.effective_on}{lenient}"


def waiver(ruling: WaiverRuling) -> str:
    """Such as `AC-1, approved by Ann: applied (in force until …). Reason: …`."""
    named = f"{ruling.criterion or 'no criterion'}, approved by {ruling.approver or 'nobody'}"
    reason = f". Reason: {ruling.reason}" if ruling.reason else ""
    return f"{named}: {ruling.state.value.replace('_', ' ')} ({ruling.why}){reason}"
