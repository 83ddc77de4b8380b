"""`refute init`: copy the example into a repository: a spec, a release, two falsifiers and evidence to judge."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from refute.errors import UsageError

_IGNORED = ".refute/\n"


def scaffold(folder: Path) -> list[Path]:
    """Write the example below `folder` and return what was written. Never overwrites: raises UsageError first."""
    with as_file(files("refute") / "example") as example:
        sources = sorted(p for p in example.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        targets = {folder / path.relative_to(example): path.read_bytes() for path in sources}
    taken = [str(target) for target in targets if target.exists()]
    if taken:
        raise UsageError(
            f"these files exist already: {', '.join(taken)}", hint="run `refute init` in an empty folder"
        )
    for target, content in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text(_IGNORED, encoding="utf-8")
        return [*targets, ignore]
    return list(targets)
