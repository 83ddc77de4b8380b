"""Experiment: a few of a model's answers, generated and executed a second time by the plainest means.

Generation here is one prompt at a time and transformers' own cache, weights straight from the released folder; the
verdict is that of a station of its own. Chosen are problems that the run says were solved and ones that were not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from refute.engines.humaneval.backends.local.generate import end_ids
from refute.engines.humaneval.experiments.evaluate import write_rows
from refute.engines.humaneval.problems.problems import Problem, load_problems
from refute.engines.humaneval.problems.program import assemble
from refute.engines.humaneval.problems.prompts import (
    PROTOCOLS,
    Protocol,
    build_prompt,
    carried_text,
    find_stop,
    truncate,
)
from refute.engines.humaneval.sandbox.tiers import Isolation, require_isolation
from refute.engines.humaneval.scoring.execute import run_check
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.evidence.humaneval import Replayed
from refute.spec.experiments.evidence_files import REPLAY, RESULTS, SAMPLES
from refute.spec.experiments.humaneval import ReplayConfig
from refute.spec.experiments.parsing import parse_config

Rows = list[dict[str, Any]]


def replay(job: Job) -> None:
    """Write replay.jsonl, one row a chosen problem: {task_id, completion, recorded, passed, recorded_passed}.

    `completion` is generated here, `recorded` what the run has; `passed` is the verdict on `recorded`, executed here.
    Raises ExperimentError where samples and results do not belong together, and what isolation or models raise.
    """
    config = parse_config(ReplayConfig, job)
    torch.set_num_threads(config.threads)
    settings, protocol = config.humaneval, PROTOCOLS[config.humaneval.prompt]
    isolation = require_isolation(Isolation(settings.minimum_isolation))
    run = job.inputs[config.run]
    samples = {row["task_id"]: row for row in _rows(run.path(SAMPLES.name))}
    put = {row["task_id"]: row for row in _rows(run.path(RESULTS.name))}
    # A problem without a verdict may be without an answer.
    results = {task: row for task, row in put.items() if row["outcome"] != "error"}
    known = {problem.task_id: problem for problem in load_problems(Path(config.problems_path))}
    if not results or not results.keys() <= samples.keys() <= put.keys() or not samples.keys() <= known.keys():
        raise ExperimentError(f"{config.run}: {len(samples)} samples and {len(put)} results are not of one run")
    folder = job.inputs[config.model].path("model")
    options: dict[str, Any] = {"dtype": torch.float32, "local_files_only": True, "use_safetensors": True}
    model: Any = AutoModelForCausalLM.from_pretrained(folder, **options)
    model = model.to(config.device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    rows = []
    chosen = choose(results, config.problems)
    for done, task in enumerate(chosen, start=1):
        problem, recorded = known[task], str(samples[task]["completion"])
        verdict = run_check(
            problem,
            assemble(problem, recorded),
            timeout_s=settings.timeout_s,
            memory_mib=settings.memory_mib,
            isolation=isolation,
        )
        if verdict.outcome == "error":
            raise ExperimentError(
                f"{task} got no verdict: {verdict.detail}", hint="look at the machine, then run again"
            )
        text = _greedy(model, tokenizer, problem, protocol, settings.max_new_tokens)
        rows.append(
            Replayed(
                task_id=task,
                completion=text,
                recorded=recorded,
                passed=verdict.passed,
                recorded_passed=results[task]["passed"],
            )
        )
        job.progress("replay", done, len(chosen))
    write_rows(job.out / REPLAY.name, rows)


def choose(results: dict[str, dict[str, Any]], count: int) -> Sequence[str]:
    """Up to `count` tasks, half of them recorded as passed where there are so many, in an order nobody chose."""
    ordered = sorted(results, key=lambda task: hashlib.sha256(f"replay\0{task}".encode()).digest())
    passed = [task for task in ordered if results[task]["passed"] is True]
    others = [task for task in ordered if results[task]["passed"] is not True]
    first = passed[: max(count // 2, count - len(others))]
    return first + others[: count - len(first)]


@torch.inference_mode()
def _greedy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, problem: Problem, protocol: Protocol, limit: int
) -> str:
    """The most likely token each time, until a special token, a stop of the protocol, or the limit."""
    prompt = build_prompt(problem, tokenizer, protocol)
    unseen = torch.tensor([tokenizer(prompt, add_special_tokens=not protocol.chat)["input_ids"]], device=model.device)
    ends, ids, cache, text = end_ids(model, tokenizer), list[int](), None, carried_text(prompt)
    while len(ids) < limit and find_stop(text, protocol) is None:
        answer = model(input_ids=unseen, past_key_values=cache, use_cache=True)
        cache, unseen = answer.past_key_values, answer.logits[:, -1].argmax(dim=-1, keepdim=True)
        token = int(unseen)
        if token in ends:
            break
        ids.append(token)
        text = carried_text(prompt) + str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
    return truncate(text, protocol)


def _rows(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
