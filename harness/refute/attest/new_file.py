"""Files that appear whole or not at all, and never take another's place."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def create_file(path: Path, data: bytes, mode: int) -> bool:
    """Put a complete file at `path` unless something is there; return whether it was put. Raises OSError."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            os.fchmod(handle.fileno(), mode)
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        # A hard link, unlike a rename, fails where the name is taken.
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True
