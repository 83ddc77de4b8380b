"""Which release is judged where none is named, and which YAML files are specs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from refute.errors import UsageError

DEFAULT_RELEASE = Path("releases") / "embedded.yaml"


def choose_release(roots: Sequence[Path]) -> Path:
    """`releases/embedded.yaml` below one of `roots`, or the only release there. Raises UsageError for none or many."""
    for root in roots:
        if (root / DEFAULT_RELEASE).is_file():
            return root / DEFAULT_RELEASE
    found = sorted(path for root in roots for path in (root / "releases").glob("*.yaml"))
    if len(found) != 1:
        listed = ", ".join(map(str, found)) or "none"
        raise UsageError(
            f"cannot tell which release to judge; found below {', '.join(map(str, roots))}: {listed}",
            hint="name one with --release FILE, or start with `refute init`",
        )
    return found[0]


def spec_files(roots: Sequence[Path]) -> list[Path]:
    """The YAML files among `roots` and directly in their folders, absolute, in order."""
    found = [
        path
        for root in roots
        for path in ([root] if root.is_file() else sorted(root.iterdir()) if root.is_dir() else [])
    ]
    return [path.resolve() for path in found if path.is_file() and is_yaml(path)]


def is_yaml(path: Path) -> bool:
    """Whether the name says so."""
    return path.suffix in (".yaml", ".yml")
