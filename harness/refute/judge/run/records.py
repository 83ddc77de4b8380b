"""The records of a run as the judge takes them: in the specs' order, and an error where one rests on nothing sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from refute.falsifier.origins import FalsifierOrigin
from refute.falsifier.records import parse_records
from refute.judge.record_check import contradiction, restated, uses_by_id
from refute.judge.run.evidence import HashedEvidence
from refute.judge.run.folder import RunFolder
from refute.outcome import Outcome, Record
from refute.spec.criteria import Spec


@dataclass(frozen=True, slots=True)
class CheckedRecords:
    """Records, and a sentence for each line that was none and each record that was refused."""

    records: tuple[Record, ...]
    faults: tuple[str, ...]


def check_records(
    run: RunFolder, specs: Sequence[Spec], falsifiers: Mapping[str, FalsifierOrigin], evidence: HashedEvidence
) -> CheckedRecords:
    """The records of `run`, held against its `evidence`, against the `falsifiers` that it registered, and themselves.

    A record that does not hold is replaced by an error that says why: changed files are nobody's `info`.
    """
    read, faults = parse_records(run.record_lines())
    uses = uses_by_id(specs)
    checked: list[Record] = []
    for record in (restated(each, uses) for each in _in_spec_order(read, specs)):
        fault = _citation_fault(record, evidence) or contradiction(record, uses, falsifiers)
        checked.append(_refused(record, fault) if fault else record)
        faults += (f"the record of {record.falsifier} was refused: {fault}",) if fault else ()
    return CheckedRecords(tuple(checked), faults)


def _in_spec_order(records: Sequence[Record], specs: Sequence[Spec]) -> tuple[Record, ...]:
    """Records as the specs list them, so that a parallel run gives the same bytes; those of no spec come last."""
    places = {key: number for number, key in enumerate(uses_by_id(specs))}
    return tuple(sorted(records, key=lambda record: places.get(record.key, len(places))))


def _citation_fault(record: Record, evidence: HashedEvidence) -> str:
    """Why a record rests on evidence that is not there or was changed; empty if it does not."""
    noted = evidence.noted
    for name, digest in record.evidence:
        if name not in noted:
            return f"cites evidence {name!r}, which this run did not note"
        if noted[name].digest != digest:
            return f"cites evidence {name!r} with digest {digest}, the run noted {noted[name].digest}"
        if name in evidence.damage:
            return evidence.damage[name]
    known = {digest for name, _ in record.evidence for digest in noted[name].files.values()}
    for measurement in record.measurements:
        if strange := sorted(set(measurement.evidence) - known):
            return f"measurement {measurement.name!r} cites {strange[0]}, a file of no evidence it names"
    return ""


def _refused(record: Record, reason: str) -> Record:
    """An error in its place. Without measurements, for nothing may be concluded from them."""
    return replace(record, outcome=Outcome.ERROR, reason=reason, measurements=())
