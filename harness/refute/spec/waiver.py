"""Waiver YAML -> the waivers that are well formed, and for each other entry what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from refute.errors import Problem, SpecError
from refute.spec.fields import Closed, Sha256
from refute.spec.yaml.document import Document, Value, parse_leniently, read_text, validate

_ENTRY = re.compile(r"waivers\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class WaiverFile:
    """What a waiver file holds. One malformed entry hides none of the others."""

    waivers: tuple[Waiver, ...] = ()
    malformed: tuple[MalformedWaiver, ...] = ()


def load_waivers(path: Path) -> WaiverFile:
    """Read a waiver file. Raises SpecError where faults lie outside its entries: nothing in it can then be trusted."""
    document, problems = parse_leniently(read_text(path), str(path))
    try:
        return WaiverFile(_checked(document, problems).waivers)
    except SpecError as error:
        return _sort_out(document, error.problems)


def _checked(document: Document, problems: Sequence[Problem]) -> Waivers:
    """The file as a model. Raises SpecError with the problems of its YAML and those of its entries."""
    found = list(problems)
    try:
        waivers = validate(document, Waivers)
    except SpecError as error:
        raise SpecError((*found, *error.problems)) from error
    if found:
        raise SpecError(found)
    return waivers


def _sort_out(document: Document, problems: Sequence[Problem]) -> WaiverFile:
    faults: dict[int, list[str]] = {}
    outside: list[Problem] = []
    entries = document.data.get("waivers")
    if not isinstance(entries, list):
        raise SpecError(problems)
    for problem in problems:
        entry = _ENTRY.match(problem.key)
        if entry is None or int(entry.group(1)) >= len(entries):
            outside.append(problem)
        else:
            where = problem.key.removeprefix(entry.group()).lstrip(".")
            text = f"{where}: {problem.message}" if where else problem.message
            faults.setdefault(int(entry.group(1)), []).append(f"line {problem.line}: {text}")
    if outside:
        raise SpecError(outside)
    sound = Document({"waivers": [each for n, each in enumerate(entries) if n not in faults]}, {}, document.file)
    malformed = [_malformed(entries[n], "; ".join(texts)) for n, texts in sorted(faults.items())]
    return WaiverFile(validate(sound, Waivers).waivers, tuple(malformed))


def _malformed(entry: Value, fault: str) -> MalformedWaiver:
    fields = entry if isinstance(entry, dict) else {}
    criterion, approver = (fields.get(name) for name in ("criterion", "approver"))
    return MalformedWaiver(
        criterion=criterion if isinstance(criterion, str) else "",
        approver=approver if isinstance(approver, str) else "",
        fault=fault,
    )


_UTC = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"
_Named = Annotated[str, Field(pattern=r"\S")]


class Waiver(Closed):
    """An exception for one criterion and one subject digest.

    `expires_at` is RFC 3339 in UTC, such as 2027-01-31T00:00:00Z.
    """

    criterion: _Named
    subject_sha256: Sha256
    approver: _Named
    reason: _Named
    expires_at: Annotated[str, Field(pattern=_UTC)]


class Waivers(Closed):
    """A waiver file."""

    waivers: tuple[Waiver, ...]


class MalformedWaiver(Closed):
    """An entry of a waiver file that is none: what it says, as far as that is text, and what is wrong with it."""

    criterion: str
    approver: str
    fault: str
