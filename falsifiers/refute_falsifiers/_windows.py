"""Means over held-out windows, of which those of one file are alike, and what their controls lay out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from refute import Bench, Context, Control, Measurement, known_unusable, stats

PLACES, PLACES_FILE = "heldout_places", "places.jsonl"


def over_files(context: Context, values: Mapping[Any, float], name: str, unit: str) -> Measurement:
    """Mean of a value of each window, those of one file counted as alike as they are, by files that were cut again.

    Raises ValueError for a window that no file gives, and below two files.
    """
    places = context.evidence(PLACES).rows_by(PLACES_FILE, "window")
    files = [places[window]["file"] if window in places else None for window in values]
    if None in files:
        raise ValueError(f"{files.count(None)} of {len(files)} windows that were scored are of no held-out file")
    mean, interval = stats.clustered_mean([*values.values()], files)
    return Measurement(name, mean, unit, n=len(files), interval=interval)


def put_files(bench: Bench, windows: int, *, of_a_file: int = 1) -> None:
    """Files that give so many windows each."""
    names = [f"{number // of_a_file}.py" for number in range(windows)]
    rows = [{"window": number, "file": name, "stated": name} for number, name in enumerate(names)]
    bench.put(PLACES, PLACES_FILE, rows)


def unusable_places(good: Callable[[Bench], None], windows: int) -> tuple[Control, Control]:
    """What `good` lays out, of one file alone; and with a window that no file gives."""

    def windows_of_one_file(bench: Bench) -> None:
        good(bench)
        put_files(bench, windows, of_a_file=windows)

    def a_window_of_no_file(bench: Bench) -> None:
        good(bench)
        put_files(bench, windows - 1)

    one, none = (known_unusable(build, raises=ValueError) for build in (windows_of_one_file, a_window_of_no_file))
    return one, none
