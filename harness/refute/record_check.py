"""Whether a record is what the declared falsifier and its own numbers give: code, evidence, controls, every reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from refute.outcome import Record, readable
from refute.predicate import FalsifierOrigin
from refute.settle import misbehaviour, settle, settle_control
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

    A record without measurements claims nothing, and one that no spec asks for is the judge's to refuse.
    """
    asked = uses.get((record.spec, record.criterion, record.falsifier))
    if not record.measurements or asked is None or record.uses != asked[1].uses:
        return ""
    declared = falsifiers.get(record.uses)
    if declared is None or declared.code_sha256 != record.code:
        return f"made by code {record.code or '(none)'}, which this run did not register as {record.uses!r}"
    if [name for name, _ in record.evidence] != list(declared.needs):
        return f"does not rest on the evidence that {record.uses!r} declares: {', '.join(declared.needs)}"
    if [control.name for control in record.controls] != list(declared.controls):
        return f"does not show the controls that {record.uses!r} declares: {', '.join(declared.controls)}"
    return _wrong_reason(record, *asked)


def _wrong_reason(record: Record, criterion: Criterion, use: FalsifierUse) -> str:
    for control in record.controls:
        if control.measurements and control.reason != settle_control(use, control.measurements)[1]:
            return f"gives control {control.name!r} a reason that this version does not give its numbers"
    _, reason = settle(criterion, use, record.run_class, record.measurements)
    if record.reason != readable(misbehaviour(record.controls) or reason):
        return "gives a reason that this version does not give its numbers"
    return ""
