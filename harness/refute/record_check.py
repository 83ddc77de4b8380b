"""Whether a record is what the declared falsifier and its own numbers give: code, evidence, controls, every reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from refute.outcome import Record, readable
from refute.predicate import FalsifierOrigin
from refute.settle import control_faults, settle, settle_control
from refute.spec import Criterion, FalsifierUse, Spec

Uses = Mapping[tuple[str, str, str], tuple[Criterion, FalsifierUse]]


def uses_of(specs: Sequence[Spec]) -> Uses:
    """Every use of a falsifier by spec, criterion and falsifier id."""
    return {
        (spec.spec, criterion.id, use.id): (criterion, use)
        for spec in specs
        for criterion in spec.criteria
        for use in criterion.falsifiers
    }


def contradiction(record: Record, uses: Uses, falsifiers: Mapping[str, FalsifierOrigin]) -> str:
    """What a record that measured says otherwise than its falsifier was declared, or than its numbers; else nothing.

    It looks only at what the judge would believe: a record without measurements claims nothing, and one that no spec
    asks for, whose controls misbehaved or whose outcome its numbers do not give is refused there.
    """
    asked = uses.get((record.spec, record.criterion, record.falsifier))
    if not record.measurements or asked is None or record.uses != asked[1].uses:
        return ""
    criterion, use = asked
    outcome, reason = settle(criterion, use, record.run_class, record.measurements)
    if outcome is not record.outcome or control_faults(record, use):
        return ""
    declared = falsifiers.get(record.uses)
    if declared is None or declared.code_sha256 != record.code:
        return f"made by code {record.code or '(none)'}, which this run did not register as {record.uses!r}"
    if [name for name, _ in record.evidence] != list(declared.needs):
        return f"does not rest on the evidence that {record.uses!r} declares: {', '.join(declared.needs)}"
    if [control.name for control in record.controls] != list(declared.controls):
        return f"does not show the controls that {record.uses!r} declares: {', '.join(declared.controls)}"
    reasons = [(control.reason, settle_control(use, control.measurements)[1]) for control in record.controls]
    if any(stated != found for stated, found in [(record.reason, readable(reason)), *reasons]):
        return "gives a reason that this version does not give its numbers"
    return ""
