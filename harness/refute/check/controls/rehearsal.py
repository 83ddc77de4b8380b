"""The controls of every use under its bars, before anything is run: what a gate would find out after its training.

Each use has a child of its own, which may hang or die; all of them take seconds, for no control needs a model. Those
that tamper with a run's evidence are not tried.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from refute.check.controls.trials import WANTED_BY_MOST, ControlTrial, NoRun, State, try_use
from refute.errors import Problem
from refute.falsifier.forked import replies_of
from refute.falsifier.registry import Falsifier
from refute.outcome import ControlResult
from refute.spec.bars.decide import unshown_bars
from refute.spec.criteria import FalsifierUse, LoadedSpec
from refute.spec.yaml.document import KeyPath

# A bar that no evidence can clear, or none can fail: a gate refuses it at once.
UNTESTABLE = "spec/untestable-bar"

# Falsifiers that prove nothing are for the judge, too, and must end in a signed NO-GO.
MISBEHAVES = "spec/control-misbehaves"
UNSHOWN = "spec/bar-not-shown"


@dataclass(frozen=True, slots=True)
class _Place:
    loaded: LoadedSpec
    path: KeyPath
    use: FalsifierUse
    falsifier: Falsifier


def rehearse(specs: Sequence[LoadedSpec], registry: Mapping[str, Falsifier]) -> list[Problem]:
    """Every control that does not give its outcome under the bars of a use, and every bar that none fails alone.

    With file and line of the bars, and what was measured. Uses of falsifiers that are nowhere are passed over.
    """
    for module in WANTED_BY_MOST:
        importlib.import_module(module)
    places = list(_places(specs, registry))
    works = [partial(_rehearsed, place.falsifier, place.use) for place in places]
    with tempfile.TemporaryDirectory(prefix="refute-rehearsal-") as folder:
        limit_s = max((place.use.timeout_s for place in places), default=1.0)
        replies = replies_of(works, limit_s, Path(folder) / "log.txt")
    problems: list[Problem] = []
    for place, reply in zip(places, replies, strict=True):
        found = json.loads(reply.line) if not reply.fault else [[MISBEHAVES, f"its controls {reply.fault}"]]
        told = [(code, f"[{code}] {place.use.id}, `{place.falsifier.name}`: {message}") for code, message in found]
        problems += [place.loaded.document.problem(place.path, message, code) for code, message in told]
    return problems


def _places(specs: Sequence[LoadedSpec], registry: Mapping[str, Falsifier]) -> Iterator[_Place]:
    for loaded in specs:
        for index, criterion in enumerate(loaded.spec.criteria):
            for number, use in enumerate(criterion.falsifiers):
                falsifier = registry.get(use.uses or "")
                if falsifier is not None:
                    path: KeyPath = ("criteria", index, "falsifiers", number, "thresholds")
                    yield _Place(loaded, path, use, falsifier)


def _rehearsed(falsifier: Falsifier, use: FalsifierUse) -> str:
    """JSON: the [code, message] of each fault of the controls of one use."""
    trials = try_use(falsifier, use, NoRun(), apart=False)
    return json.dumps([*_misbehaving(trials), *_unshown(trials, use)])


def _misbehaving(trials: Sequence[ControlTrial]) -> list[tuple[str, str]]:
    """One fault for each reason: several controls may be stopped by the same bar."""
    names: dict[tuple[str, str], list[str]] = {}
    for trial in trials:
        if trial.state is State.MISBEHAVED and trial.result is not None:
            names.setdefault(_fault(trial.result, untestable=trial.untestable), []).append(repr(trial.control))
    return [(code, f"control {', '.join(controls)} {what}") for (code, what), controls in names.items()]


def _fault(result: ControlResult, *, untestable: bool) -> tuple[str, str]:
    if untestable:
        return UNTESTABLE, result.reason
    return MISBEHAVES, f"must be {result.expected} under these bars, but is {result.observed}: {result.reason}"


def _unshown(trials: Sequence[ControlTrial], use: FalsifierUse) -> Iterator[tuple[str, str]]:
    """Bars that no control fails alone; nobody knows yet where a control misbehaves, or waits for a run."""
    if all(trial.state is State.BEHAVED for trial in trials):
        for bar in unshown_bars([trial.result for trial in trials if trial.result is not None], use):
            yield UNSHOWN, f"no control shows that {bar} can fail: add a known-bad that fails it and no other bar"
