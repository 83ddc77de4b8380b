"""How quick a model answers, beside the same engine on the same file without refute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refute.engines.model.tools.asking.engine import Engine, Sampling

_PROMPT = "def fibonacci(n):\n    if n < 2:\n        return n\n    return "


@dataclass(frozen=True, slots=True)
class Bench:
    """Figures of `n` answers of `new_tokens` each, after `warm_up` that do not count.

    Latencies in milliseconds for a whole answer; tokens per second as medians; `ratio` of all tokens per second to the
    bare engine's, measured in turns with it.
    """

    engine: str
    n: int
    warm_up: int
    prompt_tokens: int
    new_tokens: int
    p50_ms: float
    p99_ms: float
    prompt_tokens_per_s: float
    generated_tokens_per_s: float
    bare_tokens_per_s: float
    ratio: float


def measure_speed(engine: Engine, *, n: int, warm_up: int, new_tokens: int, prompt: str = _PROMPT) -> Bench:
    """`n` greedy answers of exactly `new_tokens`, each beside one of the bare engine."""
    ids, sampling = engine.encode(prompt), Sampling(max_new_tokens=new_tokens, to_the_end=True)
    for _ in range(warm_up):
        engine.beside_bare(ids, sampling)
    answers, bare = zip(*(engine.beside_bare(ids, sampling) for _ in range(n)), strict=True)
    seconds = [answer.seconds for answer in answers]
    return Bench(
        engine=engine.name,
        n=n,
        warm_up=warm_up,
        prompt_tokens=len(ids),
        new_tokens=new_tokens,
        p50_ms=1e3 * float(np.percentile(seconds, 50)),
        p99_ms=1e3 * float(np.percentile(seconds, 99)),
        prompt_tokens_per_s=len(ids) / float(np.median([answer.prompt_s for answer in answers])),
        generated_tokens_per_s=max(new_tokens - 1, 1) / float(np.median([answer.generation_s for answer in answers])),
        bare_tokens_per_s=new_tokens / float(np.median(bare)),
        ratio=float(np.median(bare)) / float(np.median(seconds)),
    )
