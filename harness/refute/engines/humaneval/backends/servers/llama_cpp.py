"""A GGUF file in llama.cpp, with room for the problems that it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from refute.engines.humaneval.problems.problems import Problem
from refute.engines.model.server.client import Server
from refute.engines.model.server.llama_cpp import serve_in_llama_cpp

# What a chat template and its system turn may add to a problem, in tokens; a prompt that needs more is refused.
_TEMPLATE_TOKENS = 1024


@contextmanager
def serve(
    path: Path,
    problems: Sequence[Problem],
    *,
    max_new_tokens: int,
    slots: int,
    threads: int,
    system_prompt: str | None = None,
) -> Iterator[Server]:
    """The model at `path` on the CPU, for as long as the context lasts, with room for any of `problems` and this turn.

    With one slot a sample depends on nothing but its prompt and seed. With several, rows are computed together, and
    their sums differ in the last bits: measured on SmolLM2-135M-Instruct Q4_1, 3 of 8 greedy texts changed from one run
    with 4 slots to the next, and none with 1. Raises what `serve_in_llama_cpp` does.
    """
    # No tokenizer makes more tokens than there are bytes.
    longest = max(len(problem.prompt.encode()) for problem in problems) + len((system_prompt or "").encode())
    context = longest + _TEMPLATE_TOKENS + max_new_tokens
    with serve_in_llama_cpp(path, context=context, threads=threads, slots=slots) as running:
        yield Server(running.address, path.name, concurrency=slots, attempts=1, timeout_s=3600.0, key=running.key)
