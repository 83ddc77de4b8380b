"""Tables in evidence: the rows of Parquet and Arrow files, one after the other, and such files for controls."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from refute.errors import EvidenceError, MissingDependencyError

_PARQUET, _ARROW = (".parquet",), (".arrow", ".feather")

# Of a table of any length only so many rows are in memory.
_ROWS_AT_ONCE = 1024

# An Arrow file begins with it; what has the same suffix and does not is a stream, as `datasets` writes them.
_MAGIC = b"ARROW1"


def read_rows(path: Path, label: str, columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    """The rows of a table as plain Python values, an absent one None; `columns` alone where given.

    Raises, as rows are taken: EvidenceError, which names `label` and the row, for a file that cannot be read, a column
    that is not there and a number that is not finite; MissingDependencyError where pyarrow is not installed.
    """
    arrow_error = _arrow().ArrowException
    number = 0
    try:
        for batch in _batches(path, label, columns):
            for row in batch.to_pylist():
                number += 1
                if broken := [name for name, value in row.items() if not _is_finite(value)]:
                    raise EvidenceError(f"{label}: row {number}: {broken[0]!r} holds a number that is not finite")
                yield row
    except (OSError, arrow_error) as error:
        raise EvidenceError(f"{label}: cannot be read after {number} rows: {error}") from error


def table_bytes(file: str, rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A file of these rows, of the kind that the suffix of `file` names.

    Raises EvidenceError for another suffix, MissingDependencyError where pyarrow is not installed.
    """
    table, out = _arrow().Table.from_pylist([dict(row) for row in rows]), io.BytesIO()
    if file.endswith(_PARQUET):
        from pyarrow import parquet

        parquet.write_table(table, out)
    elif file.endswith(_ARROW):
        from pyarrow import ipc

        with ipc.new_file(out, table.schema) as writer:
            writer.write_table(table)
    else:
        raise _no_table(file)
    return out.getvalue()


def _batches(path: Path, label: str, columns: Sequence[str] | None) -> Iterator[Any]:
    if path.name.endswith(_PARQUET):
        from pyarrow import parquet

        with parquet.ParquetFile(path, pre_buffer=False) as table:
            wanted = _wanted(label, columns, table.schema_arrow.names)
            # No threads: this may be a forked child.
            yield from table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=wanted, use_threads=False)
    elif path.name.endswith(_ARROW):
        yield from _arrow_batches(path, label, columns)
    else:
        raise _no_table(label)


def _arrow_batches(path: Path, label: str, columns: Sequence[str] | None) -> Iterator[Any]:
    import pyarrow
    from pyarrow import ipc

    with pyarrow.memory_map(str(path)) as source:
        is_file = source.read(len(_MAGIC)) == _MAGIC
        source.seek(0)
        opened = ipc.open_file(source) if is_file else ipc.open_stream(source)
        wanted = _wanted(label, columns, opened.schema.names)
        batches = map(opened.get_batch, range(opened.num_record_batches)) if is_file else iter(opened)
        for batch in batches:
            for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                yield batch.select(wanted).slice(start, _ROWS_AT_ONCE)


def _wanted(label: str, columns: Sequence[str] | None, names: Sequence[str]) -> list[str]:
    if missing := [name for name in columns or () if name not in names]:
        raise EvidenceError(f"{label}: has no column {missing[0]!r}; it has: {', '.join(names) or 'none'}")
    return list(names if columns is None else columns)


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    return all(map(_is_finite, value)) if isinstance(value, list) else True


def _no_table(label: str) -> EvidenceError:
    kinds = ", ".join((*_PARQUET, *_ARROW))
    return EvidenceError(f"{label}: is no table by its name; expected one of {kinds}")


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingDependencyError("Parquet and Arrow files", "data") from error
    return pyarrow
