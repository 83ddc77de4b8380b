"""What a falsifier is handed: its parameters and read-only evidence, with a note of every file it reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refute.errors import EvidenceError
from refute.falsifier.tables import read_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


Parameter = bool | int | float | str

# What may stand around JSON (RFC 8259, section 2).
_JSON_SPACE = " \t\n\r"

# Characters of a line that is no row.
_SHOWN = 40


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
        """The parsed JSON file. Raises EvidenceError where it is not JSON, or holds NaN or infinity."""
        return self._parse(file, self._text(file))

    def rows(self, file: str) -> list[dict[str, Any]]:
        """The objects of a JSON Lines file, in file order; blank lines are none.

        Raises EvidenceError, which names file and line, for a line that holds anything else.
        """
        # Not `splitlines`: JSON text may hold U+2028 and other characters at which that would cut.
        lines = enumerate(self._text(file).split("\n"), start=1)
        return [self._row(f"{file}:{number}", line) for number, line in lines if line.strip()]

    def rows_by(self, file: str, key: str) -> dict[Any, dict[str, Any]]:
        """The rows of `rows` by what each has under `key`, in file order.

        Raises EvidenceError, which names file and key, for a row without it, and for two rows of which one would
        otherwise speak for both, or be counted twice.
        """
        found: dict[Any, dict[str, Any]] = {}
        for number, row in enumerate(self.rows(file), start=1):
            if key not in row:
                raise EvidenceError(f"{self._label(file)}: row {number} has no {key!r}")
            if row[key] in found:
                raise EvidenceError(
                    f"{self._label(file)}: {key} {row[key]!r} stands there twice, expected one row of it"
                )
            found[row[key]] = row
        return found

    def table(self, file: str, *, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The rows of a Parquet or Arrow file (.parquet, .arrow, .feather), one by one: it may be larger than memory.

        With `columns`, no others are read. Values are plain Python's, absent ones None. Needs the extra `data`.
        Raises EvidenceError, which names file and row, for what cannot be read and numbers that are not finite, and
        MissingDependencyError without that extra.
        """
        return read_rows(self.path(file), self._label(file), columns)

    def arrays(self, file: str) -> dict[str, NDArray[Any]]:
        """The arrays of a safetensors file."""
        from safetensors.numpy import load_file

        return load_file(self.path(file))

    def _row(self, place: str, line: str) -> dict[str, Any]:
        row = self._parse(place, line)
        if not isinstance(row, dict):
            raise EvidenceError(f"{self._label(place)}: expected a JSON object, found {line.strip()[:_SHOWN]}")
        return row

    def _text(self, file: str) -> str:
        try:
            return self.path(file).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise EvidenceError(f"{self._label(file)}: is not UTF-8: {error.reason} at byte {error.start}") from error

    def _parse(self, place: str, text: str) -> Any:
        text = text.strip(_JSON_SPACE)
        try:
            found, end = _JSON.raw_decode(text)
            if end < len(text):
                raise json.JSONDecodeError("Extra data", text, end)
        except json.JSONDecodeError as error:
            raise EvidenceError(f"{self._label(place)}: is not JSON: {error}") from error
        except _NotFiniteError as error:
            raise EvidenceError(f"{self._label(place)}: holds the number {error}, which is not finite") from error
        return found

    def _label(self, place: str) -> str:
        return f"evidence {self.name!r}: {place}"


class _NotFiniteError(Exception):
    """A number of JSON text, as it stands there."""


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _NotFiniteError(text)
    return number


# Once: `json.loads` makes one for each line that it is to read by other hooks than its own, and that takes longer.
_JSON = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)


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
