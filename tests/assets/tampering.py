"""What a broken disk or a saboteur does to a file."""

from __future__ import annotations

from pathlib import Path


def overwrite(path: Path, data: bytes) -> None:
    """Change a read-only file in place."""
    path.chmod(0o644)
    path.write_bytes(data)
