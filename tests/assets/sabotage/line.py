"""The whole line from a release to a verdict, on the small world, with and without a sabotage."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from refute.errors import RefuteError
from refute.evidence.experiment import Experiment
from refute.evidence.laboratory import Laboratory
from refute.evidence.plan import plan_release
from refute.evidence.process.engine_process import Workers
from refute.evidence.store import Store
from refute.falsifier.registry import Registry
from refute.falsifier.runner import Gate
from refute.outcome import Outcome, Record
from refute.spec.bars.text import ThresholdText
from refute.spec.criteria import Criterion, FalsifierUse, Spec, load_spec
from refute.spec.files import LoadedRelease, load_release
from refute.spec.release import Release
from sabotage.catalogue import Sabotage
from silence import Silence

# The small world clears every bar of the shipped specification but these: a hundred steps are enough for it, its text
# is short, its benchmark is of the kind that it was trained on, publication is not built, and the controls of the gate
# are about no release at all.
_SMALLER = {
    "F-DISTILL-SMOKE-001": {"steps": ">= 100 steps"},
    "F-DISTILL-CONTAMINATION-001": {"searched": ">= 500 ngrams"},
}
_LEFT_OUT = ("AC-DISTILL-005", "AC-DISTILL-MEMORISED", "AC-GATE-CONTROLS", "AC-GATE-DRILL")


def shipped_spec(path: Path) -> Spec:
    """The specification as it ships, less what no small world can have."""
    spec = load_spec(path).spec
    kept = tuple(criterion for criterion in spec.criteria if criterion.id not in _LEFT_OUT)
    return with_bars(spec.model_copy(update={"criteria": kept}), _SMALLER)


def with_bars(spec: Spec, bars: Mapping[str, Mapping[str, str]]) -> Spec:
    """`spec` with other bars: falsifier id -> measurement -> bar."""

    def use(found: FalsifierUse) -> FalsifierUse:
        new = {name: ThresholdText(holds_if=bar) for name, bar in bars.get(found.id, {}).items()}
        return found.model_copy(update={"thresholds": {**found.thresholds, **new}})

    def criterion(found: Criterion) -> Criterion:
        return found.model_copy(update={"falsifiers": tuple(use(each) for each in found.falsifiers)})

    return spec.model_copy(update={"criteria": tuple(criterion(each) for each in spec.criteria)})


@dataclass
class Line:
    """One world, one store, one specification: evidence that a sabotage does not touch is made once."""

    release: LoadedRelease
    spec: Spec
    registry: Registry
    store: Store
    log: Path
    workers: Workers = field(default_factory=Workers)

    @classmethod
    def over(cls, world: Path, spec: Path, registry: Registry, folder: Path) -> Line:
        """The line on the world's release file, with everything it writes below `folder`."""
        return cls(load_release(world), shipped_spec(spec), registry, Store(folder / "store"), folder / "log.txt")

    def uses(self) -> dict[str, tuple[Criterion, FalsifierUse]]:
        """Every falsifier of the specification by id."""
        return {use.id: (criterion, use) for criterion in self.spec.criteria for use in criterion.falsifiers}

    def laboratory(self, sabotage: Sabotage | None = None, workers: Workers | None = None) -> Laboratory:
        """Over the plan of the release, with `sabotage` in the processes of the experiments that it names."""
        plan = dict(plan_release(self.release.release, self.release.path.parent))
        if sabotage is not None and sabotage.patch is not None:
            for name in sabotage.experiments:
                plan[name] = sabotaged(plan[name], sabotage.patch)
        return Laboratory(plan, self.store, Silence(), _workers=workers or self.workers)

    def under(self, sabotage: Sabotage) -> Line:
        """The same line with the release and the bars of `sabotage`."""
        release = replace(self.release, release=changed(self.release.release, sabotage.release))
        return replace(self, release=release, spec=with_bars(self.spec, sabotage.bars))

    def prepare(self, sabotage: Sabotage, workers: Workers) -> Laboratory:
        """A laboratory that has the evidence that the falsifier of `sabotage` will ask for, or knows why it has not."""
        laboratory = self.laboratory(sabotage, workers)
        _, use = self.uses()[sabotage.falsifier]
        for need in self.registry[use.uses or ""].needs:
            with suppress(RefuteError):
                laboratory.obtain(need)
        return laboratory

    def record(self, falsifier: str, laboratory: Laboratory) -> Record:
        """What the runner records of one falsifier."""
        criterion, use = self.uses()[falsifier]
        return Gate(self.release, self.registry, laboratory, self.log).run(self.spec, criterion, use)


def sabotaged(experiment: Experiment, patch: str) -> Experiment:
    """`experiment` under `patch`, such as `training.labels_shuffled` (see `sabotage.entry`)."""
    return replace(experiment, entry=f"sabotage.entry:{patch}->{(experiment.entry or '').replace(':', '.')}")


def changed(release: Release, changes: Mapping[str, Any]) -> Release:
    """The release with other values at dotted places. Checked as any file is."""
    content = release.model_dump(mode="json")
    for place, value in changes.items():
        *path, last = place.split(".")
        functools.reduce(lambda found, key: found[key], path, content)[last] = value
    return Release.model_validate_json(json.dumps(content))


def is_refusal(outcome: Outcome) -> bool:
    """An outcome that keeps a blocking criterion from ever being GO or WARN."""
    return outcome in (Outcome.FALSIFIED, Outcome.ERROR, Outcome.TIMEOUT)
