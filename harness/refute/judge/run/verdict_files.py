"""Where the verdicts of a run lie. None is overwritten: judging again puts a second one beside the first.

The first is verdict.intoto.json, with verdict.intoto.jsonl (the same envelope, and its projections for policy engines),
verifier.pem (the public half of the key that signed), perhaps verdict.tsr, and report.html, .json, .md; of the second
all are marked `-2`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from refute.disk import create_file, writing

_VERDICT = re.compile(r"verdict(?:-([2-9]|[1-9][0-9]+))?\.(?:intoto\.jsonl?|sigstore\.json)")


@dataclass(frozen=True, slots=True)
class VerdictFiles:
    """The files of verdict `number` in `folder`."""

    folder: Path
    number: int = 1

    @property
    def verdict(self) -> Path:
        """The signed verdict."""
        return self._named("verdict", "intoto.json")

    @property
    def bundle(self) -> Path:
        """The same envelope and its projections, one a line."""
        return self._named("verdict", "intoto.jsonl")

    @property
    def key(self) -> Path:
        """The public half of the key that signed."""
        return self._named("verifier", "pem")

    @property
    def timestamp(self) -> Path:
        """What an RFC 3161 authority said of the signature, where it was asked."""
        return self._named("verdict", "tsr")

    def report(self, suffix: str) -> Path:
        """The report in the format of this suffix."""
        return self._named("report", suffix)

    def exported(self, suffix: str) -> Path:
        """The verdict in somebody else's format, whose file names end so."""
        return self._named("verdict", suffix)

    def _named(self, stem: str, suffix: str) -> Path:
        mark = "" if self.number == 1 else f"-{self.number}"
        return self.folder / f"{stem}{mark}.{suffix}"


def verdicts_in(folder: Path) -> list[VerdictFiles]:
    """The verdicts of a run folder, oldest first."""
    return sorted((files_of(path) for path in folder.glob("verdict*.intoto.json")), key=lambda files: files.number)


def files_of(verdict: Path) -> VerdictFiles:
    """What belongs to the verdict in this file; one that was renamed is taken for the first of its folder."""
    found = _VERDICT.fullmatch(verdict.name)
    return VerdictFiles(verdict.parent, int(found[1] or 1) if found else 1)


def put_verdict(folder: Path, envelope: bytes) -> VerdictFiles:
    """Write a signed verdict under the next name, whoever else does. Raises as `disk.unwritable` says."""
    last = max((files.number for files in verdicts_in(folder)), default=0)
    return next(files for number in count(last + 1) if _put((files := VerdictFiles(folder, number)).verdict, envelope))


def _put(path: Path, envelope: bytes) -> bool:
    with writing(path):
        return create_file(path, envelope, 0o644)
