"""`refute eval … --bar`: samples executed in a random order, only until a sequential test has decided."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from refute.cli.eval.figures import format_of
from refute.cli.eval.problem_set import ProblemSet
from refute.cli.eval.run_console import RunConsole, run_console
from refute.cli.eval.run_folder import results_identity
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.readers.sample_file import Sample, SampleFile
from refute.engines.humaneval.samples.failures import Failures
from refute.engines.humaneval.scoring.early_stop import put_until_decided, seeded_order
from refute.engines.humaneval.scoring.execute import Limits
from refute.engines.humaneval.scoring.result_log import ResultLog, Row, open_results
from refute.engines.humaneval.scoring.score_samples import score_samples
from refute.engines.humaneval.scoring.tally import timeouts
from refute.errors import ExperimentError, UsageError
from refute.job import Fact
from refute.spec.bars.sequential import Design, Look

_SHOWN = 12

# The samples of these problems, one each, but for those that could not be had.
Fetch = Callable[[Sequence[Problem]], Sequence[Sample]]


def score_until_decided(
    found: SampleFile, out: Path, *, problems: ProblemSet, limits: Limits, design: Design
) -> dict[str, object]:
    """Execute the samples of `found` up to the look that decides, append their results to `out`, return the figures.

    One sample for every problem is asked for. Raises UsageError where that is not so or `out` holds another run's
    results; ExperimentError for a sample without a verdict, for then the order is broken; StoppedError after a signal.
    """
    by_task = _one_each(found, problems)
    with run_console(out) as console:
        run = SequentialRun(problems, design, limits, out, console, Failures(len(problems.tasks)))
        return run.execute(
            lambda batch: [by_task[problem.task_id] for problem in batch],
            samples_sha256=found.sha256,
        )


@dataclass(slots=True)
class SequentialRun:
    """One run of `design` over `problems`, whose results go to `out`. Whatever has no verdict is in `failures`."""

    problems: ProblemSet
    design: Design
    limits: Limits
    out: Path
    console: RunConsole
    failures: Failures
    faults: Mapping[str, str] = field(init=False)
    _passed: int = 0

    def report(self, stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        """Progress of any stage, with how the test stands."""
        standing: dict[str, Fact] = {"passed": self._passed, "bar %": self.design.bar, "interval": "sequential"}
        self.console.report(stage, step, total, {**facts, **standing})

    def execute(self, fetch: Fetch, **samples: object) -> dict[str, object]:
        """Execute what `fetch` gives, batch after batch, until the design is decided; the figures of the run.

        `samples` says which these are, and is part of what the results are results of.
        """
        identity = results_identity(self.problems, self.limits, **samples, sequential=self.design.rule())
        order = seeded_order(self.problems.problems, self.design.seed)
        began, done = time.monotonic(), list[Sample]()
        self.faults = self.problems.faults(self.limits, self.console.stop)
        self.problems.require_sound(self.faults, self.failures.share)
        with open_results(self.out, identity) as log:
            before, self._passed = len(log.rows), sum(row.passed for row in log.rows.values())

            def passes(batch: Sequence[Problem]) -> int:
                found = fetch(batch)
                done.extend(found)
                return sum(row.passed for row in self._rows(found, log))

            look = put_until_decided(order, self.design.boundaries(), passes)
            self.failures.require_few(look.n)
            log.sort(sample.key for sample in done)
            rows = [log.rows[sample.key] for sample in done if sample.key in log.rows]
        return self._figures(look, rows) | {
            "run": identity,
            "executed_now": len(log.rows) - before,
            "wall_s": round(time.monotonic() - began, 3),
            "results": str(self.out),
        }

    def _figures(self, look: Look, rows: Sequence[Row]) -> dict[str, object]:
        passed = sum(row.passed for row in rows)
        return {
            "mode": "sequential",
            "problems": look.n,
            "problems_in_file": len(self.problems.tasks),
            "problem_file": self.problems.name,
            "passed": passed,
            "pass_at_1": passed / look.n,
            "interval": asdict(self.design.interval(passed, look.n)),
            "bar": self.design.bar,
            "decision": _decision(look, passed),
            "timeouts": timeouts(rows),
            "format": format_of(rows, self.problems.problems),
            "faulty_problems": dict(self.faults),
            "errors": [
                {"task_id": task, "sample": number, "reason": why}
                for (task, number), why in sorted(self.failures.reasons.items())
            ],
        }

    def _rows(self, samples: Sequence[Sample], log: ResultLog) -> list[Row]:
        """The rows of `samples`, executed where the log has none; a sample without a verdict has no row."""

        def tell(row: Row) -> None:
            self._passed += row.passed
            self.report("execute", len(log.rows), len(self.problems.tasks), {})

        scored = score_samples(
            self.problems.problems, samples, log, self.limits, faults=self.faults, on_row=tell, stop=self.console.stop
        )
        if scored.stopped:
            raise self.console.stopped(f"{len(log.rows)} samples are scored, in {log.path}")
        for key, reason in scored.errors.items():
            self.failures.add(key, _no_verdict(key[0], reason))
        return [_row_of(sample, log) for sample in samples if sample.key not in scored.errors]


def _row_of(sample: Sample, log: ResultLog) -> Row:
    row = log.rows[sample.key]
    if row.completion != sample.completion:
        raise UsageError(
            f"{log.path} holds the result of another answer to {sample.task_id} than this run's",
            hint="name another --out, or delete it",
        )
    return row


def _no_verdict(task: str, reason: str) -> ExperimentError:
    return ExperimentError(
        f"{task} got no verdict, which is no zero: {reason}",
        hint="the sandbox or the problem is at fault, not the sample; run the same command again",
    )


def _one_each(found: SampleFile, problems: ProblemSet) -> dict[str, Sample]:
    """The file's samples by task."""
    by_task = {sample.task_id: sample for sample in found.samples}
    missing = [task for task in problems.tasks if task not in by_task]
    if found.faults or missing or len(found.samples) != len(by_task):
        parts = [f"line {fault.line}: {fault.reason}" for fault in found.faults[:_SHOWN]]
        parts += (
            [f"no sample of {', '.join(missing[:_SHOWN])}{' …' if len(missing) > _SHOWN else ''}"] if missing else []
        )
        parts += [] if parts else [f"{len(found.samples)} samples of {len(by_task)} problems"]
        raise UsageError(
            f"{found.path}: a sequential test takes exactly one sample of every problem: {'; '.join(parts)}",
            hint="complete the file, or score what is there without --bar",
        )
    return by_task


def _decision(look: Look, passed: int) -> str:
    if passed >= look.stop_at_least:
        return "above"
    return "below" if passed <= look.stop_at_most else "open"
