"""Modules of the product as something that may be changed."""

from __future__ import annotations

import importlib
from typing import Any


def opened(name: str) -> Any:
    """The module `refute.<name>`, without the types that would keep a sabotage from it."""
    return importlib.import_module(f"refute.{name}")
