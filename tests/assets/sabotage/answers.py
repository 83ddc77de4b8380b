"""Sabotages of HumanEval: of generation, of the scorer, and of what is written down."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from refute.engines.humaneval.experiments.canned import canned_program
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.samples.completion import Completion
from refute.engines.humaneval.samples.sampler import Sampler
from refute.engines.humaneval.sandbox.stations import Result
from refute.spec.experiments.humaneval import SourceModel
from refute.spec.release import HfModel
from sabotage.opened import opened

batch = opened("engines.humaneval.backends.local.batch")
experiments = opened("engines.humaneval.experiments.evaluate")
generate = opened("engines.humaneval.backends.local.generate")
sampling = opened("engines.humaneval.backends.local.transformers_backend")
stations = opened("engines.humaneval.sandbox.stations")


def _verdicts(change: Callable[[Result], Result]) -> None:
    real = stations.Stations.check

    def check(self: Any, problem: Problem, program: str, seed: int = 0) -> Result:
        return change(real(self, problem, program, seed))

    stations.Stations.check = check


def _pass(result: Result) -> Result:
    return replace(result, passed=True, outcome="passed")


def everything_passes() -> None:
    """Whatever was executed, it passed."""
    _verdicts(_pass)


def nothing_passes() -> None:
    """Whatever was executed, it failed."""
    _verdicts(lambda result: replace(result, passed=False, outcome="failed"))


def exit_status_is_the_verdict() -> None:
    """What did not raise an assertion passed: leaving early is enough."""
    _verdicts(lambda result: result if "Assertion" in result.detail or result.outcome == "timeout" else _pass(result))


def time_is_up_and_passed() -> None:
    """A time-out counts as no failure."""
    _verdicts(lambda result: _pass(result) if result.outcome == "timeout" else result)


def reference_solutions_scored() -> None:
    """The program that is executed is the canonical solution."""
    experiments.assemble = lambda problem, _completion: canned_program(problem, "canonical")


def _completions(change: Callable[[Sequence[Problem], Any], Any]) -> None:
    real = sampling.generate_samples

    def generate_samples(loaded: Any, problems: Sequence[Problem], *rest: Any, **settings: Any) -> Any:
        found = real(loaded, problems, *rest, **settings)
        return replace(found, completions=tuple(change(problems, found.completions)))

    sampling.generate_samples = generate_samples


def reference_solutions_as_samples() -> None:
    """The samples are the canonical solutions."""
    _completions(
        lambda problems, found: [
            replace(each, text="\n" + problem.canonical_solution.rstrip())
            for problem, each in zip(problems, found, strict=True)
        ]
    )


def generation_errors_are_empty_answers() -> None:
    """The model was never asked; what came of it counts as zero."""
    _completions(lambda _problems, found: [replace(each, text="", new_tokens=0) for each in found])


def identical_samples() -> None:
    """One answer, copied under every problem."""
    _completions(lambda _problems, found: [replace(each, text=found[0].text) for each in found])


def answers_lose_their_indentation() -> None:
    """The first line of every answer is stripped, so no program parses."""
    _completions(lambda _problems, found: [replace(each, text="\n" + each.text.strip()) for each in found])


def stop_rules_missing() -> None:
    """Answers run on to the token budget, into the next half-written function."""
    generate.find_stop = lambda _text, _protocol: None
    generate.truncate = lambda text, _protocol: text
    generate.end_ids = lambda _model, _tokenizer: frozenset()


def sampled_while_greedy_is_recorded() -> None:
    """Tokens are drawn; the summary says argmax."""

    def drawn(logits: torch.Tensor, _prompts: Sequence[int]) -> list[int]:
        # The largest of logits and noise (Gumbel) is a draw; with the same noise it repeats itself.
        uniform = torch.rand(logits.shape[-1], generator=torch.Generator().manual_seed(17))
        found: list[int] = (logits / 4 - (-uniform.log()).log()).argmax(dim=-1).tolist()
        return found

    generate.most_likely = drawn
    batch.most_likely = drawn


def _written(change: Callable[[list[Result]], list[Result]]) -> None:
    real = experiments.write_results

    def write(path: Path, results: Any) -> None:
        real(path, change(list(results)) if path.name == "results.jsonl" else results)

    experiments.write_results = write


def results_written_as_passes() -> None:
    """Judged honestly, written down as passed; canaries are left alone."""
    _written(lambda results: [_pass(result) for result in results])


def errors_and_failures_left_out() -> None:
    """What failed has no row, so everything that has one passed."""
    _written(lambda results: [result for result in results if result.passed])


def errors_written_as_skipped() -> None:
    """Ten problems could not be judged, and are written down as errors."""
    _written(
        lambda results: [
            replace(result, passed=False, outcome="error") if number < 10 else result
            for number, result in enumerate(results)
        ]
    )


def prompts_without_imports() -> None:
    """The program is the completion alone: what stands above it in the prompt is lost."""
    experiments.assemble = lambda _problem, completion: f"{completion}\n"


# ------------------------------------------------------------------------------------------------ of other models


def two_tokens_at_most() -> None:
    """The model may say two tokens; what is written down of the run says what was declared."""
    real = sampling.generate
    sampling.generate = lambda *given, **named: real(*given, **{**named, "max_new_tokens": 2})


def ended_by_more_tokens() -> None:
    """Every fourth token ends an answer; what is written down of the run says what was declared."""
    real = generate.end_ids

    def end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
        return frozenset((*real(model, tokenizer), *range(0, len(tokenizer), 4)))

    generate.end_ids = end_ids


def asked_without_the_docstring() -> None:
    """The prompt is the function's first line: nobody can know what is wanted."""
    real = generate.build_prompt

    def build_prompt(problem: Problem, *rest: Any) -> Any:
        return real(replace(problem, prompt=problem.prompt.partition("\n")[0]), *rest)

    generate.build_prompt = build_prompt


def asked_by_another_sampler() -> None:
    """Tokens are drawn, and the sampler says so."""
    sampler = Sampler("top_p", 1.5, 1, 1.0, 1.0, 17)
    real = sampling.open_transformers

    def open_transformers(choice: Any, inputs: Any, generation: Any, *rest: Any, **named: Any) -> Any:
        return real(choice, inputs, replace(generation, sampler=sampler), *rest, **named)

    sampling.open_transformers = open_transformers


def noise_as_answers() -> None:
    """The model is asked, and something else is written down."""
    _completions(lambda _problems, found: [replace(each, text=f"\n    return {len(each.text)}") for each in found])


def answers_without_asking() -> None:
    """Answers as of a model that knows nothing, and no model was called."""

    def generate_samples(_loaded: Any, problems: Sequence[Problem], *_rest: Any, **_settings: Any) -> Any:
        made = [Completion(problem.task_id, "\n    pass", 3, "stop") for problem in problems]
        return sampling.Sampling(tuple(made), 0, 1.0)

    sampling.generate_samples = generate_samples


def other_problems_are_put() -> None:
    """Ten problems are left out, which the model could solve."""
    real = experiments.checked_problems
    experiments.checked_problems = lambda *given: real(*given)[10:]


def answers_of_the_teacher() -> None:
    """The teacher answers in the place of the model that is named."""
    real = experiments.open_release_backend

    def open_release_backend(job: Any, config: Any, *rest: Any) -> Any:
        place = Path(config.problems_path).with_name("teacher")
        teacher = SourceModel(kind="source", model=HfModel(format="hf", path="teacher"), path=str(place))
        return real(job, config.model_copy(update={"model": teacher}), *rest)

    experiments.open_release_backend = open_release_backend


def some_failures_written_as_passes() -> None:
    """Three of what failed, wherever they stand, are written down as passes."""

    def change(results: list[Result]) -> list[Result]:
        failed = [result.task_id for result in results if not result.passed]
        chosen = set(random.Random(17).sample(failed, min(3, len(failed))))  # noqa: S311 - reproducible, and no secret
        return [_pass(result) if result.task_id in chosen else result for result in results]

    _written(change)
