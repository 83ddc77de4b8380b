"""Results of programs that were executed: EvalPlus's, and rows such as openai/human-eval's and refute's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from refute.engines.results.files import choose, listed, mapping, read_json, read_rows
from refute.engines.results.table import Item, Table
from refute.errors import ExperimentError
from refute.spec.results import ResultFile

_PASSED = "pass"


def read_evalplus(file: ResultFile, path: Path, _run: Path | None) -> Table:
    """EvalPlus's `*_eval_results.json`. Metric `plus` (the default) needs the base tests and the extra ones, `base` the
    first alone. Raises ExperimentError for a verdict that is none."""
    log = mapping(read_json(path), path.name)
    metric = choose(file.metric or "plus", ["base", "plus"], "metric", path.name)
    found = mapping(log.get("eval"), f"{path.name}: eval")
    items = [item for task, answers in found.items() for item in _evalplus(task, answers, metric, path.name)]
    return Table(tool="evalplus", metric=metric, items=tuple(items), settings={"problems": str(log.get("hash"))})


def _evalplus(task: str, answers: object, metric: str, where: str) -> Iterator[Item]:
    for sample, answer in enumerate(listed(answers, f"{where}: {task}")):
        row = mapping(answer, f"{where}: {task}[{sample}]")
        verdicts = [row.get("base_status"), *([row.get("plus_status")] if metric == "plus" else [])]
        if not all(isinstance(each, str) for each in verdicts):
            raise ExperimentError(
                f"{where}: {task}[{sample}] has verdicts {verdicts} for the metric {metric!r}, expected texts",
                hint="name `metric: base` where the extra tests were not run",
            )
        yield Item(task, sample, float(all(each == _PASSED for each in verdicts)))


def read_human_eval(_file: ResultFile, path: Path, _run: Path | None) -> Table:
    """Rows of task_id and passed: openai/human-eval's `*_results.jsonl`, and refute's `results.jsonl`.

    A task that comes again has one sample more. A row whose outcome is an error has no score.
    """
    seen: Counter[str] = Counter()
    items = list[Item]()
    for where, row in read_rows(path):
        item = _verdict(where, row, seen)
        seen[item.item] += 1
        items.append(item)
    return Table(tool="human-eval", metric="passed", items=tuple(items))


def _verdict(where: str, row: dict[str, Any], seen: Counter[str]) -> Item:
    task, passed = row.get("task_id"), row.get("passed")
    if not isinstance(task, str) or not isinstance(passed, bool):
        raise ExperimentError(f"{where}: expected the text task_id and true or false under passed")
    outcome = row.get("outcome", "passed" if passed else "failed")
    if outcome == "error":
        return Item(task, seen[task], None, str(row.get("detail") or "no verdict")[:200])
    if passed is not (outcome == "passed"):
        raise ExperimentError(f"{where}: passed is {passed}, and the outcome is {outcome!r}")
    return Item(task, seen[task], float(passed))
