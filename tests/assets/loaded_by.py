"""Entries `loaded_by:package.module.function`: that function, and then the names of what its process has loaded."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable

from refute.job import Job


def __getattr__(name: str) -> Callable[[Job], None]:
    module, _, function = name.rpartition(".")
    if not module:
        raise AttributeError(name)

    def run(job: Job) -> None:
        getattr(importlib.import_module(module), function)(job)
        (job.out / "loaded.json").write_text(json.dumps(sorted(sys.modules)), encoding="utf-8")

    return run
