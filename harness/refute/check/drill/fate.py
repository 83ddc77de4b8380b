"""What becomes of a fault: who names it, if anybody does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from refute.check.drill.line import Run, SilentError
from refute.errors import ExperimentError, RefuteError
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
_PARSED: Mapping[str, Callable[[str], list[Any]]] = {
    ".json": lambda text: [json.loads(text)],
    ".jsonl": lambda text: [json.loads(line) for line in text.split("\n") if line.strip()],
}


@dataclass(frozen=True, slots=True)
class Look:
    """What a use makes of evidence. `silent`: it ended in an exception that nobody foresaw, which names nothing."""

    outcome: Outcome
    reason: str
    measurements: tuple[Measurement, ...] = ()
    silent: bool = False

    @property
    def refuses(self) -> bool:
        """Whether the evidence does not get past it."""
        return self.outcome in (Outcome.FALSIFIED, Outcome.ERROR)


@dataclass(frozen=True, slots=True)
class Watch:
    """One use of a falsifier, on guard over the drill's runs."""

    use: FalsifierUse
    falsifier: Falsifier

    def look(self, evidence: Mapping[str, Evidence]) -> Look:
        """What it makes of `evidence`, under the bars of its use."""
        needed = {need: evidence[need] for need in self.falsifier.needs}
        raised: list[BaseException] = []
        found = try_evidence(self.falsifier, parameters_of(self.falsifier, self.use), needed, raised.append)
        if found.kind is not None:
            foreseen = all(isinstance(error, self._refusals()) for error in raised)
            return Look(Outcome.ERROR, found.fault, silent=not foreseen)
        return Look(*control_outcome(self.use, found.measurements), found.measurements)

    def _refusals(self) -> tuple[type[Exception], ...]:
        """What the falsifier raises in words: its controls show by what types it refuses."""
        shown = [each.raises for each in self.falsifier.controls if each.expected is Outcome.ERROR]
        return (RefuteError, *(kind for kinds in shown for kind in kinds if kind is not Exception))

    def stands(self, evidence: Mapping[str, Evidence]) -> bool:
        """Whether it lets an honest line stand, and by other things than how good its student is.

        An estimate, with its interval, says how well a model does: that it does badly names no fault.
        """
        seen = self.look(evidence)
        return seen.outcome is Outcome.CORROBORATED and all(each.interval is None for each in seen.measurements)


@dataclass(frozen=True, slots=True)
class Fate:
    """Named by a use of a falsifier, or excused or stopped (`DrillOutcome`), for a `reason`; else it survived."""

    outcome: DrillOutcome = "survived"
    named_by: str = ""
    reason: str = ""


def fate_of(run: Run, watches: Sequence[Watch]) -> Fate:
    """Makes the evidence that the fault of `run` reaches, and asks `watches`, the cheapest first, until one names it.

    One that ends in an exception which nobody foresaw, or whose evidence does, names nothing, and the next is asked.
    """
    if run.drill is None:
        raise ValueError("there is no fault in this run")
    try:
        planted = run.obtain(run.drill.experiment)
    except ExperimentError as error:
        return Fate("stopped", reason=str(error))
    if content(planted) == content(run.honest[planted.name]):
        return Fate("excused")
    unable = ""
    left = [watch for watch in watches if any(map(run.reached, watch.falsifier.needs))]
    while left:
        left.sort(key=lambda watch: run.missing(watch.falsifier.needs))
        watch = left.pop(0)
        seen = _look(run, watch)
        if seen.refuses and not seen.silent:
            return Fate("named", watch.use.id, seen.reason)
        if seen.silent:
            unable = unable or f"{watch.use.id}: {seen.reason}"
    return Fate("unable", reason=unable) if unable else Fate()


def _look(run: Run, watch: Watch) -> Look:
    try:
        return watch.look({need: run.obtain(need) for need in watch.falsifier.needs})
    except ExperimentError as error:
        return Look(Outcome.ERROR, str(error), silent=isinstance(error, SilentError))


def content(evidence: Evidence) -> dict[str, str]:
    """A digest of each file, less what a clock decides."""
    return {name: _digest(evidence.folder / name) for name in sorted(evidence.files)}


def _digest(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix in _PARSED:
        data = json.dumps([_timeless(each) for each in _PARSED[path.suffix](data.decode())]).encode()
    return hashlib.sha256(data).hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in sorted(value.items()) if key not in _CLOCKS}
    return [_timeless(each) for each in value] if isinstance(value, list) else value
