"""Whether a record is what the declared falsifier and its own numbers give: code, evidence, controls, every reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from refute.falsifier.origins import FalsifierOrigin
from refute.outcome import Record, readable
from refute.spec.bars.decide import control_faults, control_outcome, outcome_of
from refute.spec.criteria import Criterion, FalsifierUse, Spec, attacks

Uses = Mapping[tuple[str, str, str], tuple[Criterion, FalsifierUse]]


def uses_by_id(specs: Sequence[Spec]) -> Uses:
    """Every use of a falsifier by spec, criterion and falsifier id."""
    return {(spec.spec, criterion.id, use.id): (criterion, use) for spec, criterion, use in attacks(specs)}


def restated(record: Record, uses: Uses) -> Record:
    """The record with every reason in the words that its numbers give: reasons are read, and nobody decides by them.

    A record that the judge will not believe stays as it is. A control that was refused, as it had to be, has no
    numbers: its reason becomes that nothing was measured, for nobody can check what else a falsifier says.
    """
    if (believed := _believable(record, uses)) is None:
        return record
    criterion, use = believed
    _, reason = outcome_of(criterion, use, record.run_class, record.measurements)
    controls = tuple(
        replace(control, reason=control_outcome(use, control.measurements)[1]) for control in record.controls
    )
    return replace(record, reason=readable(reason), controls=controls)


def contradiction(record: Record, uses: Uses, falsifiers: Mapping[str, FalsifierOrigin]) -> str:
    """What a record that measured says otherwise than its falsifier was declared, or than its numbers; else nothing.

    It looks only at what the judge would believe; the rest is refused there.
    """
    if _believable(record, uses) is None:
        return ""
    declared = falsifiers.get(record.uses)
    if declared is None or declared.code_sha256 != record.code:
        return f"made by code {record.code or '(none)'}, which this run did not register as {record.uses!r}"
    if [name for name, _ in record.evidence] != list(declared.needs):
        return f"does not rest on the evidence that {record.uses!r} declares: {', '.join(declared.needs)}"
    if [control.name for control in record.controls] != list(declared.controls):
        return f"does not show the controls that {record.uses!r} declares: {', '.join(declared.controls)}"
    if record != restated(record, uses):
        return "gives a reason that this version does not give its numbers"
    return ""


def _believable(record: Record, uses: Uses) -> tuple[Criterion, FalsifierUse] | None:
    """The use of a falsifier that a record is of, where the judge takes its word: it measured, its numbers give its
    outcome, its controls behaved. One without measurements claims nothing."""
    found = uses.get(record.key)
    if not record.measurements or found is None or record.uses != found[1].uses:
        return None
    criterion, use = found
    outcome, _ = outcome_of(criterion, use, record.run_class, record.measurements)
    return found if outcome is record.outcome and not control_faults(record, use) else None
