"""Documents of text, JSON and Parquet files and of saved datasets, one after the other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from refute.engines.distill.data.reading.conversations import ChatTemplate
from refute.engines.distill.data.reading.file_format import (
    AGAIN,
    DAMAGED,
    FileFormat,
    UndecodableError,
    file_format,
    read_lines,
    read_text,
)
from refute.errors import MissingDependencyError, UsageError

_ROWS_AT_ONCE = 1024
_TO_UTF8 = "save it as UTF-8, as in: iconv -f latin1 -t utf-8"
_CHAT = frozenset({"messages", "conversations", "prompt", "completion"})
_NAME_FIELD = "name the text with --field, or leave the file out with --pattern"


@dataclass(frozen=True, slots=True)
class Unread:
    """A place where a text should be and is none: bytes that are not UTF-8, or a null."""

    reason: Literal["undecodable", "null"]
    where: str


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read: `field` names a row's text, with dots for one inside another; `separator` ends one text of a text
    file and begins the next, None where each file is one. With `chat`, each row is a conversation."""

    field: str = "text"
    separator: re.Pattern[str] | None = None
    chat: ChatTemplate | None = None


def read_documents(source: Path, reading: Reading) -> Iterator[str | Unread]:
    """The texts of one source, in its order, empty ones included.

    Raises UsageError naming file and row for a row without the field or with something else than text there, and for
    a file that is not what its name says; MissingDependencyError when a format needs a package that is not installed.
    """
    match file_format(source):
        case FileFormat.SAVED:
            yield from _from_dataset(source, reading)
        case FileFormat.PARQUET:
            yield from _from_parquet(source, reading)
        case FileFormat.JSON:
            yield from _from_json(source, reading)
        case FileFormat.TEXT if reading.chat is not None:
            raise UsageError(f"{source} is a text, and no rows of conversations", hint="leave it out with --pattern")
        case FileFormat.TEXT:
            yield from _from_text(source, reading.separator)


def _from_text(source: Path, separator: re.Pattern[str] | None) -> Iterator[str | Unread]:
    try:
        text = read_text(source)
    except UndecodableError as error:
        yield Unread("undecodable", f"{source}:{error.line}, {error}")
        return
    except DAMAGED as error:
        raise UsageError(f"{source}: cannot be read: {error}", hint=AGAIN) from error
    if "\0" in text:  # some other kind of file, whose bytes happen to be UTF-8
        yield Unread("undecodable", f"{source}, bytes of 0")
        return
    yield from split_documents(text, separator)


def split_documents(text: str, separator: re.Pattern[str] | None) -> list[str]:
    """The texts between separators, without those that are blank; all of it where there is none."""
    if separator is None or not separator.search(text):
        return [text]
    return [part for part in separator.split(text) if part.strip()]


def _from_json(source: Path, reading: Reading) -> Iterator[str | Unread]:
    where = "its beginning"
    try:
        for where, row in _json_rows(source):
            yield _row(row, reading, where)
    except UndecodableError as error:
        raise UsageError(f"{source}:{error.line}: {error}", hint=_TO_UTF8) from error
    except DAMAGED as error:
        raise UsageError(f"{source}: cannot be read after {where}: {error}", hint=AGAIN) from error


def _json_rows(source: Path) -> Iterator[tuple[str, object]]:
    """The rows of JSON lines, of one array, or the one object in a file: each with its place in words."""
    first = True
    for number, line in enumerate(read_lines(source), start=1):
        if not line.strip():
            continue
        if first and line.lstrip().startswith("["):
            rows = _parse(source, read_text(source), 1)
            for entry, row in enumerate(rows if isinstance(rows, list) else []):
                yield f"{source} entry {entry}", row
            return
        if first and _opens_whole(line) and (row := _whole(source)) is not None:
            yield f"{source}:{number}", row
            return
        first = False
        yield f"{source}:{number}", _parse(source, line.strip(), number)


def _parse(source: Path, text: str, first_line: int) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise UsageError(f"{source}:{line}: not JSON: {error}", hint="one object a line, or one array") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source}:{first_line}: not JSON: {error}", hint="one object a line, or one array") from error


def _opens_whole(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return True
    return False


def _whole(source: Path) -> object:
    """The one value that all of a file's lines together are; None where they are not."""
    try:
        return json.loads(read_text(source))
    except ValueError:
        return None


def _from_parquet(source: Path, reading: Reading) -> Iterator[str | Unread]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingDependencyError("Parquet files", "data") from error
    number = 0
    try:
        with parquet.ParquetFile(source) as file:
            names = file.schema_arrow.names
            column = reading.field if reading.field in names else reading.field.split(".")[0]
            if reading.chat is None and column not in names:
                raise UsageError(
                    f"{source} has no column {reading.field!r}, found {', '.join(names)}", hint=_NAME_FIELD
                )
            columns = names if reading.chat is not None else [column]
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
                for row in batch.to_pylist():
                    yield _row(row, reading, f"{source} row {number}")
                    number += 1
    except (OSError, ArrowException) as error:
        raise UsageError(f"{source}: cannot be read after {number} rows: {error}", hint=AGAIN) from error


def _from_dataset(source: Path, reading: Reading) -> Iterator[str | Unread]:
    try:
        from datasets import load_from_disk
    except ImportError as error:
        raise MissingDependencyError("saved datasets", "data") from error
    try:
        rows = load_from_disk(str(source))
    except Exception as error:
        # What it raises for a damaged one depends on where the damage is.
        raise UsageError(f"{source}: cannot be read as a saved dataset: {error}", hint=AGAIN) from error
    for number, row in enumerate(rows):
        yield _row(row, reading, f"{source} row {number}")


def _row(row: object, reading: Reading, where: str) -> str | Unread:
    if reading.chat is None:
        return _text(row, reading.field, where)
    conversation = reading.chat.read(row, where)
    return conversation if _is_unicode(conversation) else Unread("undecodable", where)


def _text(row: object, field: str, where: str) -> str | Unread:
    found = _value(row, field)
    if found is None:
        return Unread("null", where)
    if not isinstance(found, str):
        raise UsageError(f"{where}: no text under {field!r}, found {_has(row, found)}", hint=_way_out(row))
    return found.removeprefix("\ufeff") if _is_unicode(found) else Unread("undecodable", where)


def _is_unicode(text: str) -> bool:
    """JSON can escape half of a character's two UTF-16 units."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_ABSENT = object()


def _value(row: object, field: str) -> object:
    """What stands under `field`: a key as it is written, else keys inside each other between its dots. None if null."""
    if not isinstance(row, dict):
        return _ABSENT
    if field in row:
        return row[field]
    key, dot, rest = field.partition(".")
    if not dot or key not in row:
        return _ABSENT
    return None if row[key] is None else _value(row[key], rest)


def _way_out(row: object) -> str:
    if isinstance(row, dict) and not _CHAT.isdisjoint(row):
        return (
            "these are conversations: tokenise them with --chat and --seq-len, or render each to one text with the "
            "tokenizer's chat template and tokenise it with --special-tokens parse"
        )
    return _NAME_FIELD


def _has(row: object, found: object) -> str:
    if found is _ABSENT:
        return ", ".join(map(str, row)) if isinstance(row, dict) else type(row).__name__
    inside = f" of {', '.join(map(str, found))}" if isinstance(found, dict) else ""
    return f"{type(found).__name__}{inside} there"
