"""Which steps of a run are made again: its beginning, its end, what is drawn once it has ended, around resumptions."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from refute.disk import file_sha256
from refute.spec.experiments.custody import Custody, segment_length, segment_starts
from refute.spec.experiments.evidence.redo import SegmentDraw
from refute.spec.experiments.evidence_files import CUSTODY, MODEL, STEPS, TRACE

# Segments between the first and the last one, of those that the run kept a state for.
DRAWN: Final = 2


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps `start` + 1 to `end`; what they must lead to is known in full (`whole`), or by the trace alone."""

    start: int
    end: int
    target: Literal["trace", "state", "model"] = "trace"


def fresh_draw(run: Path, custody: Custody, steps: int) -> SegmentDraw:
    """A draw over the finished `run` that nobody could know while it was made."""
    kept = tuple(segment_starts(custody.entropy, steps))
    return SegmentDraw(entropy=secrets.token_hex(16), run_sha256=run_sha256(run), kept=kept)


def run_sha256(run: Path) -> str:
    """SHA-256 of the JSON list of [file, SHA-256], sorted: custody, log of steps, trace, released weights."""
    weights = sorted((run / MODEL.name).glob("*.safetensors"))
    files = [*(run / each.name for each in (CUSTODY, STEPS, TRACE)), *weights]
    rows = sorted([each.relative_to(run).as_posix(), file_sha256(each)] for each in files)
    return hashlib.sha256(json.dumps(rows).encode("ascii")).hexdigest()


def drawn_starts(draw: SegmentDraw) -> list[int]:
    """Where segments begin: the first and the last place that was kept, and those drawn of the others."""

    def order(step: int) -> bytes:
        return hashlib.sha256(f"{draw.entropy}\0{draw.run_sha256}\0{step}".encode()).digest()

    between = sorted(draw.kept[1:-1], key=order)[:DRAWN]
    return sorted({draw.kept[0], *between, draw.kept[-1]})


def segments_of(custody: Custody, starts: Iterable[int], steps: int, released: int) -> list[Segment]:
    """The segments from `starts` of a run of `steps` whose model was released as it was after step `released`.

    At every resumption those that led to the state that was loaded, from the checkpoint before it, and those after it.
    """
    length = segment_length(steps)
    found = {Segment(start, start + length) for start in starts}
    for each in custody.resumed:
        found.add(Segment(each.since, each.at, "state"))
        if each.at < steps:
            found.add(Segment(each.at, min(each.at + length, steps)))
    if released == steps:
        last = Segment(steps - length, steps)
        found = (found - {last}) | {Segment(last.start, last.end, "model")}
    return sorted(found, key=lambda each: (each.start, each.end, each.target))
