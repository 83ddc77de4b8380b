"""The plan of refute put to its own use: a small world, and probes of every command in it."""

from __future__ import annotations

from collections.abc import Iterator

from refute.evidence.experiment import Experiment
from refute.spec.experiments.dogfood import ProbesConfig
from refute.spec.experiments.drill import WorldConfig
from refute.spec.experiments.evidence_files import DOGFOOD, SMALL_WORLD

_SEED, _PROBLEMS = 1, 6
_LIMIT_S = 1800.0


def dogfood_experiments() -> Iterator[Experiment]:
    """The experiments of a release that is about refute itself."""
    yield Experiment(
        SMALL_WORLD,
        "teach a model that is small",
        "refute.engines.drill.world:build_world",
        lambda _at: WorldConfig(seed=_SEED, problems=_PROBLEMS),
    )
    yield Experiment(
        DOGFOOD,
        "call every command, and sabotaged builds of it",
        "refute.engines.dogfood.experiment:probe_all",
        lambda _at: ProbesConfig(),
        (SMALL_WORLD,),
        _LIMIT_S,
    )
