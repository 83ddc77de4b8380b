"""What a falsifier is handed: its parameters and read-only evidence, with a note of every file it reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refute.errors import EvidenceError

if TYPE_CHECKING:
    from numpy.typing import NDArray


Parameter = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Evidence:
    """The files of one experiment: a folder, its manifest digest, and the SHA-256 of each file."""

    name: str
    digest: str
    folder: Path
    files: Mapping[str, str]
    _read: set[str] = field(default_factory=set, compare=False, repr=False)

    def path(self, file: str) -> Path:
        """Where `file` is. Raises EvidenceError, listing what there is, when the experiment did not write it."""
        if file not in self.files:
            known = ", ".join(sorted(self.files)) or "nothing"
            raise EvidenceError(f"evidence {self.name!r} holds no file {file!r}; it holds: {known}")
        self._read.add(self.files[file])
        return self.folder / file

    def json(self, file: str) -> Any:
        """The parsed JSON file. NaN and infinity in it are errors."""
        return _parse(self.path(file).read_text(encoding="utf-8"))

    def rows(self, file: str) -> list[dict[str, Any]]:
        """The objects of a JSON Lines file, in file order. A line that holds something else is an error."""
        # Not `splitlines`: JSON text may hold U+2028 and other characters at which that would cut.
        lines = self.path(file).read_text(encoding="utf-8").split("\n")
        rows = [_parse(line) for line in lines if line.strip()]
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, dict):
                raise EvidenceError(f"evidence {self.name!r}: row {number} of {file!r} is no JSON object")
        return rows

    def arrays(self, file: str) -> dict[str, NDArray[Any]]:
        """The arrays of a safetensors file."""
        from safetensors.numpy import load_file

        return load_file(self.path(file))


def _parse(text: str) -> Any:
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise EvidenceError(f"evidence holds the number {text}, which is not finite")
    return number


@dataclass(frozen=True, slots=True)
class Context:
    """The whole world of a falsifier: nothing here can be written to, and nothing else should be read."""

    parameters: Mapping[str, Parameter]
    _evidence: Mapping[str, Evidence]

    def evidence(self, name: str) -> Evidence:
        """The evidence of one experiment that the falsifier declared in `needs`."""
        try:
            return self._evidence[name]
        except KeyError:
            declared = ", ".join(sorted(self._evidence)) or "nothing"
            raise EvidenceError(
                f"evidence {name!r} was not provided; available here: {declared}",
                hint=f"add {name!r} to the falsifier's `needs`, or, in a control, `bench.put({name!r}, …)`",
            ) from None

    def files_read(self) -> tuple[str, ...]:
        """SHA-256 of every evidence file read so far, sorted."""
        return tuple(sorted({digest for evidence in self._evidence.values() for digest in evidence._read}))
