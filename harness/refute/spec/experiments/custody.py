"""What a training run keeps so that it can be redone, and where: the run writes it, an auditor reads it.

    custody.json        `Custody`
    trace.safetensors   `weights`, `first_moment`, `second_moment` (steps + 1, N) float32: row k after step k, of the
                        entries that `positions` names, parameter by parameter
    states/step-K/      weights and moments in full after step K: where a segment may begin, and where a run was resumed

These places are drawn from entropy that exists only once the run has begun; both sides compute them from it. A run of
any length keeps the same few states. Which of them segments are made again from is drawn once its weights are fixed,
by whoever does it (`refute.auditors.segments`).
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Annotated, Final

from pydantic import Field

from refute.spec.experiments.evidence.base import EvidenceModel, Several

STATES: Final = "states"
# Of each parameter, in every row.
ENTRIES = 8
# States between the first and the last segment: more than are redone from, and no more in a longer run.
KEPT = 4
# Rounding grows from step to step: in a control of six layers, whose gradients are large, moments differed by 1e-4
# after eight steps, by 1e-3 after twelve, and by 0.2 after twenty.
_SHORTEST, _LONGEST, _SHARE = 2, 8, 25

Step = Annotated[int, Field(ge=0)]


class Resumption(EvidenceModel):
    """The run went on from its checkpoint after step `at`; the checkpoint before that was after step `since`."""

    since: Step
    at: Step


class Custody(EvidenceModel):
    """`entropy` is hexadecimal and drawn afresh by each run; `resumed` counts every time, in order."""

    entropy: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    resumed: Several[Resumption] = ()


def segment_length(steps: int) -> int:
    """Steps of a segment in a run of `steps`: one in 25, at least 2, at most 8."""
    return min(steps, max(_SHORTEST, min(_LONGEST, steps // _SHARE)))


def segment_starts(entropy: str, steps: int) -> list[int]:
    """The steps after which segments may begin: 0, one drawn within each part of the run, and the last that fits."""
    length = segment_length(steps)
    between = steps - 2 * length
    parts = min(KEPT, max(between, 0) // (2 * length))
    ends = [length + number * between // parts for number in range(parts + 1)] if parts else []
    chance = random.Random(entropy)  # noqa: S311  # the entropy is the secret, this only spreads it
    drawn = [chance.randint(start, end - length) for start, end in pairwise(ends)]
    return sorted({0, *drawn, steps - length})


def positions(entropy: str, parameter: str, size: int) -> list[int]:
    """The entries of a flattened parameter of `size` entries that every row of the trace holds, ascending."""
    chance = random.Random(f"{entropy}/{parameter}")  # noqa: S311
    return sorted(chance.sample(range(size), min(size, ENTRIES)))
