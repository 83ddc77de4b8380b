"""Trials of falsifiers that measure one thing, `count` in files, past the checks of their declaration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from refute import Context, Control, Measurement
from refute.falsifier.context import Evidence, Parameter
from refute.falsifier.registry import Falsifier
from refute.falsifier.trial import Trial, try_falsifier

Measure = Callable[[Context], Iterable[Any]]
GOOD = Measurement("count", 3.0, "files", n=4, evidence=("e" * 64,))
# Where a type has no room for nothing.
NOTHING: Any = None


def attempt(
    measure: Measure,
    log: Path,
    evidence: Mapping[str, Evidence] | None = None,
    *,
    timeout_s: float = 20.0,
    controls: tuple[Control, ...] = (),
    parameters: Mapping[str, Parameter] | None = None,
) -> Trial:
    """One trial of `measure`."""
    declared = Falsifier("a-count", measure, ("corpus",), {"count": "files"}, {}, controls, Path())
    return try_falsifier(declared, parameters or {}, evidence or {}, bars={}, timeout_s=timeout_s, log=log)


def giving(*found: Any) -> Measure:
    """A falsifier that gives `found`."""

    def measure(context: Context) -> Iterator[Any]:
        yield from found

    return measure
