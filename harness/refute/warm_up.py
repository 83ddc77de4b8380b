"""Imports what falsifiers will want, once: each of them runs in a fork that would import it again."""

from __future__ import annotations

import importlib
import os

_THREADS = "OPENBLAS_NUM_THREADS"


def warm_up() -> None:
    """A quarter of a second, saved in every fork.

    numpy and scipy each start a thread per core when they are imported. A process that forks is to have one: what
    another thread holds at that moment stays held in the child for ever.
    """
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        importlib.import_module("scipy.special")
        importlib.import_module("safetensors.numpy")
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
