"""What a file is by its bytes, whatever its name says: a pickle is refused, not opened."""

from __future__ import annotations

import json
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from refute.errors import UnreadableInputError

_SAFETENSORS_LONGEST_HEADER = 100_000_000  # the limit of the reference implementation
_BEGINNINGS = (
    (b"GGUF", "gguf"),
    (b"version https://git-lfs.github.com/spec/", "lfs pointer"),
    (b"PK\x03\x04", "zip archive"),  # what torch.save writes: a pickle inside
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
)
# The protocols that state themselves; others are told by what they would do.
_PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
# The opcodes by which a pickle calls something, and those that import what they name in their argument.
_CALLING = frozenset({"INST", "OBJ", "REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX"})
_NAMING = frozenset({"GLOBAL", "INST"})
_MOST_STEPS = 1_000_000  # no text goes on for so long by chance
RUNS_CODE = frozenset({"pickle", "zip archive"})


def file_kind(path: Path) -> str:
    """`gguf`, `safetensors`, `lfs pointer`, `pickle`, `zip archive`, `hdf5`, `empty`, or `other`. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return "empty"
    for beginning, kind in _BEGINNINGS:
        if start.startswith(beginning):
            return kind
    if _is_pickle_that_acts(path):
        return "pickle"
    if _is_safetensors(path, start):
        return "safetensors"
    if start.startswith(_PICKLES):
        return "pickle"
    return "zip archive" if zipfile.is_zipfile(path) else "other"


def _is_safetensors(path: Path, start: bytes) -> bool:
    """Whether it begins as one; a length that is a pickle's beginning, such as 640, must be that of a whole header."""
    length = int.from_bytes(start[:8], "little")
    if start[8:9] != b"{" or length > _SAFETENSORS_LONGEST_HEADER:
        return False
    return not start.startswith(_PICKLES) or _is_object(path, length)


def _is_object(path: Path, length: int) -> bool:
    with path.open("rb") as file:
        file.seek(8)
        try:
            return isinstance(json.loads(file.read(length)), dict)
        except ValueError:
            return False


def _is_pickle_that_acts(path: Path) -> bool:
    """Whether a reader of pickles would import or call something before it ends or trips, whatever follows."""
    with path.open("rb") as file:
        imported = False
        try:
            for step, name in enumerate(_run(file)):
                imported = imported or name.endswith("GLOBAL")
                if name in _CALLING or (name == "STOP" and imported) or step == _MOST_STEPS:
                    return True
        # Whatever is no pickle ends here, in as many ways as there are opcodes.
        except Exception:  # noqa: BLE001  # genops raises ValueError, and more for arguments that are cut short
            return False
    return False


def _run(file: IO[bytes]) -> Iterator[str]:
    """The opcodes that a reader of pickles gets through, by name. Raises where its stack does not hold what they need.

    Almost every text begins with some opcode: without the stack, one that begins with `import` would call something.
    """
    stack: list[Any] = []
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in _NAMING and not all(each.isidentifier() for each in _parts(argument)):
            raise ValueError(f"{argument!r} is no name")
        needed = opcode.stack_before
        if pickletools.markobject in needed:
            while stack.pop() is not pickletools.markobject:
                pass
            needed = needed[: needed.index(pickletools.markobject)]
        if len(stack) < len(needed):
            raise ValueError(f"{opcode.name} finds {len(stack)} objects, expected {len(needed)}")
        del stack[len(stack) - len(needed) :]
        stack.extend(opcode.stack_after)
        yield opcode.name


def _parts(argument: Any) -> list[str]:
    return str(argument).replace(" ", ".").split(".")


def refuse_code(path: Path) -> None:
    """Raise UnreadableInputError where the file would run code when it is opened: a pickle, under any name."""
    kind = file_kind(path)
    if kind in RUNS_CODE:
        raise UnreadableInputError(
            f"{path} is a {kind}, whatever its name says: to open it is to run what it holds",
            hint="convert it to safetensors where you trust it, and take the file out of the folder",
        )
