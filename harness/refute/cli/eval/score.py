"""`refute eval score`: samples executed into a results file, all of them or until a sequential test has decided."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from refute.cli.arguments import reading_what_was_named
from refute.cli.eval.figures import by_category, format_of, pass_intervals, percent
from refute.cli.eval.problem_set import ProblemSet
from refute.cli.eval.run_console import run_console
from refute.cli.eval.run_folder import results_identity
from refute.cli.eval.score_sequential import score_until_decided
from refute.engines.humaneval.readers.sample_file import SampleFile, read_samples, uneven_tasks
from refute.engines.humaneval.samples.completion import Key
from refute.engines.humaneval.scoring.execute import Limits
from refute.engines.humaneval.scoring.result_log import ResultLog, Row, open_results
from refute.engines.humaneval.scoring.score_samples import Scored, score_samples
from refute.engines.humaneval.scoring.tally import count, mean_pass_at_k, timeouts, with_failed
from refute.errors import UsageError
from refute.job import ProgressCallback
from refute.spec.bars.sequential import Design

_SHOWN = 12
_TELL_S = 2.0


def score_file(
    path: Path, out: Path, *, problems: ProblemSet, limits: Limits, partial: bool, design: Design | None
) -> dict[str, object]:
    """Execute the samples of `path`, append their results to `out`, and return the figures.

    With a `design`, as `score_until_decided` does, else as `score_whole_file` does. Raises UsageError for a `partial`
    file with a design, UnreadableInputError for one that cannot be read or holds no sample.
    """
    with reading_what_was_named():
        found = read_samples(path, problems.problems)
    if design is None:
        return score_whole_file(found, out, problems=problems, limits=limits, partial=partial)
    if partial:
        raise UsageError("--bar takes one sample of every problem", hint="leave out --partial or --bar")
    return score_until_decided(found, out, problems=problems, limits=limits, design=design)


def score_whole_file(
    found: SampleFile,
    out: Path,
    *,
    problems: ProblemSet,
    limits: Limits,
    partial: bool,
    unanswered: Sequence[Key] | None = None,
    asked: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Execute the samples of `found`, append their results to `out`, and return the figures.

    What an earlier call with the same input scored is not scored again. Samples of a problem that is at fault (see
    `faulty_problems`) get no verdict. With `unanswered`, these samples, which the file lacks, count as failed, and so
    do those that get no verdict; without it, both are left out. `asked` says how their model was asked, and is part of
    what the results are results of. Raises UsageError for missing or surplus samples unless `partial` (or a faulty line
    is to blame) and for results of another run; StoppedError after a signal, with everything that was scored kept;
    UnwritableError for a full disk.
    """
    uneven = uneven_tasks(found.samples, problems.tasks)
    if uneven and not partial and not found.faults:
        raise _uneven(found.path, uneven)
    with (
        open_results(out, results_identity(problems, limits, samples_sha256=found.sha256, **asked or {})) as log,
        run_console(out) as console,
    ):
        if log.rows:
            sys.stderr.write(f"{len(log.rows)} samples were scored before\n")
        faults = problems.faults(limits, console.stop)
        shown = _ScoringProgress(log, found, console.report)
        scored = score_samples(
            problems.problems, found.samples, log, limits, faults=faults, on_row=shown.add, stop=console.stop
        )
        if scored.stopped:
            raise console.stopped(f"{len(log.rows)} of {len(found.samples)} samples are scored, in {out}")
        log.sort(sample.key for sample in found.samples)
    return _figures(log, found, scored, uneven, problems, unanswered) | {
        "faulty_problems": dict(faults),
        "executed_now": shown.new,
        "wall_s": round(shown.seconds, 3),
        "results": str(out),
    }


def _figures(
    log: ResultLog,
    found: SampleFile,
    scored: Scored,
    uneven: Mapping[str, Sequence[int]],
    problems: ProblemSet,
    unanswered: Sequence[Key] | None,
) -> dict[str, object]:
    """The numbers of a finished run, and everything that keeps them from being those of all problems."""
    rows = [row for key, row in log.rows.items() if key not in scored.errors]
    counts = count(rows) if unanswered is None else with_failed(count(rows), [*unanswered, *scored.errors])
    shares = [each.share for each in counts.values()]
    sizes = [each.n for each in counts.values()]
    return {
        "mode": "fixed",
        "samples": len(found.samples),
        "scored": len(rows),
        "passed": sum(row.passed for row in rows),
        "problems": len(counts),
        "problems_in_file": len(problems.tasks),
        "problem_file": problems.name,
        "by_category": by_category(counts, problems.problems),
        "samples_a_problem": [min(sizes, default=0), max(sizes, default=0)],
        "pass_at_k": {str(k): value for k, value in mean_pass_at_k(list(counts.values())).items()},
        "pass_at_1_intervals": [asdict(each) for each in pass_intervals(shares)] if shares else [],
        "timeouts": timeouts(rows),
        "format": format_of(rows, problems.problems),
        "missing_problems": [task for task, lines in uneven.items() if not lines],
        "uneven_problems": {task: list(lines) for task, lines in uneven.items() if lines},
        "faulty_lines": [asdict(fault) for fault in found.faults],
        "errors": [{"task_id": task, "sample": index, "reason": why} for (task, index), why in scored.errors.items()],
        "run": dict(log.identity),
    }


class _ScoringProgress:
    """Keeps the console informed: problems done, passes, interval, samples a second; at most every 2 s."""

    def __init__(self, log: ResultLog, found: SampleFile, report: ProgressCallback) -> None:
        self._log, self._total, self._report = log, len(found.samples), report
        self._began = time.monotonic()
        self._told, self.new = 0.0, 0

    @property
    def seconds(self) -> float:
        """Wall time since scoring began."""
        return time.monotonic() - self._began

    def add(self, _row: Row) -> None:
        """One more row is in the log."""
        self.new += 1
        done = len(self._log.rows)
        if self.seconds - self._told < _TELL_S and done < self._total:
            return
        self._told = self.seconds
        counts = count(self._log.rows.values())
        shares = [each.share for each in counts.values()]
        self._report(
            "execute",
            done,
            self._total,
            {
                "problems": len(counts),
                "passed": sum(row.passed for row in self._log.rows.values()),
                "pass@1": percent(pass_intervals(shares)[:1]),
                "samples/s": self.new / max(self.seconds, 1e-9),
            },
        )


def _uneven(path: Path, uneven: Mapping[str, Sequence[int]]) -> UsageError:
    missing = [task for task, lines in uneven.items() if not lines]
    others = [f"{task} (lines {', '.join(map(str, lines))})" for task, lines in uneven.items() if lines]
    parts = [
        f"{what} {len(names)}: {', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}"
        for what, names in (("problems without a sample,", missing), ("with another number than most,", others))
        if names
    ]
    return UsageError(f"{path}: {'; '.join(parts)}", hint="complete the file, or score what is there with --partial")
