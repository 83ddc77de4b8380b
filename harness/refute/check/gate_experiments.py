"""Experiments about the gate itself, which every plan has beside those about its release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from refute.check.controls.experiment import mutation_experiment
from refute.check.drill.experiment import drill_experiment
from refute.evidence.experiment import Experiment
from refute.falsifier.registry import Registry
from refute.outcome import RunClass
from refute.spec.criteria import FalsifierUse


def gate_experiments(
    uses: Sequence[FalsifierUse], registry: Registry, folders: Sequence[Path], run_class: RunClass
) -> tuple[Experiment, ...]:
    """Those over all `uses`, in a run of `run_class`; `folders` are those of the repository's own falsifiers.

    Raises LoadingError for a use of a falsifier that is nowhere.
    """
    return (
        mutation_experiment(uses, registry, folders),
        drill_experiment(uses, registry, folders, run_class),
    )
