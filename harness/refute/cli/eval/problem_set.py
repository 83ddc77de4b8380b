"""The problems of a run, with the digest of the file that they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from refute.cli.arguments import reading_what_was_named
from refute.disk import file_sha256
from refute.engines.humaneval.problems.official import OFFICIAL_PROBLEMS
from refute.engines.humaneval.problems.problems import Problem, load_problems
from refute.evidence.fetch import fetch


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

    Raises DigestMismatchError where the official file was changed, MissingInputsError where it cannot be fetched, and
    UnreadableInputError where `path` cannot be read.
    """
    place = fetch(OFFICIAL_PROBLEMS, Path()) if path is None else path
    with reading_what_was_named():
        problems = load_problems(place, limit=limit)
    return ProblemSet(problems, file_sha256(place))
