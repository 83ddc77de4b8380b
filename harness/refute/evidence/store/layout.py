"""What marks a folder as an evidence store: nothing is written into, or deleted from, a folder of another kind."""

from __future__ import annotations

from pathlib import Path

from refute.disk import create_file
from refute.errors import EvidenceError

MARKER = "store.json"
# Raised when what lies in a store is no longer read as before. Stores of refute 0.1 have no marker.
CONTENT = b'{"refute_store": 2}\n'
FOLDERS = ("objects", "keys", "views", "work", "locks")


def claim(root: Path) -> None:
    """Make the existing folder `root` a store, unless it is one. Raises EvidenceError for a folder of another kind."""
    if not (root / MARKER).exists():
        # Hidden files do not count: one may be the marker that another process is just writing.
        there = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
        if there and MARKER not in there:
            raise not_a_store(str(root), there)
        create_file(root / MARKER, CONTENT, 0o644)
    check_marker((root / MARKER).read_bytes(), str(root / MARKER))


def check_marker(found: bytes, where: str) -> None:
    """Raises EvidenceError unless `found`, read at `where`, marks a store of this layout."""
    if found != CONTENT:
        raise EvidenceError(
            f"{where} marks a store of another layout: expected {CONTENT.decode().strip()}, "
            f"found {found[:80].decode('utf-8', 'replace').strip() or 'nothing'}",
            hint="use the refute that made it, or name another store with --store",
        )


def not_a_store(root: str, there: list[str]) -> EvidenceError:
    """Why the place `root`, in which `there` lies, is not written into."""
    if {"objects", "keys"} <= set(there):
        return EvidenceError(
            f"{root} is an evidence store as refute 0.1.0 kept it: it has no {MARKER}",
            hint="name another folder with --store, or delete this one: its experiments will run again",
        )
    return EvidenceError(
        f"{root} is no evidence store: it has no {MARKER}, and holds {', '.join(there[:3])}"
        + (f" and {len(there) - 3} more" if len(there) > 3 else ""),
        hint="name an empty folder, or one that is not there yet, with --store",
    )
