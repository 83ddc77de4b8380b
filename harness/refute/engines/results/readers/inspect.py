"""UK AISI's Inspect: a log as .json, or as .eval, which is a zip of header.json and a file a sample."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from refute.engines.results.files import choose, listed, mapping, parse, read_json
from refute.engines.results.table import Item, Table, digest, fields_of, number
from refute.errors import ExperimentError
from refute.spec.results import ResultFile

# Inspect's letters for correct, partly correct, incorrect and no answer, as `value_to_float` reads them.
_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}


def read_inspect(file: ResultFile, path: Path, _run: Path | None) -> Table:
    """The samples of one log; epochs are samples of an item. With several scorers, the one named as `metric`.

    Raises ExperimentError for a log that did not end in success, for one without samples, and for a value that is no
    score.
    """
    log = _unzipped(path) if zipfile.is_zipfile(path) else mapping(read_json(path), path.name)
    if log.get("status") != "success":
        raise ExperimentError(
            f"{path.name}: the run ended as {log.get('status')!r}, expected 'success'", hint="run it to its end"
        )
    evaluated = mapping(log.get("eval"), f"{path.name}: eval")
    samples = listed(log.get("samples"), f"{path.name}: samples")
    scorers = sorted({str(name) for sample in samples for name in (sample.get("scores") or {})})
    metric = choose(file.metric, scorers, "metric", path.name)
    dataset = evaluated.get("dataset") or {}
    sample_ids = dataset.get("sample_ids")
    packages = evaluated.get("packages") or {}
    config = evaluated.get("config") or {}
    return Table(
        tool="inspect",
        metric=metric,
        items=tuple(_items(samples, metric, path.name)),
        version=packages.get("inspect_ai"),
        model=evaluated.get("model"),
        declared_items=len(sample_ids) if isinstance(sample_ids, list) else None,
        settings={
            "task": str(evaluated.get("task")),
            "task_version": str(evaluated.get("task_version")),
            "task_args": str(evaluated.get("task_args") or {}),
            "epochs": str(config.get("epochs") or 1),
        },
    )


def _items(samples: list[Any], metric: str, where: str) -> Iterator[Item]:
    for place, sample in enumerate(samples):
        row = mapping(sample, f"{where}: samples[{place}]")
        if "id" not in row or "epoch" not in row:
            raise ExperimentError(f"{where}: samples[{place}] has no id and epoch")
        score, error = _scored(row, metric)
        metadata = fields_of(row.get("metadata"))
        yield Item(str(row["id"]), int(row["epoch"]) - 1, score, error, digest(row.get("input")), metadata)


def _scored(row: Mapping[str, Any], metric: str) -> tuple[float | None, str | None]:
    if row.get("error"):
        return None, str(mapping(row["error"], "error").get("message", "an error"))[:200]
    found = (row.get("scores") or {}).get(metric)
    if not isinstance(found, dict) or "value" not in found:
        return None, f"no score by {metric}"
    value = found["value"]
    return number(_LETTERS.get(value, value) if isinstance(value, str) else value)


def _unzipped(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "header.json" not in names:
                raise ExperimentError(
                    f"{path.name} has no header.json: its run has not ended", hint="run it to its end"
                )
            header = mapping(parse(archive.read("header.json"), f"{path.name}: header.json"), path.name)
            members = sorted(name for name in names if name.startswith("samples/") and name.endswith(".json"))
            return header | {"samples": [parse(archive.read(name), f"{path.name}: {name}") for name in members]}
    except (zipfile.BadZipFile, NotImplementedError, OSError, zlib.error) as error:
        raise ExperimentError(
            f"{path.name} cannot be unpacked: {error}", hint="write it as JSON: inspect log convert --to json"
        ) from error
