"""Experiments under a sabotage: an entry `sabotage.entry:<module>.<patch>-><package.module>.<function>`.

A plan is data, and names the function that an experiment's process calls. So a sabotaged plan names one of these, which
applies the patch in that process and then calls the real function. Nothing in the product knows of it, and the evidence
is filed under another key than the real one, because the entry is part of the key.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace

from refute.evidence.experiment import Experiment
from refute.job import Job

_ARROW = "->"


def sabotaged(experiment: Experiment, patch: str) -> Experiment:
    """`experiment` under `patch`, such as `training.labels_shuffled`."""
    return replace(experiment, entry=f"{__name__}:{patch}{_ARROW}{(experiment.entry or '').replace(':', '.')}")


def __getattr__(name: str) -> Callable[[Job], None]:
    patch, arrow, real = name.partition(_ARROW)
    if not arrow:
        raise AttributeError(name)

    def run(job: Job) -> None:
        _find(f"{__package__}.{patch}")()
        _find(real)(job)

    return run


def _find(path: str) -> Callable[..., None]:
    module, _, name = path.rpartition(".")
    found: Callable[..., None] = getattr(importlib.import_module(module), name)
    return found
