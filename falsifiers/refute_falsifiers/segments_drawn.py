"""Are the steps that were made again those whose turn it was, by a draw that the run could not know?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from refute import Bench, Context, Evidence, Measurement, falsifier, known_bad, known_good, known_unusable

# Between the first and the last, of those that a run keeps a state for.
_BETWEEN = 2
_KEPT, _DUE = (0, 7, 11, 16, 22, 28), (0, 7, 22, 28)
_ENTROPY = "0d" * 16
# Computed once, by hand: a draw that this falsifier made for itself would agree with whatever it does.
_DIGEST = "ca8cac3b7dd6b791b838a8eda4ca5492c6d88fb8bfe72baf2e5aa5300b9a2fd3"
_FIXED = ("custody.json", "metrics.jsonl", "trace.safetensors", "model/model.safetensors")
_OTHERS = ("evals.jsonl", "model/config.json", "model/parts/other.safetensors", "states/step-7.safetensors")


def _drawn(
    bench: Bench, *, missing: int = 0, kept: Sequence[int] = _KEPT, due: Sequence[int] = _DUE, last: bool = False
) -> None:
    """A run and the segments that were made again of it: those `due`, but for as many as are `missing`.

    Of these the `last` one is missing first, or the one before it.
    """
    run, bar = str(bench.parameters["run"]), bench.bar("undrawn_segments")
    find = bar.failing if missing else bar.holding
    absent = int(find(missing, low=0, high=len(due), whole=True))
    for file in (*_FIXED, *_OTHERS):
        bench.put(run, file, f"{file} of this run")
    bench.put(f"{run}_redo", "draw.json", {"entropy": _ENTROPY, "run_sha256": _DIGEST, "kept": list(kept)})
    # The order in which they go missing.
    order = due[::-1] if last else [*due[-2::-1], due[-1]]
    made = [start for start in due if start not in order[:absent]]
    rows = [{"segment": n, "start": start, "end": start + 2} for n, start in enumerate([3, *made])]
    bench.put(f"{run}_redo", "segments.jsonl", rows)


def segments_as_they_were_drawn(bench: Bench) -> None:
    """The first, the last, and two that the draw chose of four."""
    _drawn(bench)


def a_run_too_short_for_more(bench: Bench) -> None:
    """There is nothing between the first and the last."""
    _drawn(bench, kept=(0, 2), due=(0, 2))


def a_segment_that_was_passed_over(bench: Bench) -> None:
    """One that the draw chose was not made again."""
    _drawn(bench, missing=1)


def a_beginning_that_was_passed_over(bench: Bench) -> None:
    """A run of two segments, and the first was not made again."""
    _drawn(bench, missing=1, kept=(0, 2), due=(2, 0), last=True)


def an_end_that_was_passed_over(bench: Bench) -> None:
    """The last steps of the run were not made again."""
    _drawn(bench, missing=1, last=True)


def a_draw_over_another_run(bench: Bench) -> None:
    """Weights, log or trace are no longer what they were when the draw was made."""
    _drawn(bench)
    bench.put(str(bench.parameters["run"]), "model/model.safetensors", "other weights")


_DRAWN: dict[str, Any] = {
    "measures": {"undrawn_segments": "segments"},
    "controls": (
        known_good(segments_as_they_were_drawn),
        known_good(a_run_too_short_for_more),
        known_bad(a_segment_that_was_passed_over),
        known_bad(a_beginning_that_was_passed_over),
        known_bad(an_end_that_was_passed_over),
        known_unusable(a_draw_over_another_run, raises=ValueError),
    ),
}


@falsifier("segments-drawn", needs=("student", "student_redo"), parameters={"run": "student"}, **_DRAWN)
@falsifier(
    "control-segments-drawn", needs=("ce_control", "ce_control_redo"), parameters={"run": "ce_control"}, **_DRAWN
)
def segments_drawn(context: Context) -> Iterator[Measurement]:
    """Refuted when a segment was not made again whose turn it was: the first, the last, and two of those between.

    Which these are follows from the digest of the finished run and from entropy that was drawn after it.
    """
    name = str(context.parameters["run"])
    run, redo = context.evidence(name), context.evidence(f"{name}_redo")
    draw = redo.json("draw.json")
    if draw["run_sha256"] != _run_sha256(run):
        raise ValueError(f"{redo.name} was drawn over another run than {run.name}")
    due = _due(draw["entropy"], draw["run_sha256"], draw["kept"])
    made = {row["start"] for row in redo.rows("segments.jsonl")}
    yield Measurement("undrawn_segments", len(due - made), "segments", n=len(due))


def _due(entropy: str, digest: str, kept: list[int]) -> set[int]:
    """Where the segments begin that are to be made again."""
    chosen = sorted(kept[1:-1], key=lambda step: hashlib.sha256(f"{entropy}\0{digest}\0{step}".encode()).digest())
    return {kept[0], *chosen[:_BETWEEN], kept[-1]}


def _run_sha256(run: Evidence) -> str:
    """Of the names and digests of what a finished run can no longer change."""
    files = {file: sha256 for file, sha256 in run.files.items() if _is_fixed(file)}
    return hashlib.sha256(json.dumps(sorted(map(list, files.items()))).encode("ascii")).hexdigest()


def _is_fixed(file: str) -> bool:
    weights = file.startswith("model/") and file.count("/") == 1 and file.endswith(".safetensors")
    return weights or file in ("custody.json", "metrics.jsonl", "trace.safetensors")
