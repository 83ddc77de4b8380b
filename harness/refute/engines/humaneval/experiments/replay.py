"""Experiment: answers of a run made again by code that shares nothing with it, and what it had to be asked.

Every recorded pass is executed again: passes are the claim. Which answers are generated again nobody could know while
the run was made. Two answers that are known go the same way, so that this experiment is seen to tell right from wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from refute.engines.humaneval.audit.answers import Respondent, model_folder
from refute.engines.humaneval.audit.choice import by_lot, greedily
from refute.engines.humaneval.audit.draw import Drawn, Recorded, drawn, fresh_draw
from refute.engines.humaneval.audit.execution import Limits, executor, passes
from refute.engines.humaneval.audit.near_miss import near_misses
from refute.engines.humaneval.audit.problem_file import Task, read_tasks
from refute.engines.humaneval.audit.protocol import Questioner
from refute.engines.humaneval.experiments.evaluate import write_json, write_rows
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.sandbox.tiers import Isolation, require_isolation
from refute.engines.humaneval.scoring.execute import run_check
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.evidence.humaneval import ExpectedCall, Replayed, answer_name
from refute.spec.experiments.evidence_files import (
    EXPECTED_CALLS,
    REPLAY,
    REPLAY_DRAW,
    REPLAY_KNOWN_BAD,
    REPLAY_KNOWN_GOOD,
    RESULTS,
    SAMPLES,
)
from refute.spec.experiments.humaneval import ReplayConfig
from refute.spec.experiments.parsing import parse_config

Execute = Callable[[Task, str], bool]
# How a task is answered, near ties as in what was recorded.
Answer = Callable[[Task, str], str]
# Logits that lie nearer to each other than that are a near tie, in float32 and where another program computes.
_TIE, _TIE_ELSEWHERE = 0.01, 1.0
# Tasks that are tried for a near miss that fails: some operators do not matter, and some checks do not look.
_TRIED = 8


@dataclass(frozen=True, slots=True)
class _Instruments:
    """How an answer is made again, how it is executed, and whether a task has `several`."""

    answer: Answer
    execute: Execute
    several: bool

    def replay(self, task: Task, recorded: Recorded, *, generated: bool) -> Replayed:
        """What both say of a recorded answer."""
        return Replayed(
            task_id=task.task_id,
            sample=task.sample if self.several else None,
            completion=self.answer(task, recorded.completion) if generated else None,
            recorded=recorded.completion,
            passed=self.execute(task, recorded.completion),
            recorded_passed=recorded.passed,
        )


def replay(job: Job) -> None:
    """Write what became of recorded answers, and what their model had to be asked.

    `replay.jsonl`: the drawn answers, made again; `draw.json`: how they were drawn; `expected_calls.jsonl`: prompts,
    token by token, and limits, rebuilt from problem file, tokenizer.json and protocol; `known_good.jsonl`: an answer of
    this very model; `known_bad.jsonl`: a near miss that is claimed to be its passing answer.
    Raises ExperimentError where samples and results do not belong together, where a reference solution fails, and where
    every near miss passes; and what the files of model and problems raise.
    """
    config = parse_config(ReplayConfig, job)
    torch.set_num_threads(config.threads)
    drawing = config.humaneval.sampling
    tasks = {task.name: task for task in _tasks(config)}
    recorded = _recorded(job, config, tasks)
    folder = model_folder(config.model, job.inputs)
    questioner = Questioner(folder, config.humaneval.prompt, config.humaneval.system_prompt)
    put = list(tasks.values())[: config.limit and config.limit * (drawing.samples if drawing else 1)]
    tie = _TIE if config.backend == "transformers" else _TIE_ELSEWHERE
    choose = greedily(tie) if drawing is None else by_lot(drawing)
    respondent, limit = Respondent(config.model, folder, config.device, choose), config.humaneval.max_new_tokens
    write_rows(job.out / EXPECTED_CALLS.name, [_expected(config, questioner, respondent.ends, task) for task in put])
    name, execute = _executor(config)
    instruments = _Instruments(
        lambda task, text: respondent.answer(task, questioner, limit, text), execute, drawing is not None
    )
    draw = fresh_draw(recorded, config.passes_at_most, config.others_at_most, name)
    write_json(job.out / REPLAY_DRAW.name, draw.as_json())
    rows = list(_replayed(job, tasks, drawn(draw, recorded), instruments))
    write_rows(job.out / REPLAY.name, rows)
    # Those that were drawn first: nobody knows them beforehand.
    known = [
        tasks[task] for task in dict.fromkeys([*(answer_name(row.task_id, row.sample or 0) for row in rows), *tasks])
    ]
    write_rows(job.out / REPLAY_KNOWN_GOOD.name, [_known_good(known, instruments)])
    write_rows(job.out / REPLAY_KNOWN_BAD.name, [_known_bad(known, instruments)])


def _replayed(job: Job, tasks: Mapping[str, Task], chosen: Drawn, instruments: _Instruments) -> Iterator[Replayed]:
    for done, each in enumerate(chosen.executed, start=1):
        yield instruments.replay(tasks[each.name], each, generated=each.name in chosen.generated)
        job.progress("replay", done, len(chosen.executed))


def _recorded(job: Job, config: ReplayConfig, tasks: Mapping[str, Task]) -> list[Recorded]:
    """The run's answers that have a verdict."""
    run = job.inputs[config.run].folder
    samples = {answer_name(row.task_id, row.sample): row.completion for row in SAMPLES.read(run, config.run)}
    results = {answer_name(row.task_id, row.sample or 0): row for row in RESULTS.read(run, config.run)}
    # A sample without a verdict may be without an answer.
    judged = {name: row.passed for name, row in results.items() if row.outcome != "error"}
    if not judged or not judged.keys() <= samples.keys() <= results.keys() or not samples.keys() <= tasks.keys():
        raise ExperimentError(f"{config.run}: {len(samples)} samples and {len(results)} results are not of one run")
    return [Recorded(name, samples[name], passed) for name, passed in judged.items()]


