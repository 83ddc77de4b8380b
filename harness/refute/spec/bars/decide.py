"""From measurements to an outcome, by the spec alone: used by the runner to record and by the judge to check."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from refute.outcome import ControlResult, Measurement, Outcome, Record, RunClass
from refute.spec.bars.sequential import Design
from refute.spec.bars.threshold import decide, decide_all
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
    with the numbers in the reason. What it falsifies stays falsified, for it is this very model that fails. A
    measurement of fewer observations than the spec asks for in such a run corroborates nothing.
    """
    without = sorted({each.name for each in measurements if not each.evidence})
    if without:
        return Outcome.ERROR, f"rests on no evidence file: {', '.join(without)}"
    outcome, reason = _by_bars(use, measurements)
    if outcome is Outcome.CORROBORATED and (short := _too_few(use, run_class, measurements)):
        outcome, reason = Outcome.INCONCLUSIVE, "; ".join(short)
    required = required_class(criterion, use)
    open_outcomes = (Outcome.CORROBORATED, Outcome.INCONCLUSIVE)
    if outcome in open_outcomes and not run_class.reaches(required):
        return (
            Outcome.NOT_RUN,
            f"needs a run of class {required}, this one is {run_class}; it measured: {reason}",
        )
    return outcome, reason


def _too_few(use: FalsifierUse, run_class: RunClass, measurements: Sequence[Measurement]) -> list[str]:
    """A sentence for each measurement of fewer observations than its bar asks for in a run of this class."""
    needed = {name: bar.least_n(run_class) for name, bar in use.thresholds.items()}
    return [
        f"{each.name}: n = {each.n}, the spec asks for at least {needed[each.name]} in a run of class {run_class}"
        for each in measurements
        if each.n < needed.get(each.name, 1)
    ]


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
    """What is wrong with a record's controls, recomputed from their measurements; empty when nothing is.

    The first law, bar by bar: a bar counts only if a known-bad control has just failed it alone, every other bar held.
    """
    faults = [misbehaviour(record.controls), *(_told_otherwise(control, record, use) for control in record.controls)]
    shown = [control for control in record.controls if control.observed is not Outcome.NOT_APPLICABLE]
    for expected in (Outcome.CORROBORATED, Outcome.FALSIFIED):
        if not any(control.expected is expected for control in shown):
            faults.append(f"no control was expected to be {expected}")
    if not any(faults):
        faults += [f"no control shows that {bar} can fail: none fails it alone" for bar in unshown_bars(shown, use)]
    return "; ".join(fault for fault in faults if fault)


def unshown_bars(controls: Iterable[ControlResult], use: FalsifierUse) -> list[str]:
    """The bars of `use`, as "name: bar", that no known-bad control among `controls` fails with all others held."""
    shown = {_failed_alone(use, control.measurements) for control in controls if control.expected is Outcome.FALSIFIED}
    return [f"{name}: {bar.holds_if}" for name, bar in use.parsed_thresholds().items() if name not in shown]


def _failed_alone(use: FalsifierUse, measurements: Sequence[Measurement]) -> str:
    """The one bar that is failed where all others hold; empty where there is none."""
    found = {each.name: each for each in measurements}
    bars = use.parsed_thresholds()
    if not found.keys() >= bars.keys():
        return ""
    outcomes = {name: decide(found[name], bar)[0] for name, bar in bars.items()}
    missed = [name for name, outcome in outcomes.items() if outcome is not Outcome.CORROBORATED]
    return missed[0] if len(missed) == 1 and outcomes[missed[0]] is Outcome.FALSIFIED else ""


def _told_otherwise(control: ControlResult, record: Record, use: FalsifierUse) -> str:
    """What a control's recorded outcome has that its numbers do not give."""
    if control.measurements:
        outcome, _ = control_outcome(use, control.measurements)
        if outcome is not control.observed:
            return f"control {control.name!r} is recorded as {control.observed}, its numbers say {outcome}"
    elif control.observed in _MEASURED:
        return f"control {control.name!r} is recorded as {control.observed} without a measurement"
    elif control.observed is Outcome.NOT_APPLICABLE and all(
        each.name in use.thresholds for each in record.measurements
    ):
        return f"control {control.name!r} is recorded as not applicable, yet there is a bar for every measurement"
    return ""
