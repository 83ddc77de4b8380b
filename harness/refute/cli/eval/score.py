"""`refute eval`: scoring samples and comparing results, without a release around them."""

from __future__ import annotations

import hashlib
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

from refute.cli.console import progress, signals
from refute.cli.eval.figures import pass_intervals, percent
from refute.engines.humaneval.problems.official import OFFICIAL_PROBLEMS
from refute.engines.humaneval.problems.problems import Problem, load_problems
from refute.engines.humaneval.samples.completion import Key
from refute.engines.humaneval.samples.sample_file import SampleFile, read_samples, uneven_tasks
from refute.engines.humaneval.sandbox.tiers import Isolation, require_isolation
from refute.engines.humaneval.scoring.execute import Limits
from refute.engines.humaneval.scoring.result_log import ResultLog, Row, open_results
from refute.engines.humaneval.scoring.score_samples import Scored, score_samples
from refute.engines.humaneval.scoring.tally import count, mean_pass_at_k, timeouts, with_failed
from refute.errors import StoppedError, UsageError
from refute.evidence.fetch import fetch
from refute.job import ProgressCallback, Stop

_SHOWN = 12


NOTICE = "stopping after what runs now"


_TELL_S = 2.0


@dataclass(frozen=True, slots=True)
class ProblemSet:
    """Problems, and the SHA-256 of the file that they come from."""

    problems: tuple[Problem, ...]
    sha256: str
    tasks: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple(problem.task_id for problem in self.problems))


def read_problems(path: Path | None, limit: int | None = None) -> ProblemSet:
    """The problems at `path`, whatever their digest; without a path the official 164, by theirs. The first `limit`.

    Raises DigestMismatchError where the official file was changed, MissingInputsError where one cannot be read.
    """
    place = fetch(OFFICIAL_PROBLEMS, Path()) if path is None else path
    problems = load_problems(place, limit=limit)
    return ProblemSet(problems, hashlib.sha256(place.read_bytes()).hexdigest())


def limits_of(timeout_s: float, minimum_isolation: str, workers: int | None) -> Limits:
    """Limits at the strongest tier of this machine. Raises ExperimentError where that is less than the minimum."""
    isolation = require_isolation(Isolation(minimum_isolation))
    return Limits(timeout_s, isolation) if workers is None else Limits(timeout_s, isolation, workers=workers)


def score_file(
    path: Path,
    out: Path,
    *,
    problems: ProblemSet,
    limits: Limits,
    partial: bool,
    unanswered: Sequence[Key] | None = None,
) -> dict[str, object]:
    """Execute the samples of `path`, append their results to `out`, and return the figures.

    What an earlier call with the same input scored is not scored again. With `unanswered`, these samples, which the
    file lacks, count as failed, and so do those that get no verdict; without it, both are left out. Raises UsageError
    for missing or surplus samples unless `partial` (or a faulty line is to blame) and for results of another run;
    StoppedError after a signal, with everything that was scored kept; ExperimentError for a full disk.
    """
    found = read_samples(path, problems.tasks)
    uneven = uneven_tasks(found.samples, problems.tasks)
    if uneven and not partial and not found.faults:
        raise _uneven(path, uneven)
    identity = identity_of(problems, limits, samples_sha256=found.sha256)
    stop = Stop()
    with open_results(out, identity) as log, signals(stop, NOTICE), progress() as report:
        if log.rows:
            sys.stderr.write(f"{len(log.rows)} samples were scored before\n")
        board = _Board(log, found, report)
        scored = score_samples(problems.problems, found.samples, log, limits, on_row=board.add, stop=stop)
        if scored.stopped:
            raise StoppedError(
                f"stopped; {len(log.rows)} of {len(found.samples)} samples are scored, in {out}",
                stop.signal,
                hint="the same command goes on from there",
            )
        log.sort((sample.task_id, sample.index) for sample in found.samples)
    return figures(log, found, scored, uneven, problems, unanswered) | {
        "executed_now": board.new,
        "wall_s": round(board.seconds, 3),
        "results": str(out),
    }


def identity_of(problems: ProblemSet, limits: Limits, **samples: object) -> dict[str, object]:
    """What results are results of, `samples` among it: a change of any of these makes them another run's."""
    return {
        **samples,
        "problems_sha256": problems.sha256,
        "timeout_s": limits.timeout_s,
        "memory_mib": limits.memory_mib,
        "isolation": limits.isolation.value,
        "python": platform.python_version(),
        "refute": version("refute"),
    }


def figures(
    log: ResultLog,
    found: SampleFile,
    scored: Scored,
    uneven: Mapping[str, Sequence[int]],
    problems: ProblemSet,
    unanswered: Sequence[Key] | None,
) -> dict[str, object]:
    """The numbers of a finished run, and everything that keeps them from being those of all problems."""
    rows = list(log.rows.values())
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
        "samples_a_problem": [min(sizes, default=0), max(sizes, default=0)],
        "pass_at_k": {str(k): value for k, value in mean_pass_at_k(list(counts.values())).items()},
        "pass_at_1_intervals": [asdict(each) for each in pass_intervals(shares)] if shares else [],
        "timeouts": timeouts(rows),
        "missing_problems": [task for task, lines in uneven.items() if not lines],
        "uneven_problems": {task: list(lines) for task, lines in uneven.items() if lines},
        "faulty_lines": [asdict(fault) for fault in found.faults],
        "errors": [{"task_id": task, "sample": index, "reason": why} for (task, index), why in scored.errors.items()],
        "run": dict(log.identity),
    }


class _Board:
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
