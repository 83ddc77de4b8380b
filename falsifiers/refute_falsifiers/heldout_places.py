"""Is each held-out window of the file that it is said to be of, and are they of many files?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from refute import Bench, Context, Control, Measurement, falsifier, known_bad, known_good
from refute_falsifiers._windows import PLACES, PLACES_FILE


def _placed(bench: Bench, **wrong: int) -> None:
    """A window of each of so many files, and others that are of none or said to be of another, as the bars want them
    but for the measurements in `wrong`, which fail theirs."""
    counts = {"unplaced_windows": 0, "misattributed_windows": 0}
    own = {name: number for name, number in wrong.items() if name in counts}
    found = bench.values(counts, own, low=0, high=10_000, whole=True)
    bar = bench.bar("heldout_files")
    limits: dict[str, Any] = {"low": 1, "high": 10_000, "whole": True}
    files = bar.failing(wrong["heldout_files"], **limits) if "heldout_files" in wrong else bar.holding(24, **limits)
    names = [f"{number}.py" for number in range(int(files))]
    rows: list[dict[str, str | None]] = [{"file": name, "stated": name} for name in names]
    rows += [{"file": None, "stated": names[0]}] * found["unplaced_windows"]
    rows += [{"file": names[0], "stated": "another"}] * found["misattributed_windows"]
    bench.put(PLACES, PLACES_FILE, [{"window": number, **row} for number, row in enumerate(rows)])


def windows_of_many_files(bench: Bench) -> None:
    """Every window is one that its file gives, and each file gives one."""
    _placed(bench)


def windows_that_hold_parts_of_others(bench: Bench) -> None:
    """Cut so that each goes on a token before the last one ended: one text counts twice."""
    _placed(bench, unplaced_windows=12)


def windows_under_names_of_other_files(bench: Bench) -> None:
    """What is of one file is said to be of several, so that it counts as often."""
    _placed(bench, misattributed_windows=12)


def all_windows_of_one_file(bench: Bench) -> None:
    """However many windows it was cut into, one file says nothing of others."""
    _placed(bench, heldout_files=1)


def _planted_place(measurement: str, is_so: Callable[[Mapping[str, Any]], bool]) -> Control:
    """A window of this very corpus where it does not belong, as this run's audit sees it."""

    def build(bench: Bench) -> None:
        wrong = sum(map(is_so, bench.real[PLACES].rows("planted.jsonl")))
        bench.bar(measurement).failing(wrong, low=wrong, high=wrong)
        _placed(bench, **{measurement: wrong})

    return known_bad(build, name=f"{measurement.replace('_', ' ')} planted into the corpus of this run")


def _is_unplaced(row: Mapping[str, Any]) -> bool:
    return row["file"] is None


def _is_misattributed(row: Mapping[str, Any]) -> bool:
    return row["file"] not in (None, row["stated"])


@falsifier(
    "held-out-places",
    needs=(PLACES,),
    measures={"unplaced_windows": "windows", "misattributed_windows": "windows", "heldout_files": "files"},
    controls=(
        known_good(windows_of_many_files),
        known_bad(windows_that_hold_parts_of_others),
        known_bad(windows_under_names_of_other_files),
        known_bad(all_windows_of_one_file),
        _planted_place("unplaced_windows", _is_unplaced),
        _planted_place("misattributed_windows", _is_misattributed),
    ),
)
def held_out_places(context: Context) -> Iterator[Measurement]:
    """Refuted when a held-out window is none that its file gives, or is of another file than it is said to be, or when
    few files give them: windows of one file are alike, and say little of other text."""
    rows = context.evidence(PLACES).rows_by(PLACES_FILE, "window").values()
    yield Measurement("unplaced_windows", sum(map(_is_unplaced, rows)), "windows", n=len(rows))
    yield Measurement("misattributed_windows", sum(map(_is_misattributed, rows)), "windows", n=len(rows))
    files = {row["file"] for row in rows} - {None}
    yield Measurement("heldout_files", len(files), "files", n=len(rows))
