"""What becomes of a fault: who names it, if anybody does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from refute.check.drill.line import Run
from refute.errors import ExperimentError
from refute.falsifier.context import Evidence
from refute.falsifier.registry import Falsifier
from refute.falsifier.runner import parameters_of
from refute.falsifier.trial import try_evidence
from refute.outcome import Measurement, Outcome
from refute.spec.bars.decide import control_outcome
from refute.spec.criteria import FalsifierUse
from refute.spec.experiments.evidence.drill import DrillOutcome

# What a clock or a machine's memory decides, and no engine.
_CLOCKS: Final = frozenset(
    ("wall_s", "tokens_per_s", "slowest_program_s", "memory_available", "disk_free", "timeouts_retried")
)


@dataclass(frozen=True, slots=True)
class Watch:
    """One use of a falsifier, on guard over the drill's runs."""

    use: FalsifierUse
    falsifier: Falsifier

    def look(self, evidence: Mapping[str, Evidence]) -> tuple[Outcome, str, tuple[Measurement, ...]]:
        """What it makes of `evidence`, under the bars of its use."""
        needed = {need: evidence[need] for need in self.falsifier.needs}
        found = try_evidence(self.falsifier, parameters_of(self.falsifier, self.use), needed, lambda _error: None)
        if found.kind is not None:
            return Outcome.ERROR, found.fault, ()
        outcome, reason = control_outcome(self.use, found.measurements)
        return outcome, reason, found.measurements

    def stands(self, evidence: Mapping[str, Evidence]) -> bool:
        """Whether it lets an honest line stand, and by other things than how good its student is.

        An estimate, with its interval, says how well a model does: that it does badly names no fault.
        """
        outcome, _, measurements = self.look(evidence)
        return outcome is Outcome.CORROBORATED and all(each.interval is None for each in measurements)


@dataclass(frozen=True, slots=True)
class Fate:
    """Named by a use of a falsifier, or excused or stopped (`DrillOutcome`), for a `reason`; else it survived."""

    outcome: DrillOutcome = "survived"
    named_by: str = ""
    reason: str = ""


def fate_of(run: Run, watches: Sequence[Watch]) -> Fate:
    """Makes the evidence that the fault of `run` reaches, and asks `watches`, the cheapest first, until one refuses."""
    if run.drill is None:
        raise ValueError("there is no fault in this run")
    try:
        planted = run.obtain(run.drill.experiment)
    except ExperimentError as error:
        return Fate("stopped", reason=str(error))
    if content(planted) == content(run.honest[planted.name]):
        return Fate("excused")
    left = [watch for watch in watches if any(map(run.reached, watch.falsifier.needs))]
    while left:
        left.sort(key=lambda watch: run.missing(watch.falsifier.needs))
        watch = left.pop(0)
        try:
            outcome, reason, _ = watch.look({need: run.obtain(need) for need in watch.falsifier.needs})
        except ExperimentError as error:
            outcome, reason = Outcome.ERROR, str(error)
        if outcome in (Outcome.FALSIFIED, Outcome.ERROR):
            return Fate("named", watch.use.id, reason)
    return Fate()


def content(evidence: Evidence) -> dict[str, str]:
    """A digest of each file, less what a clock decides."""
    return {name: _digest(evidence.folder / name) for name in sorted(evidence.files)}


def _digest(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix in _PARSED:
        data = json.dumps([_timeless(each) for each in _PARSED[path.suffix](data.decode())]).encode()
    return hashlib.sha256(data).hexdigest()


_PARSED: Mapping[str, Callable[[str], list[Any]]] = {
    ".json": lambda text: [json.loads(text)],
    ".jsonl": lambda text: [json.loads(line) for line in text.split("\n") if line.strip()],
}


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in sorted(value.items()) if key not in _CLOCKS}
    return [_timeless(each) for each in value] if isinstance(value, list) else value
