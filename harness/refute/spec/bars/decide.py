"""From measurements to an outcome, by the spec alone: used by the runner to record and by the judge to check."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from refute.outcome import ControlResult, Measurement, Outcome, Record, RunClass
from refute.spec.bars.sequential import Design
from refute.spec.bars.threshold import decide_all
from refute.spec.criteria import Criterion, FalsifierUse

# Percent points: the last digits of an interval differ between machines.
_TOLERANCE = 1e-6


# What only numbers can say.
_MEASURED = (Outcome.CORROBORATED, Outcome.INCONCLUSIVE, Outcome.FALSIFIED)


def outcome_of(
    criterion: Criterion, use: FalsifierUse, run_class: RunClass, measurements: Sequence[Measurement]
) -> tuple[Outcome, str]:
    """What `measurements` come to under the thresholds of `use` in a run of `run_class`.

    A run below the required class never discharges: what it corroborates or leaves open becomes `not_run`,
    with the numbers in the reason. What it falsifies stays falsified, for it is this very model that fails.
    """
    without = sorted({each.name for each in measurements if not each.evidence})
    if without:
        return Outcome.ERROR, f"rests on no evidence file: {', '.join(without)}"
    outcome, reason = _by_bars(use, measurements)
    required = required_class(criterion, use)
    open_outcomes = (Outcome.CORROBORATED, Outcome.INCONCLUSIVE)
    if outcome in open_outcomes and not run_class.reaches(required):
        return (
            Outcome.NOT_RUN,
            f"needs a run of class {required}, this one is {run_class}; it measured: {reason}",
        )
    return outcome, reason


def required_class(criterion: Criterion, use: FalsifierUse) -> RunClass:
    """The smallest run class that may discharge: the criterion's, or the falsifier's own where that is larger."""
    own = use.requires_run_class
    return own if own is not None and own.reaches(criterion.requires_run_class) else criterion.requires_run_class


def control_outcome(use: FalsifierUse, measurements: Sequence[Measurement]) -> tuple[Outcome, str]:
    """What a control's measurements come to under the same thresholds; run classes do not matter to controls."""
    return _by_bars(use, measurements)


def _by_bars(use: FalsifierUse, measurements: Sequence[Measurement]) -> tuple[Outcome, str]:
    broken = sorted({each.name for each in measurements if not math.isfinite(each.value)})
    if broken:  # also where no bar asks for it: whatever it came from is not sound
        return Outcome.ERROR, f"not a finite number: {', '.join(broken)}"
    if faults := _sequential_faults(use, measurements):
        return Outcome.ERROR, "; ".join(faults)
    return decide_all(measurements, use.parsed_thresholds())


def _sequential_faults(use: FalsifierUse, measurements: Sequence[Measurement]) -> list[str]:
    """Why measurements are not what the declared sequential tests give for their counts: each is made again."""
    designs = use.designs()
    found = [(each, _sequential_fault(each, designs[each.name])) for each in measurements if each.name in designs]
    return [f"{each.name}: {fault}" for each, fault in found if fault]


def _sequential_fault(measurement: Measurement, design: Design) -> str:
    passed = round(measurement.value * measurement.n / 100)
    try:
        wanted = design.interval(passed, measurement.n)
    except ValueError as error:
        return f"no end of the declared sequential test: {error}"
    found = measurement.interval
    ends = (measurement.value, found.low, found.high) if found is not None else ()
    again = (100 * passed / measurement.n, wanted.low, wanted.high)
    if (
        found is None
        or (found.level, found.method_alone) != (wanted.level, wanted.method)
        or max(abs(one - other) for one, other in zip(ends, again, strict=True)) > _TOLERANCE
    ):
        shown = "no interval" if found is None else f"[{found.low:.6g}, {found.high:.6g}] ({found.method})"
        return f"expected [{wanted.low:.6g}, {wanted.high:.6g}] ({wanted.method}), found {shown}"
    return ""


def misbehaviour(controls: Iterable[ControlResult]) -> str:
    """A sentence naming every control that did not give its expected outcome; empty when all behaved."""
    return "; ".join(
        f"control {control.name!r} must be {control.expected}, but was {control.observed} ({control.reason})"
        for control in controls
        if not control.behaved
    )


def control_faults(record: Record, use: FalsifierUse) -> str:
    """What is wrong with a record's controls, recomputed from their measurements; empty when nothing is."""
    faults = [misbehaviour(record.controls)]
    for control in record.controls:
        if control.measurements:
            outcome, _ = control_outcome(use, control.measurements)
            if outcome is not control.observed:
                faults.append(f"control {control.name!r} is recorded as {control.observed}, its numbers say {outcome}")
        elif control.observed in _MEASURED:
            faults.append(f"control {control.name!r} is recorded as {control.observed} without a measurement")
    for expected in (Outcome.CORROBORATED, Outcome.FALSIFIED):
        if not any(control.expected is expected for control in record.controls):
            faults.append(f"no control was expected to be {expected}")
    return "; ".join(fault for fault in faults if fault)
