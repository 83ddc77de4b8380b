"""Sabotages of the engines: a package that lies beside the tests, run in a process of its own, row by row."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from refute.errors import UsageError
from refute.spec.fields import Closed


class EngineFate(Closed):
    """A sabotage of an engine, the recorded failure that it repeats, and the falsifiers that were asked about it.

    `named` is the one that the catalogue expects to refuse. `untried` saw other evidence, too, but would have needed
    experiments that `killed_by` made unnecessary.
    """

    sabotage: str
    failure: str
    named: str
    killed_by: tuple[str, ...]
    let_stand: tuple[str, ...]
    untried: tuple[str, ...]

    @property
    def survived(self) -> bool:
        """Every falsifier let it stand."""
        return not self.killed_by


class EngineMatrix(Closed):
    """All fates, those that nothing kills first."""

    fates: tuple[EngineFate, ...]

    @property
    def score(self) -> float:
        """Share of killed sabotages in percent."""
        return 100 * sum(not fate.survived for fate in self.fates) / len(self.fates)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "score": self.score,
            "sabotages": len(self.fates),
            "survived": sum(fate.survived for fate in self.fates),
            "fates": [fate.model_dump(mode="json") for fate in self.fates],
        }


def engine_matrix(package: Path) -> EngineMatrix:
    """What `python -m PACKAGE.matrix` writes: one EngineFate as JSON a line. Its progress goes to standard error.

    Raises UsageError where there is no such module, where it fails, and for output that is none.
    """
    package = package.resolve()
    if not (package / "matrix.py").is_file():
        raise UsageError(f"{package} is no package of sabotages: it has no matrix.py", hint="give its folder")
    searched = [str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(  # noqa: S603  # our own interpreter, and the package that the caller names
        [sys.executable, "-m", f"{package.name}.matrix"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(searched)},
    )
    if done.returncode != 0:
        raise UsageError(f"the sabotages in {package} ended with status {done.returncode}", hint="see what they wrote")
    fates = tuple(_fates(done.stdout, package))
    if not fates:
        raise UsageError(f"{package} sabotages nothing")
    return EngineMatrix(fates=tuple(sorted(fates, key=lambda fate: (not fate.survived, fate.failure, fate.sabotage))))


def _fates(text: str, package: Path) -> Iterator[EngineFate]:
    for line in text.splitlines():
        try:
            yield EngineFate.model_validate_json(line)
        except ValidationError as error:
            raise UsageError(f"{package} wrote a row that is none: {line[:200]}") from error
