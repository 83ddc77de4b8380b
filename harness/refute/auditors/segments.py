"""Which steps of a run are to be redone: its beginning, its end, what its entropy draws, and around resumptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from refute.spec.experiments.custody import Custody, segment_length, segment_starts


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps `start` + 1 to `end`; what they must lead to is known in full (`whole`), or by the trace alone."""

    start: int
    end: int
    target: Literal["trace", "state", "model"] = "trace"


def segments_of(custody: Custody, steps: int, released: int) -> list[Segment]:
    """The segments of a run of `steps` whose model was released as it was after step `released`.

    At every resumption those that led to the state that was loaded, from the checkpoint before it, and those after it.
    """
    length = segment_length(steps)
    found = {Segment(start, start + length) for start in segment_starts(custody.entropy, steps)}
    for each in custody.resumed:
        found.add(Segment(each.since, each.at, "state"))
        if each.at < steps:
            found.add(Segment(each.at, min(each.at + length, steps)))
    if released == steps:
        last = Segment(steps - length, steps)
        found = (found - {last}) | {Segment(last.start, last.end, "model")}
    return sorted(found, key=lambda each: (each.start, each.end, each.target))
