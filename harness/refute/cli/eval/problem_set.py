"""The problems of a run, with the digest of the file that they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from refute.cli.arguments import reading_what_was_named
from refute.disk import file_sha256
from refute.engines.humaneval.problems.known_files import OFFICIAL_PROBLEMS, KnownFile, known_file
from refute.engines.humaneval.problems.problems import Problem, content_of, load_problems
from refute.engines.humaneval.samples.failures import Failures
from refute.engines.humaneval.scoring.calibration import faulty_problems
from refute.engines.humaneval.scoring.execute import Limits
from refute.errors import ExperimentError
from refute.evidence.fetch import fetch

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class ProblemSet:
    """Problems, the SHA-256 of the file that they come from, and which published file that is (None: none known)."""

    problems: tuple[Problem, ...]
    sha256: str
    known: KnownFile | None = None
    tasks: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple(problem.task_id for problem in self.problems))

    @property
    def name(self) -> str:
        """Which published file this is, for people and reports."""
        if self.known is None:
            return "no published file that is known by its digest"
        return f"{self.known.name} ({self.known.url})"

    def faults(self, limits: Limits, stop: Callable[[], bool] = lambda: False) -> Mapping[str, str]:
        """Why each problem that cannot be scored cannot, by task; the official ones are known to be sound."""
        return {} if self.known is not None and self.known.sound else faulty_problems(self.problems, limits, stop)

    def require_sound(self, faults: Mapping[str, str], allowed_share: float) -> None:
        """Raise ExperimentError, with their names, where more than this share of the problems is among `faults`."""
        if len(faults) > Failures(len(self.problems), allowed_share).allowed:
            named = "; ".join(f"{task}: {reason}" for task, reason in list(faults.items())[:_SHOWN])
            raise ExperimentError(
                f"{len(faults)} of {len(self.problems)} problems cannot be scored, whatever the answer: {named}"
                f"{' …' if len(faults) > _SHOWN else ''}",
                hint="mend the problem file, or leave these problems out of it",
            )


def read_problems(path: Path | None, limit: int | None = None) -> ProblemSet:
    """The problems at `path`, whatever their digest; without a path the official 164, by theirs. The first `limit`.

    Raises DigestMismatchError where the official file was changed, MissingInputsError where it cannot be fetched, and
    UnreadableInputError where `path` cannot be read.
    """
    place = fetch(OFFICIAL_PROBLEMS, Path()) if path is None else path
    with reading_what_was_named():
        problems = load_problems(place, limit=limit)
    return ProblemSet(problems, file_sha256(place), known_file(content_of(place)))
