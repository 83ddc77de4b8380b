"""Run a falsifier and its controls in a forked child: it may raise, hang, crash or print; only answers come back."""

from __future__ import annotations

import faulthandler
import gc
import json
import math
import operator
import os
import selectors
import signal
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

from refute.context import Context, Evidence, Parameter
from refute.controls import Bench, Control
from refute.errors import RefuteError
from refute.outcome import Interval, Measurement
from refute.records import measurement_from_json
from refute.registry import Falsifier

# Of the time that a child has: then it writes down where it is, while it still can.
_WRITES_DOWN_AT = 0.9
# Controls that run beside each other: a fork costs the parent as much as the child, and two cores are common.
_AT_ONCE = 2

Make = Callable[[], Context]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call of a falsifier gave: measurements, or a fault that says why there are none."""

    measurements: tuple[Measurement, ...] = ()
    fault: str = ""
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """The answer to each control, by name, and to the real evidence."""

    controls: Mapping[str, Answer]
    real: Answer


def try_falsifier(
    falsifier: Falsifier,
    parameters: Mapping[str, Parameter],
    evidence: Mapping[str, Evidence],
    *,
    timeout_s: float,
    log: Path,
    apart: bool = True,
) -> Trial:
    """Show the falsifier every control, then the real evidence, each within `timeout_s` seconds.

    The child's output goes to `log`. A child that ends without answering is a fault, whatever its status.
    Not `apart`, every call is made in this very process, fast and without any of that: for a process to spare.
    """
    controls = try_controls(falsifier, parameters, evidence, timeout_s=timeout_s, log=log, apart=apart)
    (real,) = _call(falsifier, [lambda: Context(dict(parameters), evidence)], timeout_s, log, apart=apart)
    return Trial(controls, real)


def try_controls(
    falsifier: Falsifier,
    parameters: Mapping[str, Parameter],
    evidence: Mapping[str, Evidence],
    *,
    timeout_s: float,
    log: Path,
    apart: bool = True,
) -> dict[str, Answer]:
    """The answer to each control, by name, as `try_falsifier` gets it."""
    with tempfile.TemporaryDirectory(prefix="refute-bench-", ignore_cleanup_errors=True) as folder:
        makes: list[Make] = []
        for number, control in enumerate(falsifier.controls):
            bench = Path(folder) / str(number)
            bench.mkdir()
            makes.append(partial(_on_bench(control, parameters, evidence), bench))
        answers = _call(falsifier, makes, timeout_s, log, apart=apart)
    return {control.name: answer for control, answer in zip(falsifier.controls, answers, strict=True)}


def _call(falsifier: Falsifier, makes: Sequence[Make], timeout_s: float, log: Path, *, apart: bool) -> list[Answer]:
    """The falsifier's answers to what each function lays out: from a child each, or from this very process."""
    if not apart:
        return [_answer(_measure(falsifier, make)) for make in makes]
    answers: list[Answer] = []
    running: deque[_Child] = deque()
    try:
        for make in makes:
            if len(running) == _AT_ONCE:
                answers.append(running[0].answer())
                running.popleft()
            running.append(_Child(falsifier, make, timeout_s, log))
        while running:
            answers.append(running[0].answer())
            running.popleft()
    finally:
        for child in running:
            child.end()
    return answers


def _on_bench(
    control: Control, parameters: Mapping[str, Parameter], evidence: Mapping[str, Evidence]
) -> Callable[[Path], Context]:
    def make(folder: Path) -> Context:
        bench = Bench(folder, dict(parameters), evidence)
        control.build(bench)
        return bench.context()

    return make


class _Child:
    """A process in which a falsifier is called, from its fork to its end."""

    def __init__(self, falsifier: Falsifier, make: Make, timeout_s: float, log: Path) -> None:
        self._timeout_s, self._log = timeout_s, log
        self._reading, writing = os.pipe()
        _flush()
        # A collection in the child would write to, and so copy, every page of the parent's objects: 50 ms each time.
        gc.freeze()
        self._deadline = time.monotonic() + timeout_s
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._reading)
            _answer_and_exit(falsifier, make, writing, log, timeout_s)
        gc.unfreeze()
        os.close(writing)

    def answer(self) -> Answer:
        """What it answers until its time is over; then nothing of it runs any more."""
        data = None
        # Its answer may have waited in the pipe for the end of a neighbour that hung.
        deadline = max(self._deadline, time.monotonic() + self._timeout_s / 2)
        try:
            data = _read_until(self._reading, deadline)
        finally:
            status = self.end()
        if data is None:
            fault = f"gave no answer within {self._timeout_s:g} s; see {self._log.name} for where it was by then"
            return Answer(fault=fault, timed_out=True)
        return _parse(data, status, self._log)

    def end(self) -> int:
        """Kill it and what it started, once; its status as os.waitpid gives it."""
        if self._reading < 0:
            return 0
        os.close(self._reading)
        self._reading = -1
        os.kill(self._pid, signal.SIGKILL)  # first the child itself: it may not lead its own group yet
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        return os.waitpid(self._pid, 0)[1]


