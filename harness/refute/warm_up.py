"""Imports what falsifiers will want, once: each of them runs in a fork that would import it again."""

from __future__ import annotations

import importlib


def warm_up() -> None:
    """Half a second, saved in every fork."""
    importlib.import_module("scipy.stats")
    importlib.import_module("safetensors.numpy")
