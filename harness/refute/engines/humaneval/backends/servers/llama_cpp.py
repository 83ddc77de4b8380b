"""llama.cpp in this process, through xllamacpp: a GGUF file behind a server that only this process can ask."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refute.engines.humaneval.backends.servers.http_client import Server
from refute.engines.humaneval.problems.problems import Problem
from refute.errors import MissingDependencyError, MissingInputsError

# What a chat template and its system turn may add to a problem, in tokens; a prompt that needs more is refused.
_TEMPLATE_TOKENS = 1024
_LOOPBACK = "127.0.0.1"


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
    with 4 slots to the next, and none with 1. Raises MissingDependencyError without xllamacpp, MissingInputsError for a
    file that llama.cpp cannot load: one that is cut, without tokenizer, or with NaN among its weights.
    """
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingDependencyError("GGUF models in llama.cpp", "xllamacpp") from error
    if not path.is_file():
        raise MissingInputsError(f"no file at {path}", hint="llama.cpp needs one GGUF file")
    engine: Any = xllamacpp  # which ships no types
    key = secrets.token_hex(16)
    params = engine.CommonParams()
    params.model.path = str(path)
    # No tokenizer makes more tokens than there are bytes.
    longest = max(len(problem.prompt.encode()) for problem in problems) + len((system_prompt or "").encode())
    params.n_ctx = slots * (longest + _TEMPLATE_TOKENS + max_new_tokens)
    params.n_parallel = slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_gpu_layers = 0
    params.check_tensors = True
    params.fit_params = params.ui = params.endpoint_slots = False
    params.cache_ram_mib = 0
    params.api_keys, params.hostnames = [key], [_LOOPBACK]
    params.verbosity = -1
    try:
        server = engine.Server(params)
    except RuntimeError as error:
        raise MissingInputsError(
            f"llama.cpp cannot load {path}: {error}",
            hint="expected one complete GGUF file with a tokenizer, finite weights, and an architecture that it knows",
        ) from error
    try:
        yield Server(server.listening_address, path.name, concurrency=slots, attempts=1, timeout_s=3600.0, key=key)
    finally:
        del server  # which ends it
