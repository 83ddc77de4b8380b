"""Experiment: the falsifiers that a run uses, broken on purpose, and the control that noticed each time.

It needs no evidence of the release, so an unchanged gate finds its own from the day before: the key is the code of
falsifiers, bars and engine. Controls that tamper with a run's evidence are not tried; the rows say which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from refute.check.controls.in_use import FalsifiersInUse, in_use
from refute.check.controls.kill_matrix import kill_matrix
from refute.check.controls.trials import NoRun
from refute.evidence.experiment import Experiment
from refute.falsifier.registry import Registry
from refute.job import Job
from refute.spec.criteria import FalsifierUse
from refute.spec.experiments.evidence.kill_matrix import Mutant
from refute.spec.experiments.evidence_files import KILL_MATRIX, MUTANTS, MUTATED_FALSIFIERS
from refute.spec.experiments.parsing import parse_config

# Nothing of it depends on the release, so no release can set it. The built-in falsifiers take half a minute.
_LIMIT_S = 1800.0


class MutationConfig(FalsifiersInUse):
    """What enters `mutate_falsifiers`. `scipy` is there for the key alone: it computes intervals."""

    scipy: str


def mutation_experiment(uses: Sequence[FalsifierUse], registry: Registry, folders: Sequence[Path]) -> Experiment:
    """The experiment over all `uses`; `folders` are those of the repository's own falsifiers.

    Raises LoadingError for a use of a falsifier that is nowhere.
    """
    of_uses = in_use(uses, registry, folders)
    return Experiment(
        KILL_MATRIX,
        "break the falsifiers and see which control notices",
        f"{__name__}:mutate_falsifiers",
        config=lambda at: MutationConfig(**dict(of_uses(at)), scipy=version("scipy")),
        limit_s=_LIMIT_S,
    )


def mutate_falsifiers(job: Job) -> None:
    """Write mutants.jsonl and falsifiers.jsonl, a `Mutant` or `MutatedFalsifier` a row, by name and place.

    Raises ExperimentError where the falsifiers are not those that the plan saw, and what `kill_matrix` raises.
    """
    config = parse_config(MutationConfig, job)
    uses, registry = config.load()
    matrix = kill_matrix(
        uses,
        registry,
        NoRun(),
        first=True,
        tell=lambda name, done, total: job.progress(f"mutants of {name}", done, total),
    )
    fates = sorted(matrix.fates, key=lambda fate: (fate.falsifier, fate.number))
    MUTANTS.write(job.out, (Mutant(**asdict(fate)) for fate in fates))
    MUTATED_FALSIFIERS.write(job.out, matrix.falsifiers)
