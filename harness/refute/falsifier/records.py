"""records.jsonl: one record a line, appended as it is made; what cannot be read back is kept as a fault."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from refute.outcome import Measurement, Record
from refute.spec.fields import first_fault

Read = TypeVar("Read")
_RECORD = TypeAdapter(Record)
_MEASUREMENT = TypeAdapter(Measurement)


def record_to_json(record: Record) -> str:
    """The record as one line of JSON."""
    return _RECORD.dump_json(record).decode("utf-8")


def record_from_json(text: str | bytes) -> Record:
    """The record in `text`. Raises ValueError on unknown keys, wrong types, NaN or infinity."""
    return _read(_RECORD, text)


def measurement_from_json(text: str | bytes) -> Measurement:
    """The measurement in `text`; the same strictness."""
    return _read(_MEASUREMENT, text)


def _read(kind: TypeAdapter[Read], text: str | bytes) -> Read:
    try:
        return kind.validate_json(text)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from error


def parse_records(lines: Iterable[bytes]) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """Records and faults of raw lines. An empty line is a fault too: nothing writes one."""
    records: list[Record] = []
    faults: list[str] = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(record_from_json(line))
        except ValueError as error:
            faults.append(f"records.jsonl line {number} is not a record: {error}")
    return tuple(records), tuple(faults)
