"""One falsifier for its author: called in this very process, where it prints and a debugger can stop it.

Nothing here limits its time or survives its crash; that a control behaves here is no evidence for anybody else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from refute.check.controls.trials import NoRun, State
from refute.falsifier.context import Evidence
from refute.falsifier.controls import Control
from refute.falsifier.registry import Falsifier
from refute.falsifier.runner import bench_bars, control_result, parameters_of
from refute.falsifier.trial import FaultKind, Noted, TrialResult, try_controls, try_evidence
from refute.outcome import Measurement, Outcome
from refute.spec.bars.decide import control_outcome
from refute.spec.criteria import FalsifierUse

# In one process there is nobody to stop a call.
_NO_LIMIT_S = float("inf")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a falsifier: on a control or, without `expected`, on the evidence of a run.

    `observed` is None where nothing says what the numbers come to: no spec uses the falsifier, or a run is missing.
    `bars` are those of the use, by measurement.
    """

    use: str
    case: str
    expected: Outcome | None
    observed: Outcome | None
    state: State | None
    reason: str
    measurements: tuple[Measurement, ...]
    bars: Mapping[str, str]

    def as_json(self) -> dict[str, object]:
        """For programs; what nothing says is null."""
        words = {"expected": self.expected, "observed": self.observed, "state": self.state}
        return {
            "use": self.use or None,
            "case": self.case,
            **{name: None if word is None else str(word) for name, word in words.items()},
            "reason": self.reason,
            "measurements": [asdict(measurement) for measurement in self.measurements],
            "bars": dict(self.bars),
        }


def attempts(
    falsifier: Falsifier,
    uses: Sequence[FalsifierUse],
    controls: Sequence[Control],
    evidence: Mapping[str, Evidence] | None,
    noted: Noted,
) -> Iterator[Attempt]:
    """`controls` under the bars of each of `uses`, or without bars where there are none; then `evidence`, if given.

    `noted` is shown every exception that is not what a control is there to provoke.
    """
    for use in uses or (None,):
        for control in controls:
            yield _on_control(falsifier, use, control, NoRun() if evidence is None else evidence, noted)
        if evidence is not None:
            yield _on_evidence(falsifier, use, evidence, noted)


def _on_control(
    falsifier: Falsifier, use: FalsifierUse | None, control: Control, evidence: Mapping[str, Evidence], noted: Noted
) -> Attempt:
    def unexpected(error: BaseException) -> None:
        if control.expected is not Outcome.ERROR or not isinstance(error, control.raises):
            noted(error)

    found = try_controls(
        replace(falsifier, controls=(control,)),
        _parameters(falsifier, use),
        evidence,
        bars={} if use is None else bench_bars(use),
        timeout_s=_NO_LIMIT_S,
        log=Path(os.devnull),
        apart=False,
        noted=unexpected,
    )[control.name]
    if use is None or found.kind is FaultKind.NEEDS_RUN:
        return _without_bars(control.name, control.expected, found)
    result = control_result(use, control, found)
    state = State.BEHAVED if result.behaved else State.MISBEHAVED
    return Attempt(
        use.id, control.name, control.expected, result.observed, state, result.reason, found.measurements, _bars(use)
    )


def _on_evidence(
    falsifier: Falsifier, use: FalsifierUse | None, evidence: Mapping[str, Evidence], noted: Noted
) -> Attempt:
    needed = {need: evidence[need] for need in falsifier.needs if need in evidence}
    found = try_evidence(falsifier, _parameters(falsifier, use), needed, noted)
    if use is None or found.kind is not None:
        return replace(_without_bars("evidence", None, found), use="" if use is None else use.id)
    observed, reason = control_outcome(use, found.measurements)
    # Evidence that is refuted is no fault of its falsifier.
    state = State.MISBEHAVED if observed is Outcome.ERROR else State.BEHAVED
    return Attempt(use.id, "evidence", None, observed, state, reason, found.measurements, _bars(use))


def _without_bars(case: str, expected: Outcome | None, found: TrialResult) -> Attempt:
    """What is known without a bar: whether it measured, and whether it refused what it must refuse."""
    state: State | None = None
    if found.kind is FaultKind.NEEDS_RUN:
        state = State.NEEDS_RUN
    elif (expected is Outcome.ERROR) != (found.kind is FaultKind.REFUSED) or found.kind is FaultKind.FAILED:
        state = State.MISBEHAVED
    return Attempt("", case, expected, None, state, found.fault, found.measurements, {})


def _parameters(falsifier: Falsifier, use: FalsifierUse | None) -> Mapping[str, bool | int | float | str]:
    return falsifier.parameters if use is None else parameters_of(falsifier, use)


def _bars(use: FalsifierUse) -> dict[str, str]:
    return {name: str(threshold.holds_if) for name, threshold in use.parsed_thresholds().items()}
