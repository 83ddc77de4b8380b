"""JSON of files that other tools wrote."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from refute.errors import ExperimentError

_GZIP = b"\x1f\x8b"


def read_json(path: Path) -> Any:
    """What stands in a JSON file, packed by gzip or not. Raises ExperimentError where it is none."""
    return parse(_text(path), path.name)


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSON Lines file, each with its place. Raises ExperimentError for a line that is none."""
    for place, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            yield f"{path.name}:{place}", mapping(parse(line, f"{path.name}:{place}"), f"{path.name}:{place}")


def parse(text: str | bytes, where: str) -> Any:
    """JSON text, NaN and infinities included: a reader names them. Raises ExperimentError for anything else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExperimentError(f"{where} is not JSON: {error}", hint="name the file as the tool wrote it") from error


def mapping(value: object, where: str) -> dict[str, Any]:
    """`value`, if it is a JSON object. Raises ExperimentError."""
    if not isinstance(value, dict):
        raise ExperimentError(f"{where} is {type(value).__name__}, expected a JSON object")
    return value


def listed(value: object, where: str) -> list[Any]:
    """`value`, if it is a JSON array. Raises ExperimentError."""
    if not isinstance(value, list):
        raise ExperimentError(f"{where} is {type(value).__name__}, expected a JSON array")
    return value


def choose(name: str | None, known: list[str], what: str, where: str) -> str:
    """`name`, or the only one of `known`. Raises ExperimentError, listing them, where that is none or not there."""
    if name is None and len(known) == 1:
        return known[0]
    if name not in known:
        found = "several" if name is None else repr(name)
        raise ExperimentError(
            f"{where}: {what} {found}, there are {', '.join(known) or 'none'}", hint=f"name one as `{what}`"
        )
    return name


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data.startswith(_GZIP) else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ExperimentError(
            f"{path.name} cannot be read: {error}", hint="name the file as the tool wrote it"
        ) from error
