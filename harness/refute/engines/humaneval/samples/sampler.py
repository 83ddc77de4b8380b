"""Sampling parameters as data: temperature, top_p, seed and the number of samples.

What the samplers read is what the evidence states. The drawing itself is in `backends/local/top_p_sampling.py`; a
server is sent these numbers and asked what it made of them.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Literal

from refute.errors import UsageError


@dataclass(frozen=True, slots=True)
class Sampler:
    """`argmax`: the most likely token, one sample a problem. `top_p`: drawn from the smallest set of tokens whose
    probability at `temperature` reaches `top_p` (Holtzman et al. 2020, arXiv 1904.09751), `n` samples a problem.

    Nothing else acts on the logits: a model's own generation_config has no say.
    """

    method: Literal["argmax", "top_p"] = "argmax"
    temperature: float = 0.0
    n: int = 1
    repetition_penalty: float = 1.0
    top_p: float = 1.0
    seed: int | None = None


GREEDY = Sampler()


def make_sampler(*, n: int, temperature: float, top_p: float, seed: int) -> Sampler:
    """The sampler for these settings; temperature 0 is greedy.

    Raises UsageError for values out of range, and for several samples at temperature 0: all would be the same.
    """
    if not (n >= 1 and 0.0 <= temperature < float("inf") and 0.0 < top_p <= 1.0):
        raise UsageError(
            f"n={n}, temperature={temperature}, top_p={top_p}: "
            "expected n >= 1, a finite temperature of at least 0, and 0 < top_p <= 1"
        )
    if temperature > 0.0:
        return Sampler("top_p", temperature, n, 1.0, top_p, seed)
    if n > 1:
        raise UsageError(
            f"n={n} samples at temperature 0 would all be the same one",
            hint="raise the temperature (-t 0.2), or use -n 1",
        )
    return GREEDY


def random_stream(sampler: Sampler, task_id: str, sample: int) -> random.Random:
    """The random numbers of one sample: a function of seed, task and sample, hence of no batch, order or resume."""
    text = f"{sampler.seed}:{sample}:{task_id}"
    return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))  # noqa: S311 - reproducible
