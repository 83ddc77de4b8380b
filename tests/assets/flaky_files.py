"""A file system for fsspec, `flaky://`, that fails, cuts short or dawdles as a test asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem


class FlakyFiles(MemoryFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """Files in memory, shared by all of a process; `before(operation, path)` may raise or sleep."""

    protocol = "flaky"
    store: ClassVar[dict[str, Any]] = {}  # pyright: ignore[reportIncompatibleVariableOverride]  # it is one there, too
    pseudo_dirs: ClassVar[list[str]] = [""]
    before: ClassVar[Callable[[str, str], None]] = staticmethod(lambda _operation, _path: None)
    cut: ClassVar[int | None] = None

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(str(path).replace("flaky://", "memory://")))

    @classmethod
    def reset(cls) -> None:
        """Empty, and honest."""
        cls.store.clear()
        cls.pseudo_dirs[:] = [""]
        cls.before = staticmethod(lambda _operation, _path: None)
        cls.cut = None

    def cat_file(self, path: str, *arguments: Any, **options: Any) -> Any:
        """Read, unless told otherwise."""
        type(self).before("read", path)
        return super().cat_file(path, *arguments, **options)

    def get_file(self, path: str, *arguments: Any, **options: Any) -> None:
        """Download, unless told otherwise."""
        type(self).before("download", path)
        super().get_file(path, *arguments, **options)

    def pipe_file(self, path: str, value: bytes, *arguments: Any, **options: Any) -> None:
        """Write, unless told otherwise."""
        type(self).before("write", path)
        super().pipe_file(path, value, *arguments, **options)

    def put_file(self, local: str, path: str, *arguments: Any, **options: Any) -> None:
        """Upload, perhaps only a part."""
        type(self).before("upload", path)
        data = Path(local).read_bytes()
        super().pipe_file(path, data if self.cut is None else data[: self.cut])

    def mv(self, old: str, new: str, *arguments: Any, **options: Any) -> None:
        """Move, unless told otherwise."""
        type(self).before("move", new)
        super().mv(old, new, *arguments, **options)


class SlowFiles(LocalFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """Files on this disk, each operation a moment late: for several processes at once."""

    protocol = "slow"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(LocalFileSystem._strip_protocol(str(path).replace("slow://", "file://")))

    def put_file(self, *arguments: Any, **options: Any) -> None:
        """Late."""
        time.sleep(0.05)
        super().put_file(*arguments, **options)


fsspec.register_implementation("flaky", FlakyFiles, clobber=True)
fsspec.register_implementation("slow", SlowFiles, clobber=True)
