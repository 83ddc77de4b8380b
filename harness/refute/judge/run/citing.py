"""Which runs there are, and the evidence that each of them cites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refute.judge.run.folder import EvidenceLine, RunFolder


@dataclass(frozen=True, slots=True)
class CitingRun:
    """A run by its id: when something was last written into its folder (seconds since 1970), and what it cites."""

    id: str
    path: Path
    last_written: float
    evidence: Mapping[str, EvidenceLine]

    @property
    def digests(self) -> frozenset[str]:
        """The manifest digests of what it cites."""
        return frozenset(line.digest for line in self.evidence.values())

    @property
    def objects(self) -> frozenset[str]:
        """The SHA-256 of every file that it cites."""
        return frozenset(digest for line in self.evidence.values() for digest in line.files.values())


def citing_runs(runs: Path) -> tuple[CitingRun, ...]:
    """The runs below `runs`, the last written first. Raises what `RunFolder.read_evidence` raises."""
    folders = [path for path in sorted(runs.iterdir()) if _is_run(path)] if runs.is_dir() else []
    return tuple(sorted(map(citing_run, folders), key=lambda run: run.last_written, reverse=True))


def citing_run(path: Path) -> CitingRun:
    """The run whose folder is `path`. Raises what `RunFolder.read_evidence` raises."""
    return CitingRun(path.name, path, _last_written(path), RunFolder(path).read_evidence())


def kept_runs(runs: Sequence[CitingRun], count: int | None, young_since: float) -> tuple[CitingRun, ...]:
    """All of `runs` or, of those that were last written before `young_since`, only as many as make `count` in all."""
    if count is None:
        return tuple(runs)
    return tuple(run for place, run in enumerate(runs) if place < count or run.last_written >= young_since)


def _is_run(path: Path) -> bool:
    """`latest` is a link to one that is counted already."""
    return path.is_dir() and not path.is_symlink() and not path.name.startswith(".")


def _last_written(path: Path) -> float:
    return max(each.lstat().st_mtime for each in (path, *path.iterdir()))