def _tasks(config: ReplayConfig) -> Iterator[Task]:
    """Every answer that may be asked for: of each task in turn as many as it has samples."""
    drawing = config.humaneval.sampling
    for task in read_tasks(Path(config.problems_path)).values():
        for sample in range(drawing.samples if drawing else 1):
            yield replace(task, sample=sample)


def _executor(config: ReplayConfig) -> tuple[str, Execute]:
    """The second executor, or the engine's sandbox where only that keeps programs as safely as the release demands."""
    settings = config.humaneval
    limits = Limits(settings.timeout_s, settings.memory_mib * 1024**2)
    name = executor(settings.minimum_isolation)
    if name is None:
        return "sandbox", _in_sandbox(config)
    return name, lambda task, completion: passes(task, completion, limits)


def _in_sandbox(config: ReplayConfig) -> Execute:
    settings = config.humaneval
    isolation = require_isolation(Isolation(settings.minimum_isolation))

    def execute(task: Task, completion: str) -> bool:
        problem = Problem(task.task_id, task.head, task.entry_point, task.solution, task.test)
        program = task.program(completion)
        verdict = run_check(
            problem, program, timeout_s=settings.timeout_s, memory_mib=settings.memory_mib, isolation=isolation
        )
        if verdict.outcome == "error":
            message = f"{task.task_id} got no verdict: {verdict.detail}"
            raise ExperimentError(message, hint="look at the machine, then run again")
        return verdict.passed

    return execute


def _known_good(tasks: Sequence[Task], instruments: _Instruments) -> Replayed:
    """An answer of this very model, which comes again; before, the reference solution of its task must pass."""
    task = tasks[0]
    if not instruments.execute(task, task.solution):
        raise ExperimentError(
            f"{task.task_id}: the reference solution fails: this executor would confirm no pass",
            hint="look at the machine's interpreter and at the checks of the problem file",
        )
    text = instruments.answer(task, "")
    own = Recorded(task.name, text, instruments.execute(task, text))
    return instruments.replay(task, own, generated=True)


def _known_bad(tasks: Sequence[Task], instruments: _Instruments) -> Replayed:
    """A near miss that is claimed to be the model's answer, and to pass."""
    for task in tasks[:_TRIED]:
        own = instruments.answer(task, "")
        for text in near_misses(task):
            if text != own and not instruments.execute(task, text):
                return instruments.replay(task, Recorded(task.name, text, passed=True), generated=True)
    raise ExperimentError(
        f"no near miss of {_TRIED} reference solutions fails: this executor would confirm anything",
        hint="look at the machine's interpreter and at the checks of the problem file",
    )


def _expected(config: ReplayConfig, questioner: Questioner, ends: frozenset[int], task: Task) -> ExpectedCall:
    served = config.backend == "openai"
    here = config.backend == "transformers"
    drawing = config.humaneval.sampling
    return ExpectedCall(
        task_id=task.task_id,
        sample=task.sample if drawing else None,
        prompt_ids=None if served else tuple(questioner.ids(task)),
        prompt=task.head if served else None,
        max_new_tokens=config.humaneval.max_new_tokens,
        stop_sequences=questioner.stops,
        end_ids=tuple(sorted(ends)) if here else None,
        sampler="top_p" if drawing else "argmax",
        temperature=drawing.temperature if drawing else 0.0,
        top_p=drawing.top_p if drawing else None,
        seed=drawing.seed if drawing else None,
        dtype="float32" if here else None,
        batch_at_most=config.humaneval.batch_size,
    )
