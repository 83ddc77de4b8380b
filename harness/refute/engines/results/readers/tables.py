"""lighteval's Parquet details, HELM's statistics of each instance, and items that somebody writes by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from refute.engines.results.files import choose, listed, mapping, read_json, read_rows
from refute.engines.results.table import Item, Table, digest, fields_of, number
from refute.errors import ExperimentError, MissingDependencyError
from refute.spec.results import ResultFile


def read_lighteval(file: ResultFile, path: Path, _run: Path | None) -> Table:
    """`details_<task>_<date>.parquet`, of lighteval 0.8 (`metrics`) or later (`metric`, `doc`).

    Raises MissingDependencyError without the extra `data`, ExperimentError for a table that is none of lighteval's.
    """
    try:
        from pyarrow import ArrowException
        from pyarrow import parquet as reader
    except ImportError as error:
        raise MissingDependencyError("details of lighteval", "data") from error
    try:
        rows = reader.read_table(path).to_pylist()
    except (ArrowException, OSError) as error:
        raise ExperimentError(f"{path.name} cannot be read as Parquet: {error}") from error
    metrics = [_metrics(row, f"{path.name}: row {place}") for place, row in enumerate(rows)]
    metric = choose(file.metric, sorted({name for found in metrics for name in found}), "metric", path.name)
    items = [
        _lighteval(place, row, found.get(metric)) for place, (row, found) in enumerate(zip(rows, metrics, strict=True))
    ]
    return Table(tool="lighteval", metric=metric, items=tuple(items))


def _metrics(row: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    found = row.get("metric") or row.get("metrics")
    return mapping(found, f"{where}: metrics")


def _lighteval(place: int, row: Mapping[str, Any], value: object) -> Item:
    doc = row.get("doc") if isinstance(row.get("doc"), dict) else {}
    name = (doc or {}).get("id") or row.get("example_id") or place
    asked = digest((doc or {}).get("query") or row.get("full_prompt"))
    return Item(str(name), 0, *number(value), asked, fields_of((doc or {}).get("specific")))


def read_helm(file: ResultFile, path: Path, run: Path | None) -> Table:
    """`per_instance_stats.json` and, as `run`, `run_spec.json`. Trials are samples; perturbed instances are refused."""
    rows = listed(read_json(path), path.name)
    names = sorted({str(stat["name"]["name"]) for row in rows for stat in row.get("stats", ())})
    metric = choose(file.metric, names, "metric", path.name)
    spec = {} if run is None else mapping(read_json(run), run.name)
    adapter = spec.get("adapter_spec") or {}
    return Table(
        tool="helm",
        metric=metric,
        items=tuple(_helm(rows, metric, path.name)),
        model=adapter.get("model"),
        settings={name: str(adapter[name]) for name in ("max_train_instances", "instructions") if name in adapter},
    )


def _helm(rows: list[Any], metric: str, where: str) -> Iterator[Item]:
    for place, found in enumerate(rows):
        row = mapping(found, f"{where}: [{place}]")
        if row.get("perturbation"):
            raise ExperimentError(
                f"{where}: [{place}] is of a perturbed instance", hint="name a run without perturbations"
            )
        stats = [stat for stat in row.get("stats", ()) if stat["name"]["name"] == metric]
        score, error = number(stats[0].get("mean")) if len(stats) == 1 else (None, f"{len(stats)} figures for {metric}")
        yield Item(str(row.get("instance_id")), int(row.get("train_trial_index") or 0), score, error)


def read_items(file: ResultFile, path: Path, _run: Path | None) -> Table:
    """JSON Lines with `item` and `score` each; `sample`, `prompt`, `error` and `fields` as they are needed.

    Raises ExperimentError for a row without them.
    """
    items = []
    for where, row in read_rows(path):
        if "item" not in row or ("score" not in row and "error" not in row):
            raise ExperimentError(f"{where}: expected `item`, and `score` or `error`")
        score, fault = (None, str(row["error"])) if row.get("error") else number(row.get("score"))
        sample = row.get("sample", 0)
        if not isinstance(sample, int) or isinstance(sample, bool):
            raise ExperimentError(f"{where}: sample is {sample!r}, expected a number from 0")
        asked = digest(row.get("prompt"))
        items.append(Item(str(row["item"]), sample, score, fault, asked, fields_of(row.get("fields"))))
    return Table(tool="items", metric=file.metric or "score", items=tuple(items))
