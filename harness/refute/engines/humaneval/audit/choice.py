"""Which token follows, and which others might where sums end otherwise in their last bits: greedily, or by lot.

The lot is that of `Sampling`, written down a second time: one random number a token, by seed, sample and task, falls on
the softmax at the temperature, cut to the smallest set of tokens that reaches top_p and laid out by token id.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import numpy as np
import torch

from refute.engines.humaneval.audit.problem_file import Task
from refute.spec.release import Sampling

# Logits (V) of the next token to the ids that may follow, the one that does by these numbers first.
Next = Callable[[torch.Tensor], list[int]]
# A new answer to a task.
Choose = Callable[[Task], Next]
# So many may be as likely as the first, and so many lie beside what a lot falls on.
_LIKELY, _BESIDE = 4, 8
# Of a distribution laid out from 0 to 1: how far an edge may lie elsewhere in other sums. Logits differ by up to 1e-4.
_EDGE = 2e-4


def greedily(tie: float) -> Choose:
    """The most likely token; those whose logits lie less than `tie` below are as likely."""

    def following(logits: torch.Tensor) -> list[int]:
        best, *others = logits.topk(min(_LIKELY, len(logits))).indices.tolist()
        return [best, *(each for each in others if logits[each] > logits[best] - tie)]

    return lambda _task: following


def by_lot(drawing: Sampling) -> Choose:
    """The token that the next random number of the task's sample falls on; those whose edges lie beside it."""

    def begin(task: Task) -> Next:
        seed = hashlib.sha256(f"{drawing.seed}:{task.sample}:{task.task_id}".encode()).digest()[:8]
        numbers = random.Random(int.from_bytes(seed, "big"))  # noqa: S311 - that it can be drawn again is the point
        return lambda logits: _drawn(logits, numbers.random(), drawing)

    return begin


def _drawn(logits: torch.Tensor, chance: float, drawing: Sampling) -> list[int]:
    scaled = logits.to(torch.float64).cpu().numpy() / drawing.temperature
    likely = np.exp(scaled - scaled.max())
    likely /= likely.sum()
    first, *beside = _around(_kept(likely, drawing.top_p), chance)
    cuts = (max(drawing.top_p - _EDGE, _EDGE), drawing.top_p + _EDGE)
    cut_otherwise = [_around(_kept(likely, cut), chance)[0] for cut in cuts]
    return list(dict.fromkeys([first, *cut_otherwise, *beside]))


def _kept(likely: np.ndarray, top_p: float) -> np.ndarray:
    """The distribution (V) without what lies behind the smallest set that reaches `top_p`."""
    order = np.argsort(-likely, kind="stable")
    before = np.cumsum(likely[order]) - likely[order]
    kept = np.zeros_like(likely)
    kept[order] = np.where(before < top_p, likely[order], 0.0)
    kept /= kept.sum()
    return kept


def _around(kept: np.ndarray, chance: float) -> list[int]:
    """The token that `chance` falls on, then those within an edge's reach, the nearest first."""
    ids = np.flatnonzero(kept)
    ends = np.cumsum(kept[ids])
    place = min(int(np.searchsorted(ends, chance, side="right")), len(ids) - 1)
    distances = np.maximum(np.maximum(ends - kept[ids] - chance, chance - ends), 0.0)
    near = [each for each in np.argsort(distances, kind="stable")[: _BESIDE + 1] if distances[each] < _EDGE]
    return [int(ids[place]), *(int(ids[each]) for each in near if each != place)]
