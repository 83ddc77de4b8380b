"""records.jsonl: what was recorded is read back exactly, and everything else is a fault with its line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refute.errors import UnreadableInputError
from refute.falsifier.records import (
    measurement_from_json,
    parse_records,
    record_from_json,
    record_to_json,
)
from refute.judge.run.folder import RunFolder
from refute.outcome import ControlResult, Interval, Measurement, Outcome, Record, RunClass

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
INTERVALS = st.builds(Interval, NUMBER, NUMBER, NUMBER, TEXT)
MEASUREMENTS = st.builds(
    Measurement, TEXT, NUMBER, TEXT, st.integers(0, 2**40), st.none() | INTERVALS, st.tuples(TEXT, TEXT)
)
SEVERAL = st.lists(MEASUREMENTS, max_size=2).map(tuple)
CONTROLS = st.builds(ControlResult, TEXT, st.sampled_from(Outcome), st.sampled_from(Outcome), TEXT, SEVERAL)
RECORDS = st.builds(
    Record,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    st.sampled_from(Outcome),
    TEXT,
    st.sampled_from(RunClass),
    SEVERAL,
    st.lists(CONTROLS, max_size=2).map(tuple),
    st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
    TEXT,
)
WHOLE = Record(
    "SPEC-A",
    "AC-A",
    "F-A",
    "a-count",
    Outcome.CORROBORATED,
    "count = 0",
    RunClass.QUICK,
    (Measurement("count", 0.5, "files", 3, Interval(0.0, 1.0, 0.95, "Wilson"), ("e" * 64,)),),
    (ControlResult("good", Outcome.CORROBORATED, Outcome.CORROBORATED, "as it must"),),
    (("corpus", "d" * 64),),
    "c" * 64,
)


@pytest.mark.slow
@given(RECORDS)
def test_every_record_survives_its_line(record: Record) -> None:
    """One line, without a line break inside, that gives the very record back; -0.0 and the last bit included."""
    line = record_to_json(record)
    assert "\n" not in line
    assert record_from_json(line) == record
    assert record_to_json(record_from_json(line)) == line


def changed(path: str, value: Any) -> str:
    """The whole record as JSON with the value at a dotted path replaced, or taken away by ...."""
    content = json.loads(record_to_json(WHOLE))
    place: Any = content
    *parents, last = path.split(".")
    for key in parents:
        place = place[int(key) if isinstance(place, list) else key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("outcome", "passed", "outcome: Input should be"),
        ("outcome", None, "outcome: "),
        ("outcome", ..., "outcome: Field required"),
        ("run_class", "huge", "run_class: "),
        ("verdict", "GO", "verdict: Unexpected"),
        ("reason", 3, "reason: Input should be a valid string"),
        ("measurements.0.value", float("nan"), "measurements.0.value: .*finite"),
        ("measurements.0.value", float("inf"), "measurements.0.value: .*finite"),
        ("measurements.0.value", "0.5", "measurements.0.value: Input should be a valid number"),
        ("measurements.0.value", True, "measurements.0.value: Input should be a valid number"),
        ("measurements.0.n", 2.5, "measurements.0.n: "),
        ("measurements.0.n", "3", "measurements.0.n: "),
        ("measurements.0.interval.low", float("-inf"), "interval.low: .*finite"),
        ("measurements.0.extra", 1, "measurements.0.extra: Unexpected"),
        ("controls.0.expected", "good", "controls.0.expected: "),
        ("controls", {}, "controls: "),
        ("evidence", [["corpus"]], "evidence.0.1: Field required"),
    ],
)
def test_a_line_that_is_not_quite_a_record_is_a_fault(path: str, value: Any, fault: str) -> None:
    """Unknown words, unknown keys, missing keys, coerced types and numbers that are not finite."""
    with pytest.raises(ValueError, match=fault) as caught:
        record_from_json(changed(path, value))
    assert "http" not in str(caught.value)


def test_numbers_beyond_floats_are_refused() -> None:
    """1e999 is infinity in JSON's clothes."""
    with pytest.raises(ValueError, match="finite"):
        measurement_from_json('{"name": "a", "value": 1e999, "unit": "x", "n": 1}')


@pytest.mark.parametrize("line", [b"", b"{", b"null", b"[]", b"\xff", b"{}", record_to_json(WHOLE).encode()[:-1]])
def test_faults_name_their_line_and_keep_the_rest(line: bytes) -> None:
    """Empty, torn, of another kind: the records around it are read, and the fault is not lost."""
    good = record_to_json(WHOLE).encode()
    records, faults = parse_records([good, line, good])
    assert records == (WHOLE, WHOLE)
    assert len(faults) == 1
    assert faults[0].startswith("records.jsonl line 2 is not a record: ")


def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    """Odd characters inside a reason break no line; a torn last line is a fault; no file has no records."""
    odd = replace(WHOLE, reason="a\u2028b\u0085c\rd\ne")
    run, path = RunFolder(tmp_path), tmp_path / "records.jsonl"
    assert parse_records(run.record_lines()) == ((), ())
    path.write_bytes(b"")
    assert parse_records(run.record_lines()) == ((), ())
    path.write_text(record_to_json(odd) + "\n" + record_to_json(WHOLE)[:40], encoding="utf-8")
    records, faults = parse_records(run.record_lines())
    assert records == (odd,)
    assert [fault[:20] for fault in faults] == ["records.jsonl line 2"]


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    """A folder in its place is an error of ours, and not a traceback."""
    (tmp_path / "records.jsonl").mkdir()
    with pytest.raises(UnreadableInputError, match=r"cannot read .*records\.jsonl"):
        RunFolder(tmp_path).record_lines()


APPEND = """
import sys
from pathlib import Path
from refute.falsifier.records import record_from_json
from refute.judge.run.folder import RunFolder

record = record_from_json(sys.stdin.read())
for _ in range(100):
    RunFolder(Path(sys.argv[1])).append_record(record)
"""


@pytest.mark.slow
def test_several_processes_append_whole_lines(tmp_path: Path) -> None:
    """As the workers of `-n 2` do: every line of each is there and none is torn."""
    code = [sys.executable, "-c", APPEND, str(tmp_path)]
    line = record_to_json(replace(WHOLE, reason="long " * 1000))
    writers = [subprocess.Popen(code, stdin=subprocess.PIPE, text=True) for _ in range(2)]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(line)
        writer.stdin.close()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    records, faults = parse_records(RunFolder(tmp_path).record_lines())
    assert (len(records), faults) == (200, ())
