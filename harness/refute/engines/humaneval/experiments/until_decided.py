"""HumanEval with early stopping: the experiment ends as soon as its sequential test has decided."""

from __future__ import annotations

from collections.abc import Sequence

from refute.engines.humaneval.experiments.evaluate import (
    checked_problems,
    ended_answers,
    execute_answers,
    write_json,
    write_prompts,
    write_results,
    write_rows,
)
from refute.engines.humaneval.experiments.release_backend import (
    call_log,
    generation_of,
    open_release_backend,
    require_repeatable,
    with_exported_file,
)
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.samples.asked import each_sample
from refute.engines.humaneval.samples.completion import Completion
from refute.engines.humaneval.samples.failures import Failures
from refute.engines.humaneval.samples.sample_log import write_samples
from refute.engines.humaneval.sandbox.stations import Result
from refute.engines.humaneval.sandbox.tiers import Isolation, require_isolation
from refute.engines.humaneval.scoring.early_stop import put_until_decided, seeded_order
from refute.engines.humaneval.scoring.format_faults import endings, format_faults
from refute.errors import UsageError
from refute.job import Job
from refute.spec.experiments.evidence.humaneval import SequentialDesign, SequentialSummary
from refute.spec.experiments.evidence_files import DESIGN, MODEL_CALLS, PROMPTS, RESULTS, SAMPLES, SEQUENTIAL_SUMMARY
from refute.spec.experiments.humaneval import UntilDecidedConfig
from refute.spec.experiments.parsing import parse_config


def evaluate_until_decided(job: Job) -> None:
    """Let a model answer greedily up to the first look at which the rule ends the run.

    Writes to `job.out`: `samples.jsonl` and `results.jsonl` as `experiments.evaluate` does, in the order in which the
    problems were put; `design.json`, the rule with that whole order; and `summary.json`. The share of errors that is
    allowed is of the problems that were put. Raises UsageError where the rule is about another number of problems, and
    otherwise as `experiments.evaluate` does.
    """
    config = with_exported_file(parse_config(UntilDecidedConfig, job), job)
    rule = config.sequential
    isolation = require_isolation(Isolation(config.humaneval.minimum_isolation))
    order = _order(config)
    failures = Failures(len(order), config.allowed_error_share)
    completions: list[Completion] = []
    results: list[Result] = []
    with open_release_backend(job, config, order, failures) as backend:

        def passes(batch: Sequence[Problem]) -> int:
            found = backend.generate(batch)
            completions.extend(found)
            require_repeatable(backend.facts())
            texts = {completion.task_id: completion.text for completion in found}
            judged = execute_answers(job, config, isolation, each_sample(batch), texts, failures)
            results.extend(judged)
            return sum(result.passed for result in judged)

        put_until_decided(order, [boundary.look() for boundary in rule.boundaries], passes)
        made = backend.facts()
    failures.require_few(len(results))
    write_samples(job.out / SAMPLES.name, completions)
    write_results(job.out / RESULTS.name, results)
    write_prompts(job.out / PROMPTS.name, order[: len(results)])
    write_rows(job.out / MODEL_CALLS.name, call_log(job).calls_of(completions))
    design = SequentialDesign(**dict(rule), order=tuple(problem.task_id for problem in order))
    write_json(job.out / DESIGN.name, design.as_json())
    answers = ended_answers(
        each_sample(order[: len(results)]), {each.task_id: each.text for each in completions}, results
    )
    summary = SequentialSummary(
        **dict(generation_of(config, made, completions, failures)),
        mode="sequential",
        problems=len(results),
        problems_at_most=len(order),
        passed=sum(result.passed for result in results),
        isolation=isolation.value,
        timeout_s=config.humaneval.timeout_s,
        format_faults=format_faults(answers),
        endings=endings(answers),
        timeouts_retried=sum(result.retried for result in results),
        problems_sha256=config.humaneval.problems.sha256,
    )
    write_json(job.out / SEQUENTIAL_SUMMARY.name, summary.as_json())


def _order(config: UntilDecidedConfig) -> list[Problem]:
    problems = checked_problems(config.humaneval, config.problems_path, config.limit)
    rule = config.sequential
    if len(problems) != rule.looks[-1]:
        raise UsageError(
            f"the sequential test of the spec is about {rule.looks[-1]} problems, this release puts {len(problems)}",
            hint="state the number of problems in `sequential`, or remove `humaneval.limit` from the release",
        )
    return seeded_order(problems, rule.seed)
