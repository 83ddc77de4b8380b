"""What a server says its sampler did, held against what it was asked to do."""

from __future__ import annotations

import math
from collections.abc import Mapping

from refute.errors import ExperimentError

# Servers keep these numbers in float32.
_FLOAT32 = 1e-6


def settings_of(answer: object) -> Mapping[str, object] | None:
    """The sampler's settings in an answer, of which llama-server has one or two places and most servers none."""
    if not isinstance(answer, dict):
        return None
    for place in (answer, answer.get("__verbose")):
        if isinstance(place, dict) and isinstance(place.get("generation_settings"), dict):
            found: Mapping[str, object] = place["generation_settings"]
            return found
    return None


def require_as_asked(task_id: str, asked: Mapping[str, object], answer: object) -> Mapping[str, object] | None:
    """Those settings of the answer that were asked for, or None if it reports none.

    Raises ExperimentError naming the first that was reported with another value: such samples are of another sampler.
    """
    reported = settings_of(answer)
    if reported is None:
        return None
    for name, value in asked.items():
        if name in reported and not _same(value, reported[name]):
            raise ExperimentError(
                f"{task_id}: the server's sampler reports {name} = {reported[name]!r}, asked for {value!r}",
                hint="these are samples of another sampler; look at how the server was started",
            )
    return {name: reported[name] for name in asked if name in reported}


def _same(asked: object, reported: object) -> bool:
    if isinstance(asked, int | float) and isinstance(reported, int | float):
        return math.isclose(asked, reported, rel_tol=_FLOAT32, abs_tol=_FLOAT32)
    return asked == reported
