"""Measure a finished run again, in a process that has seen nothing of pytest, and say what comes out differently.

Code that runs inside pytest (a conftest.py, a plugin) can make a falsifier's numbers anything, or write records
without a falsifier. It cannot reach this process: falsifiers are loaded afresh and shown their controls and the
evidence once more. A falsifier is a function of its evidence, so the numbers must be the same.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from refute.errors import UsageError
from refute.falsifier.records import parse_records
from refute.isolation.command import isolated_command
from refute.isolation.environment import clean_environment
from refute.isolation.orphans import ending_orphans
from refute.judge.remeasure.worker import Request
from refute.judge.run.folder import EvidenceLine, RunFolder
from refute.outcome import Interval, Measurement, Record
from refute.spec.criteria import FalsifierUse, Spec, attacks

# Relative. Reports show six digits; sums of floats may differ in the last of sixteen on another machine.
TOLERANCE = 1e-6

# Seconds for the interpreter, libraries and falsifier files, beside what the uses allow.
_STARTING_S = 120.0
_LONGEST_LOG = 400

# By far the commonest cause of another number from the same files.
_RANDOM = "does the falsifier use random numbers without a seed?"


def falsifiers_of(run: RunFolder) -> tuple[Path, ...]:
    """The folders of falsifiers that a run names. Raises UsageError where it names none: nothing is taken on trust."""
    named = run.read_run().falsifiers
    if named is None:
        raise UsageError(
            f"{run.path} does not say where its falsifiers lie, so it cannot be measured again",
            hint="give their folder with --falsifiers",
        )
    return tuple(map(Path, named))


def measure_again(
    run: RunFolder,
    specs: Sequence[Spec],
    records: Sequence[Record],
    evidence: Mapping[str, EvidenceLine],
    falsifiers: Sequence[Path],
    wrapper: Sequence[str] = (),
) -> tuple[str, ...]:
    """A sentence for each record with measurements that does not come out again, in the order of `records`.

    `falsifiers` are folders of falsifier files; those of installed packs are loaded, too. `wrapper` goes before the
    command, to contain it. Controls are shown again as well, and must give the same outcomes. Values may differ by
    TOLERANCE, everything else about a measurement must be equal: units, counts, files, code.
    """
    uses = {(criterion.id, use.id): use for _, criterion, use in attacks(specs)}
    # All in one process, which takes a tenth of the time; then those that differ or died, each call in its own.
    differing, sentences = [record for record in records if record.measurements], dict[int, str]()
    for apart in (False, True):
        if differing:
            request = Request(
                run=str(run.path),
                falsifiers=tuple(map(str, falsifiers)),
                evidence=tuple(evidence.values()),
                wanted=tuple((record.criterion, record.falsifier) for record in differing),
                apart=apart,
            )
            sentences = _sentences(differing, *_replay(request, _limit_s(differing, uses), wrapper))
            differing = [differing[index] for index in sentences]
    return tuple(sentences.values())


def _limit_s(records: Iterable[Record], uses: Mapping[tuple[str, str], FalsifierUse]) -> float:
    """Falsifiers and controls are timed one by one; this is for a file that never finishes loading."""
    calls = ((uses.get((record.criterion, record.falsifier)), len(record.controls) + 1) for record in records)
    return _STARTING_S + sum(use.timeout_s * count for use, count in calls if use is not None)


def _replay(request: Request, limit_s: float, wrapper: Sequence[str]) -> tuple[dict[tuple[str, str], Record], str]:
    """Records by criterion and falsifier, and why some may be missing."""
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write(request.model_dump_json().encode())
        stdin.seek(0)
        # Files, not pipes: a process that a falsifier left behind may hold a pipe open for ever.
        status = _run_to_the_end(limit_s, wrapper, stdin, stdout, stderr)
        stdout.seek(0)
        records, faults = parse_records(stdout.read().splitlines())
        stderr.seek(0)
        words = stderr.read().decode("utf-8", "backslashreplace").strip()[-_LONGEST_LOG:]
    if status != 0:
        faults = (f"the process that measures again {_how(status, limit_s)}: {words}", *faults)
    return {(record.criterion, record.falsifier): record for record in records}, "; ".join(faults)


def _run_to_the_end(
    limit_s: float, wrapper: Sequence[str], stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]
) -> int | None:
    """The exit status of the process that measures again, None if it took too long; nothing of it is left running."""
    with ending_orphans():
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [*wrapper, *isolated_command("refute.judge.remeasure.worker")],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            env=clean_environment(os.environ, own=False),  # it runs the repository's code: no secret of ours goes there
        )
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _how(status: int | None, limit_s: float) -> str:
    return f"did not end within {limit_s:g} s" if status is None else f"ended with status {status}"


def _sentences(records: Iterable[Record], again: Mapping[tuple[str, str], Record], fault: str) -> dict[int, str]:
    """By index, what is wrong with those that did not come out again."""
    sentences: dict[int, str] = {}
    for index, record in enumerate(records):
        found = again.get((record.criterion, record.falsifier))
        different = _difference(record, found) if found is not None else fault or "it was not measured again"
        if different:
            sentences[index] = f"the record of {record.falsifier} does not come out again: {different}"
    return sentences


def _difference(record: Record, again: Record) -> str:
    """The first thing in which the two differ, most telling first; empty when they agree."""
    if record.code != again.code:
        return (
            f"it was recorded by code {record.code or 'unknown'}, the judge has {again.code or f'none: {again.reason}'}"
        )
    different = _measured_otherwise(record.measurements, again.measurements)
    if record.outcome is not again.outcome:
        why = different if again.measurements else again.reason
        return f"recorded as {record.outcome}, measured again it is {again.outcome}: {why or again.reason}"
    if different:
        return different
    told, shown = ([(c.name, c.expected, c.observed) for c in each.controls] for each in (record, again))
    if told != shown:
        return f"its controls gave {told}, and now {shown}"
    return ""


def _measured_otherwise(old: Sequence[Measurement], new: Sequence[Measurement]) -> str:
    if [_facts(each) for each in old] != [_facts(each) for each in new]:
        return f"recorded with {[_facts(each) for each in old]}, measured again with {[_facts(each) for each in new]}"
    for was, now in zip(old, new, strict=True):
        for before, after in zip(_numbers(was), _numbers(now), strict=True):  # as long: the facts are equal
            if not _close(before, after):
                return f"{was.name} measured again gave {after!r}, was {before!r} {was.unit}: {_RANDOM}"
    return ""


def _facts(measured: Measurement) -> tuple[object, ...]:
    """What must be equal."""
    method = measured.interval.method if measured.interval is not None else None
    return measured.name, measured.unit, measured.n, measured.evidence, method


def _numbers(measured: Measurement) -> tuple[float, ...]:
    interval = measured.interval
    return (measured.value,) if interval is None else (measured.value, *_ends(interval))


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.low, interval.high, interval.level


def _close(old: float, new: float) -> bool:
    return math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=1e-12)
