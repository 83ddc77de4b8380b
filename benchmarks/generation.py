"""Tokens a second of greedy decoding on the embedded teacher: refute's batches, one at a time, llama.cpp by its slots.

python benchmarks/generation.py [--problems 16] [--tokens 64] [--batch 16] [--rounds 3] [--threads 2] [--device cuda]
                                [--slots 4]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

# Before torch loads: threads that spin while they wait slow each other down on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from measure import machine

from refute.cli.eval.problem_set import read_problems
from refute.engines.humaneval.backends.local.generate import generate
from refute.engines.humaneval.backends.local.models import LoadedModel, load_model
from refute.engines.humaneval.backends.local.transformers_backend import prepare_process
from refute.engines.humaneval.backends.servers.llama_cpp import serve
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.prompts import PROTOCOLS, build_prompt
from refute.engines.model.server.client import Client, Server
from refute.evidence.fetch import fetch
from refute.spec.experiments.humaneval import SourceModel
from refute.spec.files import load_release
from refute.spec.release import GgufModel

RELEASE = Path(__file__).parents[1] / "specs" / "releases" / "embedded.yaml"
# Every text is decoded to its last token, so that all do the same work.
ENDLESS = replace(PROTOCOLS["completion"], stops=("(?!)",))
BASELINE = "transformers, one at a time"

# Decodes all problems and returns the number of new tokens.
Decode = Callable[[], int]


def teacher() -> tuple[GgufModel, Path]:
    """The embedded release's teacher, fetched where it is not there yet."""
    release = load_release(RELEASE).release
    if release.distillation is None or not isinstance(release.distillation.teacher, GgufModel):
        raise SystemExit(f"{RELEASE} names no GGUF teacher")
    model = release.distillation.teacher
    return model, fetch(model.source, RELEASE.parent)


def one_at_a_time(loaded: LoadedModel, problems: Sequence[Problem], tokens: int) -> int:
    """transformers' own `generate`, a problem after the other."""
    decoder: Any = loaded.model
    made = 0
    for problem in problems:
        prompt = build_prompt(problem, loaded.tokenizer, ENDLESS)
        ids = loaded.tokenizer(prompt, return_tensors="pt")["input_ids"].to(decoder.device)
        out = decoder.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            pad_token_id=0,
        )
        made += out.shape[1] - ids.shape[1]
    return made


def batched(loaded: LoadedModel, problems: Sequence[Problem], tokens: int, batch: int) -> int:
    """refute's decoding loop."""
    found = generate(
        loaded.model, loaded.tokenizer, problems, protocol=ENDLESS, max_new_tokens=tokens, batch_size=batch
    )
    return sum(completion.new_tokens for completion in found)


def in_llama_cpp(server: Server, loaded: LoadedModel, problems: Sequence[Problem], tokens: int) -> int:
    """The requests of refute's llama.cpp backend, as many at a time as it has slots, without its stops."""
    client = Client(server)

    def ask(problem: Problem) -> int:
        ids = list(loaded.tokenizer(build_prompt(problem, loaded.tokenizer, ENDLESS))["input_ids"])
        body = {"prompt": ids, "n_predict": tokens, "temperature": 0.0, "cache_prompt": False, "ignore_eos": True}
        answer: Any = client.post(f"{server.base_url}/completion", {**body, "n_probs": 1}, problem.task_id)
        return int(answer["tokens_predicted"])

    with ThreadPoolExecutor(server.concurrency) as pool:
        return sum(pool.map(ask, problems))


def in_turns(pieces: Mapping[str, Decode], rounds: int) -> dict[str, float]:
    """Median tokens a second of each piece; every round runs all of them once, after one that is not counted."""
    rates: dict[str, list[float]] = {name: [] for name in pieces}
    for turn in range(rounds + 1):
        for name, decode in pieces.items():
            began = time.perf_counter()
            made = decode()
            if turn > 0:
                rates[name].append(made / (time.perf_counter() - began))
    return {name: statistics.median(found) for name, found in rates.items()}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--slots", type=int, default=4, help="of llama.cpp, beside one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cpu", help="of transformers; llama.cpp stays on the CPU")
    chosen = parser.parse_args()
    prepare_process(chosen.threads)
    model, path = teacher()
    loaded = load_model(SourceModel(kind="source", model=model, path=str(path)), {}, device=chosen.device)
    problems = read_problems(None, chosen.problems).problems
    shape = {"max_new_tokens": chosen.tokens, "threads": chosen.threads}
    with serve(path, problems, slots=1, **shape) as one, serve(path, problems, slots=chosen.slots, **shape) as several:
        pieces: dict[str, Decode] = {
            BASELINE: lambda: one_at_a_time(loaded, problems, chosen.tokens),
            f"refute, transformers, {chosen.batch} at a time": lambda: batched(
                loaded, problems, chosen.tokens, chosen.batch
            ),
            "refute, llama.cpp, quantised, one slot": lambda: in_llama_cpp(one, loaded, problems, chosen.tokens),
            f"refute, llama.cpp, quantised, {chosen.slots} slots": lambda: in_llama_cpp(
                several, loaded, problems, chosen.tokens
            ),
        }
        rates = in_turns(pieces, chosen.rounds)
    print(f"### Greedy decoding, {path.name}, {chosen.problems} problems, {chosen.tokens} new tokens each\n")
    print("| | tokens/s | of baseline |\n|---|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:.1f} | {rate / rates[BASELINE]:.2f} |")
    print(f"\nfloat32 in transformers; load average {os.getloadavg()[0]:.1f}. {machine(chosen.device)}")


if __name__ == "__main__":
    main()
