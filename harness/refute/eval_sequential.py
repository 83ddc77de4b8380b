"""`refute eval score --bar …`: samples executed in a random order, only until a sequential test has decided."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from refute.console import progress, signals
from refute.errors import ExperimentError, StoppedError, UsageError
from refute.eval_command import NOTICE, ProblemSet, identity_of
from refute.humaneval.problems import order_key
from refute.humaneval.result_log import ResultLog, Row, open_results
from refute.humaneval.sample_file import Sample, read_samples
from refute.humaneval.scoring import Limits, score_samples
from refute.humaneval.tally import timeouts
from refute.job import Report, Stop
from refute.sequential import Design, Look, Spending, every

_SHOWN = 12


def design_for(problems: ProblemSet, *, bar: float, error_rate: float, spending: Spending, look_every: int) -> Design:
    """The test of all `problems`. Raises UsageError where it has no sense."""
    try:
        return Design(bar, error_rate, spending, every(look_every, len(problems.tasks)))
    except ValueError as error:
        raise UsageError(f"no such sequential test: {error}", hint="see `refute eval score --help`") from error


def score_until_decided(
    path: Path, out: Path, *, problems: ProblemSet, limits: Limits, design: Design
) -> dict[str, object]:
    """Execute the samples of `path` up to the look that decides, append their results to `out`, return the figures.

    One sample for every problem is asked for. Raises UsageError where that is not so or `out` holds another run's
    results; ExperimentError for a sample without a verdict, for then the order is broken; StoppedError after a signal.
    """
    samples = _one_each(path, problems, design.seed)
    identity = {
        **identity_of(hashlib.sha256(path.read_bytes()).hexdigest(), problems, limits),
        "sequential": {name: value for name, value in design.as_json().items() if name != "boundaries"},
    }
    stop, began = Stop(), time.monotonic()
    with open_results(out, identity) as log, signals(stop, NOTICE), progress() as report:
        before = len(log.rows)
        look = _execute(problems, samples, log, limits, design, stop, report)
        done = samples[: look.n]
        log.sort((sample.task_id, sample.index) for sample in done)
        rows = [log.rows[sample.task_id, sample.index] for sample in done]
    passed = sum(row.passed for row in rows)
    return {
        "mode": "sequential",
        "problems": look.n,
        "problems_in_file": len(problems.tasks),
        "passed": passed,
        "pass_at_1": passed / look.n,
        "interval": asdict(design.interval(passed, look.n)),
        "bar": design.bar,
        "decision": _decision(look, passed),
        "timeouts": timeouts(rows),
        "run": identity,
        "executed_now": len(rows) - before,
        "wall_s": round(time.monotonic() - began, 3),
        "results": str(out),
    }


def _execute(
    problems: ProblemSet,
    samples: Sequence[Sample],
    log: ResultLog,
    limits: Limits,
    design: Design,
    stop: Stop,
    report: Report,
) -> Look:
    """Execute batch after batch; the look that ends the run."""

    def tell(_row: Row) -> None:
        passed = sum(row.passed for row in log.rows.values())
        report("execute", len(log.rows), len(samples), {"passed": passed, "bar %": design.bar})

    for look in design.boundaries():
        scored = score_samples(problems.problems, samples[: look.n], log, limits, on_row=tell, stop=stop)
        if scored.stopped:
            raise StoppedError(
                f"stopped; {len(log.rows)} samples are scored, in {log.path}",
                stop.signal,
                hint="the same command goes on from there",
            )
        if scored.errors:
            (task, _), reason = next(iter(scored.errors.items()))
            raise ExperimentError(
                f"{len(scored.errors)} samples got no verdict, which is no zero; the first: {task}: {reason}",
                hint="the sandbox or the problem is at fault, not the sample; run the same command again",
            )
        if look.decides(sum(log.rows[each.task_id, each.index].passed for each in samples[: look.n])):
            return look
    return design.boundaries()[-1]


def _one_each(path: Path, problems: ProblemSet, seed: int) -> list[Sample]:
    """The file's samples in the test's order."""
    found = read_samples(path, problems.tasks)
    by_task = {sample.task_id: sample for sample in found.samples}
    missing = [task for task in problems.tasks if task not in by_task]
    if found.faults or missing or len(found.samples) != len(by_task):
        parts = [f"line {fault.line}: {fault.reason}" for fault in found.faults[:_SHOWN]]
        parts += (
            [f"no sample of {', '.join(missing[:_SHOWN])}{' …' if len(missing) > _SHOWN else ''}"] if missing else []
        )
        parts += [] if parts else [f"{len(found.samples)} samples of {len(by_task)} problems"]
        raise UsageError(
            f"{path}: a sequential test takes exactly one sample of every problem: {'; '.join(parts)}",
            hint="complete the file, or score what is there without --bar",
        )
    return sorted(by_task.values(), key=lambda sample: order_key(seed, sample.task_id))


def _decision(look: Look, passed: int) -> str:
    if passed >= look.stop_at_least:
        return "above"
    return "below" if passed <= look.stop_at_most else "open"
