"""Experiments under a sabotage: an entry `sabotage.entry:<module>.<patch>-><package.module>.<function>`.

A plan is data, and names the function that an experiment's process calls. So a sabotaged plan names one of these, which
applies the patch in that process and then calls the real function. Nothing in the product knows of it, and the evidence
is filed under another key than the real one, because the entry is part of the key.

The worker imports an entry's module before it forks, so what is imported here is loaded once for all sabotages.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

import transformers.models.llama.modeling_llama  # noqa: F401 - transformers loads it with the first model

from refute.job import Job
from sabotage import answers, corpora, loss, precision, quiet, released, teachers, training  # noqa: F401 - found by name


def __getattr__(name: str) -> Callable[[Job], None]:
    patch, arrow, real = name.partition("->")
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
