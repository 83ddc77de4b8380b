"""The built-in falsifiers, their uses in the shipped specs, and evidence such as engines write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from json_lines import write_rows
from refute.falsifier.context import Evidence
from refute.falsifier.loading import load_registry
from refute.spec.criteria import load_spec, uses_of

SPECS = [load_spec(path).spec for path in sorted((Path(__file__).parents[2] / "specs").glob("*.yaml"))]
# Bars that two specs share are tried once.
USES = list(
    {
        use.model_dump_json(include={"uses", "thresholds", "parameters"}): use
        for use in reversed(uses_of(SPECS))
        if use.uses is not None
    }.values()
)[::-1]
REGISTRY = load_registry([])
# How openai/human-eval's problems are named, and how the engine writes what came of them.
TASKS = [f"HumanEval/{number}" for number in range(164)]


def results(passed: Iterable[int], other: str = "failed") -> list[dict[str, object]]:
    """Rows of results.jsonl as the engine writes them."""
    solved = set(passed)
    return [
        {"task_id": task, "passed": n in solved, "outcome": "passed" if n in solved else other, "detail": ""}
        for n, task in enumerate(TASKS)
    ]


def evidence(folder: Path, name: str, files: Mapping[str, Any]) -> Evidence:
    """Evidence with these files: rows, mappings, arrays."""
    digests: dict[str, str] = {}
    (folder / name).mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        path = folder / name / file
        if file.endswith(".safetensors"):
            save_file(content, path)
        elif file.endswith(".jsonl"):
            write_rows(path, content)
        else:
            path.write_text(json.dumps(content), encoding="utf-8")
        digests[file] = hashlib.sha256(path.read_bytes()).hexdigest()
    return Evidence(name, "d" * 64, folder / name, digests)
