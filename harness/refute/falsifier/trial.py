"""Run a falsifier and its controls in a forked child: it may raise, hang, crash or print; only results come back."""

from __future__ import annotations

import json
import math
import operator
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

from refute.errors import NoRunError, RefuteError, UnbarredError, UntestableBarError
from refute.falsifier.bench_bar import BenchBar
from refute.falsifier.context import Context, Evidence, Parameter
from refute.falsifier.controls import Bench, Control
from refute.falsifier.error_location import place_of
from refute.falsifier.forked import Reply, replies_of
from refute.falsifier.records import measurement_from_json
from refute.falsifier.registry import Falsifier
from refute.outcome import Interval, Measurement


class FaultKind(StrEnum):
    """Why a call gave no measurements. `refused`: the falsifier itself raised what its control lets it raise.

    `unbarred` and `untestable`: the control is about a bar that this use does not set, or that has no such side.
    """

    TIMED_OUT = "timed_out"
    REFUSED = "refused"
    NEEDS_RUN = "needs_run"
    UNBARRED = "unbarred"
    UNTESTABLE = "untestable"
    FAILED = "failed"


# Why a control may be unable to lay out its evidence without being broken.
_NOT_LAID_OUT: Mapping[type[Exception], FaultKind] = {
    NoRunError: FaultKind.NEEDS_RUN,
    UnbarredError: FaultKind.UNBARRED,
    UntestableBarError: FaultKind.UNTESTABLE,
}


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What one call of a falsifier gave: measurements or, with a `kind`, a fault that says why there are none."""

    measurements: tuple[Measurement, ...] = ()
    fault: str = ""
    kind: FaultKind | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of each control, by name, and of the real evidence."""

    controls: Mapping[str, TrialResult]
    real: TrialResult


# Who is shown an exception before it becomes the words of a result.
Noted = Callable[[BaseException], None]


def log_traceback(error: BaseException) -> None:
    """On standard error, which is the log in a child."""
    traceback.print_exception(error)


def try_falsifier(
    falsifier: Falsifier,
    parameters: Mapping[str, Parameter],
    evidence: Mapping[str, Evidence],
    *,
    bars: Mapping[str, BenchBar],
    timeout_s: float,
    log: Path,
    apart: bool = True,
) -> Trial:
    """Show the falsifier every control, then the real evidence, each within `timeout_s` seconds.

    The child's output goes to `log`. A child that ends without answering is a fault, whatever its status.
    Not `apart`, every call is made in this very process, fast and without any of that: for a process to spare.
    """
    controls = try_controls(falsifier, parameters, evidence, bars=bars, timeout_s=timeout_s, log=log, apart=apart)
    (real,) = _call(falsifier, [_on_evidence(parameters, evidence)], timeout_s, log, apart=apart)
    return Trial(controls, real)


def try_evidence(
    falsifier: Falsifier, parameters: Mapping[str, Parameter], evidence: Mapping[str, Evidence], noted: Noted
) -> TrialResult:
    """The result of the real evidence, in this very process, with no limit of time: for a debugger."""
    return _result(_measure(falsifier, *_on_evidence(parameters, evidence), noted))


def try_controls(
    falsifier: Falsifier,
    parameters: Mapping[str, Parameter],
    evidence: Mapping[str, Evidence],
    *,
    bars: Mapping[str, BenchBar],
    timeout_s: float,
    log: Path,
    apart: bool = True,
    noted: Noted = log_traceback,
) -> dict[str, TrialResult]:
    """The result of each control, by name, as `try_falsifier` gets it."""
    calls: list[Call] = []
    with tempfile.TemporaryDirectory(prefix="refute-bench-", ignore_cleanup_errors=True) as folder:
        for number, control in enumerate(falsifier.controls):
            bench = Path(folder) / str(number)
            bench.mkdir()
            calls.append((partial(_on_bench(control, parameters, evidence, bars), bench), control.raises))
        results = _call(falsifier, calls, timeout_s, log, apart=apart, noted=noted)
    return {control.name: result for control, result in zip(falsifier.controls, results, strict=True)}


