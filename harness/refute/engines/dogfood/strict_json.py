"""JSON as other programs read it: NaN and infinities are none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def parsed(text: str) -> Any:
    """What stands in `text`. Raises ValueError for anything but one JSON document, NaN and infinities included."""
    return json.loads(text, parse_constant=_refuse)


def at(found: Any, path: Sequence[str | int]) -> Any:
    """What `found` holds at `path`. Raises LookupError or TypeError where nothing is there."""
    for step in path:
        found = found[step]
    return found


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
