"""Curves of a report, read out of the logs of training runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from refute.judge.predicate.exhibits import Curve
from refute.judge.run.folder import EvidenceLine

Lines = Mapping[str, EvidenceLine]


# Enough for every step of a short run; of a long one, every n-th and the last.
_MOST_POINTS = 1000


def _rows(lines: Lines, name: str, file: str) -> list[dict[str, Any]]:
    line = lines.get(name)
    if line is None or file not in line.files:
        return []
    text = (Path(line.folder) / file).read_text(encoding="utf-8")
    return [json.loads(row) for row in text.splitlines() if row]


def _curves(lines: Lines) -> Iterable[Curve]:
    for label, name in (("student", "student"), ("control", "ce_control")):
        metrics = _rows(lines, name, "metrics.jsonl")
        for key, word in (("ce", "CE"), ("kl", "KL")):
            # The control has no KL term: its logged zeros would read as a perfect match.
            if not (name == "ce_control" and key == "kl"):
                yield from _curve("Training loss", f"{word}, {label}", metrics, key)
        evals = _rows(lines, name, "evals.jsonl")
        yield from _curve("Held-out cross-entropy", label, evals, "heldout_ce")
        yield from _curve("Held-out KL to the teacher", label, evals, "heldout_kl")


def _curve(chart: str, name: str, rows: list[dict[str, Any]], key: str) -> Iterable[Curve]:
    points = [(int(row["step"]), float(row[key])) for row in rows if row.get(key) is not None]
    stride = -(-len(points) // _MOST_POINTS) or 1
    kept = points[::stride] + (points[-1:] if (len(points) - 1) % stride else [])
    if len(kept) > 1:
        steps, values = zip(*kept, strict=True)
        yield Curve(chart=chart, name=name, unit="nat/token", steps=steps, values=values)
