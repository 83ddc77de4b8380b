"""Scores many samples a problem into a results log: stoppable, and continued where it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.program import assemble, behind_the_head
from refute.engines.humaneval.readers.sample_file import Sample
from refute.engines.humaneval.samples.completion import Key
from refute.engines.humaneval.sandbox.stations import Result
from refute.engines.humaneval.scoring.execute import Limits, execute
from refute.engines.humaneval.scoring.result_log import ResultLog, Row, row_of


@dataclass(frozen=True, slots=True)
class Scored:
    """What came of a run: samples without a verdict, each with the reason, and whether it stopped before the end."""

    errors: Mapping[Key, str]
    stopped: bool


def score_samples(
    problems: Sequence[Problem],
    samples: Sequence[Sample],
    log: ResultLog,
    limits: Limits,
    *,
    faults: Mapping[str, str] = MappingProxyType({}),
    on_row: Callable[[Row], None] = lambda _row: None,
    stop: Callable[[], bool] = lambda: False,
) -> Scored:
    """Execute every sample that `log` has no row of, and add its row as it ends; `on_row` is told in this thread.

    Samples that time out are executed once more, as `execute` says. A fault of sandbox or problem is no verdict: it is
    returned, not logged, and tried again by the next run. What belongs to a task of `faults` is not executed, and has
    the reason that stands there. Once `stop` says so, nothing new is begun. Raises
    MissingInputsError if the isolation cannot be had, ExperimentError for a full disk.
    """
    by_id = {problem.task_id: problem for problem in problems}
    errors: dict[Key, str] = {sample.key: faults[sample.task_id] for sample in samples if sample.task_id in faults}
    todo = [sample for sample in samples if sample.key not in log.rows and sample.key not in errors]
    # Problem after problem, whatever the file's order: programs of one problem share a judge.
    places = {problem.task_id: place for place, problem in enumerate(problems)}
    todo.sort(key=lambda sample: places[sample.task_id])

    def keep(place: int, result: Result) -> None:
        sample = todo[place]
        if result.outcome == "error":
            errors[sample.key] = result.detail
            return
        row = row_of(result, sample.completion, sample.index)
        log.add(row)
        on_row(row)

    execute(((by_id[sample.task_id], _program(by_id[sample.task_id], sample)) for sample in todo), limits, keep, stop)
    done = sum(sample.key in log.rows or sample.key in errors for sample in samples)
    return Scored(errors, stopped=done < len(samples))


def _program(problem: Problem, sample: Sample) -> str:
    """A file's completions stand behind the whole prompt, as openai/human-eval executes them; whole programs alone."""
    return f"{sample.completion}\n" if sample.whole else assemble(problem, behind_the_head(problem, sample.completion))
