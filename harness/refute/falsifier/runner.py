"""One use of a falsifier -> one record. The only caller of falsifiers; it records and never decides about a release."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from refute.errors import ExperimentTimeoutError, RefuteError
from refute.falsifier.bench_bar import BenchBar
from refute.falsifier.context import Evidence, Parameter
from refute.falsifier.controls import Control
from refute.falsifier.registry import Falsifier, Registry
from refute.falsifier.trial import FaultKind, TrialResult, try_falsifier
from refute.outcome import ControlResult, Outcome, Record, readable
from refute.spec.bars.decide import control_outcome, misbehaviour, outcome_of
from refute.spec.criteria import Criterion, FalsifierUse, Spec, not_applicable
from refute.spec.files import LoadedRelease

# What a control without measurements has shown, by the kind of its fault; of any other kind, nothing: `not_run`.
_OBSERVED = {
    FaultKind.TIMED_OUT: Outcome.TIMEOUT,
    FaultKind.REFUSED: Outcome.ERROR,
    FaultKind.UNBARRED: Outcome.NOT_APPLICABLE,
}


class Source(Protocol):
    """Where evidence comes from, such as a laboratory."""

    def obtain(self, name: str, /) -> Evidence: ...


@dataclass(frozen=True, slots=True)
class Gate:
    """What stays the same for every record of a run. `apart`: each call of a falsifier in a process of its own."""

    release: LoadedRelease
    registry: Registry
    source: Source
    log: Path
    apart: bool = True

    def run(self, spec: Spec, criterion: Criterion, use: FalsifierUse) -> Record:
        """Attack `criterion` with `use`. Whatever goes wrong becomes an outcome with its reason, never an exception.

        KeyboardInterrupt passes through, so that a run can be stopped and resumed.
        """
        try:
            return self._run(spec, criterion, use)
        except ExperimentTimeoutError as error:
            return self._record(spec, criterion, use, Outcome.TIMEOUT, str(error))
        except (RefuteError, OSError) as error:
            return self._record(spec, criterion, use, Outcome.ERROR, str(error))
        except Exception as error:  # noqa: BLE001  # a fault of our own: said, and not a record that went missing
            with suppress(OSError), self.log.open("a", encoding="utf-8", errors="backslashreplace") as log:
                log.write(traceback.format_exc())
            said = f"an error that nobody meant: {type(error).__name__}: {error}; see {self.log.name}"
            return self._record(spec, criterion, use, Outcome.ERROR, said)

    def _run(self, spec: Spec, criterion: Criterion, use: FalsifierUse) -> Record:
        excuse = not_applicable(criterion, self.release.release)
        if excuse is not None:
            return self._record(spec, criterion, use, Outcome.NOT_APPLICABLE, excuse)
        if use.uses is None:
            return self._record(spec, criterion, use, Outcome.NOT_RUN, use.planned or "")
        falsifier = self.registry.get(use.uses)
        if falsifier is None:
            return self._record(spec, criterion, use, Outcome.ERROR, f"no falsifier is called {use.uses!r}")
        evidence = {need: self.source.obtain(need) for need in falsifier.needs}
        return self._attack(spec, criterion, use, falsifier, evidence)

    def _attack(
        self,
        spec: Spec,
        criterion: Criterion,
        use: FalsifierUse,
        falsifier: Falsifier,
        evidence: Mapping[str, Evidence],
    ) -> Record:
        parameters = parameters_of(falsifier, use)
        trial = try_falsifier(
            falsifier,
            parameters,
            evidence,
            bars=bench_bars(use),
            timeout_s=use.timeout_s,
            log=self.log,
            apart=self.apart,
        )
        controls = tuple(control_result(use, control, trial.controls[control.name]) for control in falsifier.controls)
        real = trial.real
        outcome, reason = Outcome.ERROR, real.fault
        if real.kind is FaultKind.TIMED_OUT:
            outcome = Outcome.TIMEOUT
        elif real.kind is None:
            outcome, reason = outcome_of(criterion, use, self.release.release.run_class, real.measurements)
        if fault := misbehaviour(controls):
            outcome, reason = Outcome.ERROR, fault
        if (fault or real.fault) and self.log.name not in reason:
            reason = f"{reason}; see {self.log.name}"
        return replace(
            self._record(spec, criterion, use, outcome, reason),
            measurements=real.measurements,
            controls=controls,
            evidence=tuple((name, found.digest) for name, found in sorted(evidence.items())),
            code=falsifier.code,
        )

    def _record(self, spec: Spec, criterion: Criterion, use: FalsifierUse, outcome: Outcome, reason: str) -> Record:
        """A record of this use, without a measurement: all that there is where the falsifier was not called."""
        return Record(
            spec=spec.spec,
            criterion=criterion.id,
            falsifier=use.id,
            uses=use.uses or "",
            outcome=outcome,
            reason=readable(reason),
            run_class=self.release.release.run_class,
        )


def parameters_of(falsifier: Falsifier, use: FalsifierUse) -> dict[str, Parameter]:
    """The falsifier's defaults, with what the spec gives in their place."""
    given = {name: value for name, value in use.parameters.items() if isinstance(value, bool | int | float | str)}
    return {**falsifier.parameters, **given}


def bench_bars(use: FalsifierUse) -> dict[str, BenchBar]:
    """The bars of `use` by measurement, as its controls see them."""
    designs = use.designs()
    return {name: BenchBar(name, bar, designs.get(name)) for name, bar in use.parsed_thresholds().items()}


def control_result(use: FalsifierUse, control: Control, result: TrialResult) -> ControlResult:
    """What the result of a control comes to under the bars of `use`.

    An `error` is the falsifier's own refusal, and a control about a measurement without a bar is `not_applicable`. A
    control that could not be laid out, a process that died and an exception that nobody expects of this falsifier have
    shown nothing: `not_run`.
    """
    if result.kind is not None:
        observed = _OBSERVED.get(result.kind, Outcome.NOT_RUN)
        return ControlResult(control.name, control.expected, observed, readable(result.fault))
    observed, reason = control_outcome(use, result.measurements)
    return ControlResult(control.name, control.expected, observed, reason, result.measurements)