def lay_out(
    control: Control,
    parameters: Mapping[str, Parameter],
    evidence: Mapping[str, Evidence],
    bars: Mapping[str, BenchBar],
    folder: Path,
) -> Callable[[Falsifier], TrialResult]:
    """`control` laid out in `folder` once; what this returns shows it to a falsifier, in this very process."""
    benches: list[Bench] = []

    def make() -> Context:
        if not benches:
            bench = Bench(folder, dict(parameters), evidence, bars)
            control.build(bench)
            benches.append(bench)
        return replace(benches[0], parameters=dict(parameters)).context()

    return lambda falsifier: _result(_measure(falsifier, make, control.raises, lambda _error: None))


Make = Callable[[], Context]
Refusals = tuple[type[Exception], ...]

# What lays a call out, and the exceptions that are refusals there.
Call = tuple[Make, Refusals]


def _call(
    falsifier: Falsifier,
    calls: Sequence[Call],
    timeout_s: float,
    log: Path,
    *,
    apart: bool,
    noted: Noted = log_traceback,
) -> list[TrialResult]:
    """The results of `calls` in their order, each from a child of its own, or all from this very process."""
    if not apart:
        return [_result(_measure(falsifier, make, refusals, noted)) for make, refusals in calls]
    works = [partial(_measured, falsifier, make, refusals) for make, refusals in calls]
    return [_parse(reply) for reply in replies_of(works, timeout_s, log)]


def _on_evidence(parameters: Mapping[str, Parameter], evidence: Mapping[str, Evidence]) -> Call:
    return (lambda: Context(dict(parameters), evidence)), ()


def _on_bench(
    control: Control,
    parameters: Mapping[str, Parameter],
    evidence: Mapping[str, Evidence],
    bars: Mapping[str, BenchBar],
) -> Callable[[Path], Context]:
    def make(folder: Path) -> Context:
        bench = Bench(folder, dict(parameters), evidence, bars)
        control.build(bench)
        return bench.context()

    return make


def _measured(falsifier: Falsifier, make: Make, refusals: Refusals) -> str:
    return json.dumps(_measure(falsifier, make, refusals, log_traceback))


def _parse(reply: Reply) -> TrialResult:
    if reply.fault:
        return TrialResult(fault=reply.fault, kind=FaultKind.TIMED_OUT if reply.timed_out else FaultKind.FAILED)
    try:
        return _result(json.loads(reply.line))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        return TrialResult(fault=f"gave a measurement that is not one: {error}", kind=FaultKind.FAILED)


def _measure(falsifier: Falsifier, make: Make, refusals: Refusals, noted: Noted) -> dict[str, Any]:
    try:
        context = make()
    except BaseException as error:  # noqa: BLE001  # whatever a control's `build` raises
        kind = next((kind for cause, kind in _NOT_LAID_OUT.items() if isinstance(error, cause)), FaultKind.FAILED)
        if kind is FaultKind.FAILED:
            noted(error)
        return {"fault": f"could not be laid out: {_told(error, falsifier)}", "kind": kind}
    try:
        found = list(_plain(falsifier, context))
    except BaseException as error:  # noqa: BLE001  # SystemExit, a skip, anything: an outcome with a name
        kind = FaultKind.REFUSED if isinstance(error, refusals) else FaultKind.FAILED
        noted(error)
        return {"fault": _told(error, falsifier), "kind": kind}
    return {"measurements": [asdict(measurement) for measurement in found]}


def _told(error: BaseException, falsifier: Falsifier) -> str:
    """An exception in the words of a record, with the author's own line that it came from."""
    place = place_of(error, falsifier.file.parent)
    if isinstance(error, RefuteError):
        text = str(error) + (f" ({error.hint})" if error.hint else "")
    else:
        text = f"{'' if place else 'raised '}{type(error).__name__}: {error}"
    return f"{place}: {text}" if place else text


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


def _result(found: Mapping[str, Any]) -> TrialResult:
    if "fault" in found:
        return TrialResult(fault=str(found["fault"]), kind=FaultKind(found["kind"]))
    return TrialResult(tuple(measurement_from_json(json.dumps(each)) for each in found["measurements"]))
