"""The run folder of one `refute gate`: made by it before pytest starts, and judged only if it is still that run.

A name that others can change, such as `latest`, is no identity: two gates may work in one folder, and a conftest.py can
repoint whatever it likes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from refute.errors import GateError, RefuteError
from refute.judge.answer import Signed
from refute.judge.run.folder import RunFolder
from refute.spec.fields import moment, utc_now
from refute.spec.files import LoadedRelease


@dataclass(frozen=True, slots=True)
class OwnRun:
    """A folder that a gate made at `began` for `release`; `node` is the folder itself, whatever its name leads to."""

    folder: RunFolder
    release: LoadedRelease
    began: str
    node: tuple[int, int]

    @classmethod
    def make(cls, runs: Path, release: LoadedRelease) -> OwnRun:
        """A new run folder below `runs`. Raises EvidenceError where that cannot be written."""
        began = utc_now()
        folder = RunFolder.create(runs)
        return cls(folder, release, began, _node(folder.path))

    def discard(self) -> None:
        """Remove the folder if nothing was recorded in it."""
        with contextlib.suppress(OSError):
            self.folder.path.rmdir()

    def check_recorded(self) -> None:
        """Raises GateError unless what was recorded here is this gate's run of this release."""
        _refuse(self.folder.path, self._recorded_faults())

    def check_signed(self, signed: Signed) -> None:
        """The same of the verdict: a process left behind may have changed the folder while it was judged."""
        release, run = signed.predicate.release, signed.predicate.run
        _refuse(signed.verdict, self._faults(run.id, run.started_at, release.id, release.sha256))

    def _recorded_faults(self) -> Iterator[str]:
        if _node(self.folder.path) != self.node:
            yield "it is another folder than the one that this gate made"
        try:
            recorded = self.folder.read_run()
            facts, release = recorded.facts, recorded.release
            yield from self._faults(facts.id, facts.started_at, release.id, release.sha256)
        except RefuteError as error:
            yield str(error)

    def _faults(self, run: str, started_at: str, release: str, release_sha256: str) -> Iterator[str]:
        asked = self.release
        if run != self.folder.path.name:
            yield f"its id is {run!a}, expected {self.folder.path.name!r}"
        if (release, release_sha256) != (asked.release.release, asked.sha256):
            yield (
                f"it is about release {release!a} with SHA-256 {release_sha256}, expected {asked.release.release!r} "
                f"with {asked.sha256}, from {asked.path}"
            )
        if moment(started_at, "started_at") < moment(self.began):
            yield f"it began at {started_at}, before this gate did at {self.began}"


def _refuse(what: Path, faults: Iterator[str]) -> None:
    if found := list(faults):
        raise GateError(
            f"{what} is not the run that was asked for, and no verdict is taken from it:"
            + "".join(f"\n  - {fault}" for fault in found),
            hint="a conftest.py, a plugin or a falsifier changed it while the gate ran; nothing else writes there",
        )


def _node(path: Path) -> tuple[int, int]:
    """What tells a folder from every other; (0, 0), which is none, where there is nothing."""
    try:
        found = path.lstat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino
