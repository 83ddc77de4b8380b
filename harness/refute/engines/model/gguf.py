"""Opens a GGUF file, or says what is wrong with it; reads its metadata by key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGUFReader

from refute.errors import MissingInputsError

_MAGIC = b"GGUF"


def check_gguf_magic(path: Path) -> None:
    """Raise MissingInputsError unless `path` is a file that begins as GGUF does. Reads four bytes."""
    if not path.is_file():
        raise MissingInputsError(f"no GGUF file at {path}", hint="check the model's source in the release")
    with path.open("rb") as file:
        found = file.read(len(_MAGIC))
    if found != _MAGIC:
        raise MissingInputsError(
            f"{path} ({path.stat().st_size} bytes) begins with {found!r}, not with {_MAGIC!r}: no GGUF file",
            hint="fetch the file again and compare its sha256 with the release",
        )


class _QuickReader(GGUFReader):  # type: ignore[misc]  # it ships no types
    """The same over a plain array: a numpy.memmap runs Python code for each of a token list's million slices."""

    @property
    def data(self) -> Any:
        return self._mapped

    @data.setter
    def data(self, mapped: Any) -> None:
        self._mapped = mapped.view(np.ndarray)


@contextmanager
def read_once() -> Iterator[None]:
    """Within this, transformers gets the reader of `open_gguf`, and one map of names.

    By itself it makes a reader each for config, weights and tokenizer, and a map for each module: of the 44 s that the
    embedded teacher took on a busy machine, two thirds.
    """
    reader, names = gguf.GGUFReader, gguf.get_tensor_name_map
    gguf.GGUFReader = lambda path: open_gguf(Path(path))
    gguf.get_tensor_name_map = lru_cache(names)
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = reader, names


def open_gguf(path: Path) -> GGUFReader:
    """The reader of a complete GGUF file; the last one is kept, for reading a list of 49,152 tokens takes seconds.

    Raises MissingInputsError, which names file, size and what was expected.
    """
    check_gguf_magic(path)
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1)
def _read(path: Path, size: int, changed_ns: int) -> GGUFReader:  # another time of change is another file
    try:
        return _QuickReader(path)
    # An untrusted file: the reader answers damage with whatever numpy says about it.
    except Exception as error:
        raise MissingInputsError(
            f"{path} ({size} bytes) is no complete GGUF file (version 2 or 3, with "
            f"every tensor that its header lists): {type(error).__name__}: {error}",
            hint="the file is cut short or damaged; fetch it again and compare its sha256 with the release",
        ) from error


def metadata(reader: GGUFReader, key: str, default: object = None) -> object:
    """The value stored under `key` (str, int, float, bool or a list of them), else `default`."""
    field = reader.get_field(key)
    return default if field is None else field.contents()
