"""A finished model and the results of other tools: from files to a signed verdict without a line by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Cli

pytestmark = pytest.mark.exhaustive

_ITEMS = 400
# Of each benchmark the baseline solves two items of three; the new model also every twentieth, a damaged one of those
# that the baseline solves only half.
_SOLVES: dict[str, Callable[[int], bool]] = {
    "old": lambda n: n % 3 > 0,
    "good": lambda n: n % 3 > 0 or n % 20 == 0,
    "damaged": lambda n: n % 3 == 1,
}


def _results(folder: Path, solves: Callable[[int], bool]) -> list[Path]:
    """What openai/human-eval, lm-eval and a loop by hand leave of three benchmarks."""
    folder.mkdir()
    right = [solves(n) for n in range(_ITEMS)]
    said: dict[str, Any] = {"doc": {}, "resps": [], "filter": "none", "metrics": ["acc"]}
    rows: dict[str, list[dict[str, Any]]] = {
        "humaneval_results.jsonl": [{"task_id": f"HumanEval/{n}", "passed": right[n]} for n in range(164)],
        "samples_gsm8k_2026-01-01T00-00-00.0.jsonl": [
            said | {"doc_id": n, "acc": float(each)} for n, each in enumerate(right)
        ],
        "support.jsonl": [{"item": f"ticket {n}", "score": float(each)} for n, each in enumerate(right)],
    }
    for name, found in rows.items():
        (folder / name).write_text("".join(f"{json.dumps(row)}\n" for row in found), encoding="utf-8")
    return [folder / name for name in rows]


@pytest.mark.parametrize(
    ("model", "deleted", "status", "outcomes"),
    [
        ("good", False, 0, {"corroborated"}),
        ("damaged", False, 1, {"corroborated", "falsified"}),
        ("damaged", True, 1, {"error"}),
    ],
)
def test_three_result_files_decide_about_a_model(
    tmp_path: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    deleted: bool,
    status: int,
    outcomes: set[str],
) -> None:
    """`init`, `gate`: GO for one that is as good as its baseline, NO-GO for its damaged twin, and for that one with the
    items deleted on which it failed."""
    for variable in [name for name in os.environ if name.startswith("PYTEST_")]:
        monkeypatch.delenv(variable)
    new, old = (_results(tmp_path / name, _SOLVES[name]) for name in (model, "old"))
    if deleted:
        kept = [line for line in new[2].read_text("utf-8").splitlines(keepends=True) if '"score": 1.0' in line]
        new[2].write_text("".join(kept), encoding="utf-8")
    named = [
        word for option, files in (("--results", new), ("--baseline", old)) for file in files for word in (option, file)
    ]
    assert cli("init", tmp_path / "gate", *named).returncode == 0
    monkeypatch.chdir(tmp_path / "gate")
    assert cli("gate").returncode == status
    report = json.loads((tmp_path / "gate/.refute/runs/latest/report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == ("NO-GO" if status else "GO")
    assert outcomes <= {each["outcome"] for each in report["criteria"]}