def _answer_and_exit(falsifier: Falsifier, make: Make, writing: int, log: Path, timeout_s: float) -> None:
    """In the child: measure, write the answer, and leave without running any handler of the parent's."""
    status = 1
    try:
        _detach(log)
        # To the descriptor: sys.stderr may be anything by then.
        faulthandler.dump_traceback_later(_WRITES_DOWN_AT * timeout_s, file=2)
        answer = json.dumps(_measure(falsifier, make)) + "\n"
        _flush()  # before the answer: the parent ends this process as soon as it has one
        with os.fdopen(writing, "w", encoding="utf-8") as out:
            out.write(answer)
        status = 0
    except BaseException:  # noqa: BLE001  # the child must never return into the parent's stack
        traceback.print_exc()
    finally:
        try:
            _flush()
        finally:
            os._exit(status)


def _detach(log: Path) -> None:
    """Own session, no input, output into `log`: under pytest or rich, sys.stdout is not what descriptor 1 is."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with log.open("ab") as stream, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    sys.stdin = os.fdopen(0, encoding="utf-8")
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace", buffering=1) for number in (1, 2)
    )


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _measure(falsifier: Falsifier, make: Make) -> dict[str, Any]:
    try:
        context = make()
        found = list(_plain(falsifier, context))
    except RefuteError as error:
        return {"fault": str(error) + (f" ({error.hint})" if error.hint else "")}
    except BaseException as error:  # noqa: BLE001  # SystemExit, a skip, anything: an outcome with a name
        traceback.print_exc()
        return {"fault": f"raised {type(error).__name__}: {error}"}
    return {"measurements": [asdict(measurement) for measurement in found]}


def _plain(falsifier: Falsifier, context: Context) -> Iterator[Measurement]:
    """The measurements as plain numbers (numpy's scalars too), once each is one that the falsifier declares."""
    seen: set[str] = set()
    for measurement in _found(falsifier, context):
        if not isinstance(measurement, Measurement):
            raise TypeError(f"must give Measurements, gave {type(measurement).__name__}")
        name = measurement.name
        if name not in falsifier.measures:
            raise ValueError(f"gave measurement {name!r}, which it does not declare in `measures`")
        if name in seen:
            raise ValueError(f"gave {name!r} twice")
        seen.add(name)
        if measurement.unit != falsifier.measures[name]:
            raise ValueError(f"gave {name!r} in {measurement.unit!r}, but declares {falsifier.measures[name]!r}")
        yield replace(
            measurement,
            value=_number(name, measurement.value),
            n=operator.index(measurement.n),
            interval=_interval(name, measurement.interval),
            evidence=measurement.evidence or context.files_read(),
        )


def _found(falsifier: Falsifier, context: Context) -> Iterable[object]:
    """What a stranger's function gives: its annotations are a wish."""
    return falsifier.measure(context) or ()


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"gave {name!r} = {value!r}, which is not a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"gave {name!r} = {number}, which is not finite")
    return number


def _interval(name: str, interval: object) -> Interval | None:
    if interval is None:
        return None
    if not isinstance(interval, Interval):
        raise TypeError(f"gave {name!r} with an interval that is a {type(interval).__name__}")
    low, high, level = (_number(name, end) for end in (interval.low, interval.high, interval.level))
    return replace(interval, low=low, high=high, level=level)


def _read_until(reading: int, deadline: float) -> bytes | None:
    """One line, or what came before the end of file; None once the deadline has passed."""
    data = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(reading, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and selector.select(left):
            chunk = os.read(reading, 1 << 16)
            data += chunk
            # Not the end of file alone: a process that the falsifier left behind may hold the pipe open.
            if not chunk or chunk.endswith(b"\n"):
                return bytes(data)
    return None


def _parse(data: bytes, status: int, log: Path) -> Answer:
    if not data.endswith(b"\n"):
        code = os.waitstatus_to_exitcode(status)
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return Answer(fault=f"its process ended with {how} before it answered; see {log.name}")
    try:
        return _answer(json.loads(data))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        return Answer(fault=f"gave a measurement that is not one: {error}")


def _answer(found: Mapping[str, Any]) -> Answer:
    if "fault" in found:
        return Answer(fault=str(found["fault"]))
    return Answer(tuple(measurement_from_json(json.dumps(each)) for each in found["measurements"]))
