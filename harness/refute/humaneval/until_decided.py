"""The HumanEval experiment that ends as soon as its sequential test has decided: problems in a random, seeded order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict

from refute.errors import UsageError
from refute.humaneval.config import EvaluateConfig, parse_config
from refute.humaneval.experiments import checked_problems, execute_programs, write_json, write_prompts, write_results
from refute.humaneval.problems import Problem, order_key
from refute.humaneval.prompts import PROTOCOLS, assemble, template_sha256
from refute.humaneval.sandbox import Isolation, require_isolation
from refute.humaneval.score import Result
from refute.job import Job
from refute.release import Closed


class Boundary(Closed):
    """A look after `n` problems, and the counts of passes that end the run there."""

    n: int
    stop_at_most: int
    stop_at_least: int


class StoppingRule(Closed):
    """`refute.sequential.Design` with its boundaries, as the plan worked it out; the engine only compares counts."""

    bar: float
    error_rate: float
    spending: str
    looks: tuple[int, ...]
    seed: int
    boundaries: tuple[Boundary, ...]


class UntilDecidedConfig(EvaluateConfig):
    """What `evaluate_until_decided` needs."""

    sequential: StoppingRule


def seeded_order(problems: Sequence[Problem], seed: int) -> list[Problem]:
    """`problems` in the random order of `seed`."""
    return sorted(problems, key=lambda problem: order_key(seed, problem.task_id))


def evaluate_until_decided(job: Job) -> None:
    """Let a model answer greedily up to the first look at which the rule ends the run.

    Writes to `job.out`: `samples.jsonl` and `results.jsonl` as `experiments.evaluate` does, in the order in which the
    problems were put; `design.json`, the rule with that whole order; and `summary.json`. Raises UsageError where the
    rule is about another number of problems, and otherwise as `experiments.evaluate` does.
    """
    from refute.humaneval.models import load_model
    from refute.humaneval.samples import SampleLog, write_samples
    from refute.humaneval.sampling import Recipe, answer, prepare_process

    config = parse_config(UntilDecidedConfig, job)
    settings, rule = config.humaneval, config.sequential
    isolation = require_isolation(Isolation(settings.minimum_isolation))
    order = _order(config)
    prepare_process(config.threads)
    loaded = load_model(config.model, job.inputs, device=config.device)
    recipe = Recipe(settings.prompt, settings.max_new_tokens, settings.batch_size)
    template = template_sha256(loaded.tokenizer, PROTOCOLS[recipe.protocol])
    key = hashlib.sha256(f"{config.model_dump_json()}\n{template}".encode()).hexdigest()
    results: list[Result] = []
    with SampleLog(job.scratch / "samples.jsonl", key) as log:
        for look in rule.boundaries:
            batch = order[len(results) : look.n]
            completions = answer(loaded, batch, recipe, log, job.report).completions
            programs = {
                each.task_id: assemble(problem, each.text) for problem, each in zip(batch, completions, strict=True)
            }
            results += execute_programs(job, settings, isolation, batch, programs, workers=config.threads)
            if not look.stop_at_most < sum(result.passed for result in results) < look.stop_at_least:
                break
        done = log.done
    write_samples(job.out / "samples.jsonl", [done[result.task_id, 0] for result in results])
    write_results(job.out / "results.jsonl", results)
    write_prompts(job.out / "prompts.jsonl", order[: len(results)])
    write_json(job.out / "design.json", {**rule.model_dump(mode="json"), "order": [each.task_id for each in order]})
    write_json(
        job.out / "summary.json",
        {
            "mode": "sequential",
            "problems": len(results),
            "problems_at_most": len(order),
            "passed": sum(result.passed for result in results),
            "protocol": settings.prompt,
            "template_sha256": template,
            "max_new_tokens": settings.max_new_tokens,
            "batch_size": settings.batch_size,
            "effective_sampler": asdict(recipe.sampler),
            "isolation": isolation.value,
            "timeout_s": settings.timeout_s,
            "timeouts_retried": sum(result.retried for result in results),
            "problems_sha256": settings.problems.sha256,
        },
    )


def _order(config: UntilDecidedConfig) -> list[Problem]:
    problems = checked_problems(config.humaneval, config.problems_path, config.limit)
    rule = config.sequential
    if len(problems) != rule.looks[-1]:
        raise UsageError(
            f"the sequential test of the spec is about {rule.looks[-1]} problems, this release puts {len(problems)}",
            hint="state the number of problems in `sequential`, or remove `humaneval.limit` from the release",
        )
    return seeded_order(problems, rule.seed)
