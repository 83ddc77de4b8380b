"""Run a falsifier and its controls in a forked child: it may raise, hang, crash or print, and only answers come back."""

from __future__ import annotations

import json
import math
import os
import selectors
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

from refute.context import Context, Evidence, Parameter
from refute.controls import Bench, Control
from refute.errors import RefuteError
from refute.outcome import Measurement
from refute.records import measurement_from_json
from refute.registry import Falsifier


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
) -> Trial:
    """Show the falsifier every control, then the real evidence, each within `timeout_s` seconds.

    The child's output goes to `log`. A child that ends without answering is a fault, whatever its status.
    """
    calls: list[tuple[str, Callable[[Path], Context]]] = [
        (f"control {control.name}", _on_bench(control, parameters, evidence))
        for control in falsifier.controls
    ]
    calls.append(("real", lambda _: Context(dict(parameters), evidence)))
    answers: dict[str, Answer] = {}
    with tempfile.TemporaryDirectory(prefix="refute-bench-") as folder:
        for number, (label, make) in enumerate(calls):
            bench = Path(folder) / str(number)
            bench.mkdir()
            answers[label] = _in_child(falsifier, partial(make, bench), timeout_s, log)
    return Trial(
        {control.name: answers[f"control {control.name}"] for control in falsifier.controls}, answers["real"]
    )


def _on_bench(
    control: Control, parameters: Mapping[str, Parameter], evidence: Mapping[str, Evidence]
) -> Callable[[Path], Context]:
    def make(folder: Path) -> Context:
        bench = Bench(folder, dict(parameters), evidence)
        control.build(bench)
        return bench.context()

    return make


def _in_child(falsifier: Falsifier, make: Callable[[], Context], timeout_s: float, log: Path) -> Answer:
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _answer_and_exit(falsifier, make, writing, log)
    os.close(writing)
    try:
        data = _read_until(reading, time.monotonic() + timeout_s)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)  # first the child itself: it may not lead its own group yet
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if data is None:
        return Answer(fault=f"gave no answer within {timeout_s:g} s", timed_out=True)
    return _parse(data, status, log)


def _answer_and_exit(falsifier: Falsifier, make: Callable[[], Context], writing: int, log: Path) -> None:
    """In the child: measure, write the answer, and leave without running any handler of the parent's."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    status = 1
    try:
        answer = _measure(falsifier, make)
        with os.fdopen(writing, "w", encoding="utf-8") as out:
            out.write(json.dumps(answer) + "\n")
        status = 0
    except BaseException:  # noqa: BLE001  # the child must never return into the parent's stack
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(status)


def _measure(falsifier: Falsifier, make: Callable[[], Context]) -> dict[str, Any]:
    try:
        context = make()
        found = list(_plain(falsifier, context))
    except RefuteError as error:
        return {"fault": str(error) + (f" ({error.hint})" if error.hint else "")}
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a falsifier's own failure is an outcome with a name
        traceback.print_exc()
        return {"fault": f"raised {type(error).__name__}: {error}"}
    return {"measurements": [asdict(measurement) for measurement in found]}


def _plain(falsifier: Falsifier, context: Context) -> Iterator[Measurement]:
    for measurement in falsifier.measure(context) or ():
        if not isinstance(measurement, Measurement):
            raise TypeError(f"must give Measurements, gave {type(measurement).__name__}")
        if measurement.name not in falsifier.measures:
            raise ValueError(
                f"gave measurement {measurement.name!r}, which it does not declare in `measures`"
            )
        unit = falsifier.measures[measurement.name]
        if measurement.unit != unit:
            raise ValueError(f"gave {measurement.name!r} in {measurement.unit!r}, but declares {unit!r}")
        if isinstance(measurement.value, bool) or not isinstance(measurement.value, Real):
            raise TypeError(f"gave {measurement.name!r} = {measurement.value!r}, which is not a number")
        value = float(measurement.value)
        if not math.isfinite(value):
            raise ValueError(f"gave {measurement.name!r} = {value}, which is not finite")
        yield replace(
            measurement,
            value=value,
            n=int(measurement.n),
            evidence=measurement.evidence or context.files_read(),
        )


def _read_until(reading: int, deadline: float) -> bytes | None:
    data = b""
    with selectors.DefaultSelector() as selector:
        selector.register(reading, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            chunk = os.read(reading, 1 << 16)
            if not chunk:
                return data
            data += chunk
    return None


def _parse(data: bytes, status: int, log: Path) -> Answer:
    if not data.endswith(b"\n"):
        code = os.waitstatus_to_exitcode(status)
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return Answer(fault=f"its process ended with {how} before it answered; see {log.name}")
    answer = json.loads(data)
    if "fault" in answer:
        return Answer(fault=answer["fault"])
    try:
        return Answer(tuple(measurement_from_json(json.dumps(each)) for each in answer["measurements"]))
    except ValueError as error:
        return Answer(fault=f"gave a measurement that is not one: {error}")
