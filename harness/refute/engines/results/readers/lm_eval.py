"""EleutherAI's lm-evaluation-harness: `samples_<task>_<date>.jsonl`, and the `results_<date>.json` beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from refute.engines.results.files import choose, mapping, read_json, read_rows
from refute.engines.results.table import Item, Table, digest, fields_of, number
from refute.errors import ExperimentError
from refute.spec.results import ResultFile

_NAME = re.compile(r"samples_(?P<task>.+?)_\d{4}-\d\d-\d\dT.*\.jsonl(\.gz)?")
_SETTINGS = ("n-shot", "versions")


def read_lm_eval(file: ResultFile, path: Path, run: Path | None) -> Table:
    """The items of one task. With several metrics or filters, the one that the release names.

    Raises ExperimentError, with the line, for a row that is none of the harness's.
    """
    rows = list(read_rows(path))
    metric = choose(
        file.metric, sorted({name for where, row in rows for name in _metrics(row, where)}), "metric", path.name
    )
    filters = sorted({str(row["filter"]) for _, row in rows if "filter" in row})
    chosen = choose(file.filter, filters, "filter", path.name) if filters else None
    kept = [(where, row) for where, row in rows if chosen is None or row.get("filter") == chosen]
    about = {} if run is None else mapping(read_json(run), run.name)
    task = _task(path, about)
    return Table(
        tool="lm-eval",
        metric=metric if chosen is None else f"{metric},{chosen}",
        items=tuple(_items(kept, metric)),
        version=_text(about.get("lm_eval_version")) or _text(about.get("git_hash")),
        model=_text(about.get("model_name")) or _text(_inner(about, "config").get("model_args")),
        declared_items=_declared(about, task),
        settings={name: str(_inner(about, name)[task]) for name in _SETTINGS if task in _inner(about, name)},
    )


def _metrics(row: Mapping[str, Any], where: str) -> list[str]:
    names = row.get("metrics")
    if "doc_id" not in row or "resps" not in row:
        raise ExperimentError(
            f"{where}: expected doc_id and resps, as in samples of lm-eval", hint="was --log_samples on?"
        )
    if isinstance(names, list):
        return [str(name) for name in names]
    known = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter"}
    return [name for name, value in row.items() if name not in known and isinstance(value, int | float)]


def _items(rows: Sequence[tuple[str, Mapping[str, Any]]], metric: str) -> Iterator[Item]:
    for where, row in rows:
        if metric not in row:
            raise ExperimentError(f"{where}: the row has no metric {metric!r}")
        score, error = number(row[metric])
        prompt = row.get("prompt_hash") or digest(row.get("arguments"))
        asked = digest(prompt)
        yield Item(str(row["doc_id"]), 0, score, error, asked, fields_of(row.get("doc")))


def _task(path: Path, about: Mapping[str, Any]) -> str:
    found = _NAME.fullmatch(path.name)
    if found is not None:
        return found["task"]
    tasks = list(_inner(about, "results"))
    return str(tasks[0]) if len(tasks) == 1 else ""


def _declared(about: Mapping[str, Any], task: str) -> int | None:
    counts = _inner(about, "n-samples").get(task)
    found = counts.get("effective") if isinstance(counts, dict) else None
    return found if isinstance(found, int) else None


def _inner(about: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = about.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
