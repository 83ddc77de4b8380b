"""The folder of one `refute eval humaneval` run: its files' names, and whose it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refute.disk import write_whole, writing
from refute.errors import UsageError

SAMPLES, SUMMARY, GENERATION, LOG = "samples.jsonl", "summary.json", "generation.json", "work/samples.jsonl"
_RUN = "run.json"


def claim(out: Path, identity: Mapping[str, object]) -> None:
    """Make `out` the folder of the run with this identity. Raises UsageError where it is another run's.

    A run that could not begin, for want of a tokenizer or a server, holds nothing: another one takes its folder.
    """
    path = out / _RUN
    # A kill may have left the beginning of run.json itself.
    made = any(not each.is_dir() and each.name not in {_RUN, f"{_RUN}.new"} for each in out.rglob("*"))
    if made and not path.exists():
        raise UsageError(f"{out} is not empty, and holds no run of `refute eval humaneval`", hint="name another --out")
    if made:
        known = json.loads(path.read_text(encoding="utf-8"))
        wanted = json.loads(json.dumps(identity))
        changed = sorted(key for key in {*known, *wanted} if known.get(key) != wanted.get(key))
        if changed:
            shown = "; ".join(f"{key} was {known.get(key)!r}, is {wanted.get(key)!r}" for key in changed)
            raise UsageError(f"{out} holds another run: {shown}", hint="name another --out")
        return
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_json(path, identity)


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write `content` with sorted keys, at once or not at all. Raises as `disk.unwritable` says."""
    write_whole(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode("ascii"))
