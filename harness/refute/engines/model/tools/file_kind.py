"""What a file is by its bytes, whatever its name says: a pickle is refused, not opened."""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path

from refute.errors import UnreadableInputError

_SAFETENSORS_LONGEST_HEADER = 100_000_000  # the limit of the reference implementation
_BEGINNINGS = (
    (b"GGUF", "gguf"),
    (b"version https://git-lfs.github.com/spec/", "lfs pointer"),
    (b"PK\x03\x04", "zip archive"),  # what torch.save writes: a pickle inside
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
)
# The protocols that state themselves; those before are told by what they would do.
_PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
# The opcodes by which a pickle calls something.
_CALLING = frozenset({"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX"})
_LONGEST_OLD_PICKLE = 1 << 20
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
    if start.startswith(_PICKLES):
        return "pickle"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= _SAFETENSORS_LONGEST_HEADER:
        return "safetensors"
    if zipfile.is_zipfile(path):
        return "zip archive"
    return "pickle" if _is_old_pickle(path) else "other"


def _is_old_pickle(path: Path) -> bool:
    """Whether the text is a pickle of protocol 0 or 1, which has no magic, and calls something."""
    with path.open("rb") as file:
        text = file.read(_LONGEST_OLD_PICKLE)
    names = set()
    try:
        for opcode, _, _ in pickletools.genops(text):
            names.add(opcode.name)
    # Whatever is no pickle ends here, in as many ways as there are opcodes.
    except Exception:  # noqa: BLE001  # genops raises ValueError, and more for arguments that are cut short
        return False
    return bool(names & _CALLING)


def refuse_code(path: Path) -> None:
    """Raise UnreadableInputError where the file would run code when it is opened: a pickle, under any name."""
    kind = file_kind(path)
    if kind in RUNS_CODE:
        raise UnreadableInputError(
            f"{path} is a {kind}, whatever its name says: to open it is to run what it holds",
            hint="convert it to safetensors where you trust it, and take the file out of the folder",
        )
