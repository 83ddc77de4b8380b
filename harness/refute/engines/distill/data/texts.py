"""Documents from text files, JSON lines, Parquet files and saved datasets, one after the other."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from refute.errors import MissingDependencyError, MissingInputsError, UsageError

_JSON_LINES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")


_DATASET_MARK, _DATASETS_MARK = "dataset_info.json", "dataset_dict.json"


_ROWS_AT_ONCE = 1024


def find_sources(paths: Sequence[Path], pattern: str) -> list[Path]:
    """The files to read: those named, those below named folders that match `pattern`, and saved datasets, sorted.

    Raises MissingInputsError for a path that does not exist or a folder in which nothing matches, UsageError for
    several saved datasets in one.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise MissingInputsError(f"no file or folder at {path}")
        if path.is_file() or (path / _DATASET_MARK).is_file():
            found.append(path)
            continue
        if (path / _DATASETS_MARK).is_file():
            names = ", ".join(sorted(mark.parent.name for mark in path.glob(f"*/{_DATASET_MARK}")))
            raise UsageError(f"{path} holds several datasets: {names}", hint="name one of these folders below it")
        below = sorted(file for file in path.glob(pattern) if file.is_file())
        if not below:
            raise MissingInputsError(f"{path}: no file matches {pattern!r}", hint="give another --pattern")
        found += below
    return found


def read_documents(source: Path, field: str) -> Iterator[str | None]:
    """The texts of one source; `field` names the key or column. None stands for a text that is not UTF-8.

    Raises UsageError naming file and row for a row without that field, and for a file that is not what its name says;
    MissingDependencyError when a format needs a package that is not installed.
    """
    if source.is_dir():
        yield from _from_dataset(source, field)
    elif source.name.endswith(_JSON_LINES):
        yield from _from_json_lines(source, field)
    elif source.suffix == ".parquet":
        yield from _from_parquet(source, field)
    else:
        try:
            yield source.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            yield None


def _from_json_lines(source: Path, field: str) -> Iterator[str | None]:
    number = 0
    try:
        with _open(source) as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield _text(json.loads(line), field, f"{source}:{number}")
    except json.JSONDecodeError as error:
        raise UsageError(f"{source}:{number}: not JSON: {error}") from error
    except (OSError, EOFError, ValueError) as error:
        raise UsageError(f"{source}: cannot be read after line {number}: {error}") from error


def _open(source: Path) -> IO[str]:
    if source.suffix == ".gz":
        return gzip.open(source, "rt", encoding="utf-8")
    return source.open(encoding="utf-8")


def _from_parquet(source: Path, field: str) -> Iterator[str | None]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingDependencyError("Parquet files", "data") from error
    number = 0
    try:
        with parquet.ParquetFile(source) as file:
            names = file.schema_arrow.names
            if field not in names:
                raise UsageError(f"{source} has no column {field!r}, found {', '.join(names)}", hint="give --field")
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[field]):
                for text in batch.column(0).to_pylist():
                    yield _text({field: text}, field, f"{source} row {number}")
                    number += 1
    except (OSError, ArrowException) as error:
        raise UsageError(f"{source}: cannot be read after {number} rows: {error}") from error


def _from_dataset(source: Path, field: str) -> Iterator[str | None]:
    try:
        from datasets import load_from_disk
    except ImportError as error:
        raise MissingDependencyError("saved datasets", "data") from error
    try:
        rows = load_from_disk(str(source))
    except Exception as error:
        # What it raises for a damaged one depends on where the damage is.
        raise UsageError(f"{source}: cannot be read as a saved dataset: {error}") from error
    for number, row in enumerate(rows):
        yield _text(row, field, f"{source} row {number}")


def _text(row: object, field: str, where: str) -> str | None:
    text = row.get(field) if isinstance(row, dict) else None
    if not isinstance(text, str):
        has = type(row).__name__
        if isinstance(row, dict):
            has = f"{type(text).__name__} there" if field in row else ", ".join(map(str, row))
        raise UsageError(f"{where}: no text under {field!r}, found {has}", hint="give --field")
    try:
        text.encode()
    except UnicodeEncodeError:
        # JSON can escape half of a character's two UTF-16 units.
        return None
    return text
