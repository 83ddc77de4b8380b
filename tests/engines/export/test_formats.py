"""Every exported file answers for itself, and some of its answers are asked for again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from builtin_uses import REGISTRY
from exported_student import Desk
from refute.disk import file_sha256
from refute.engines.export.experiments.ask_again import ask_again
from refute.engines.humaneval.experiments.formats import ask_formats
from refute.falsifier.context import Context, Evidence
from refute.spec.experiments.evidence.humaneval import FormatAnswer
from refute.spec.experiments.evidence_files import EXPORTED, FORMAT_ANSWERS, FORMAT_SCORES

# Short ones: there is room for 64 tokens.
PROBLEMS = [
    {
        "task_id": f"own/{n}",
        "prompt": f"def f{n}(a):\n",
        "entry_point": f"f{n}",
        "canonical_solution": "    return a\n",
        "test": "def check(candidate):\n    assert candidate(1) == 1\n",
    }
    for n in range(3)
]
BACKEND = {"kind": "llama.cpp", "version": "b1", "path": None, "sha256": None, "slots": 1}


@pytest.fixture
def asked(desk: Desk) -> Desk:
    """Three files that have answered two problems each, and are staged."""
    file = desk.root.parent / "problems.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in PROBLEMS), encoding="utf-8")
    how = {
        "problems": {"path": str(file), "sha256": file_sha256(file)},
        "prompt": "completion",
        "max_new_tokens": 6,
        "batch_size": 1,
    }
    config = {"humaneval": how, "problems_path": str(file), "backend": BACKEND, "problems_at_most": 2}
    model = {"kind": "evidence", "name": "student"}
    desk.run(ask_formats, "humaneval_formats", model=model, threads=1, **config)
    (desk.root / "staged/release").mkdir(parents=True)
    for file in (desk.root / EXPORTED / "gguf").iterdir():
        (desk.root / "staged/release" / file.name).hardlink_to(file)
    return desk


def answers_of(desk: Desk) -> tuple[FormatAnswer, ...]:
    """What all files answered."""
    return FORMAT_ANSWERS.read(desk.root / "humaneval_formats", "humaneval_formats")


@pytest.mark.slow  # six times a file in llama.cpp
def test_each_file_answers_and_says_it_again(asked: Desk) -> None:
    """Under its digest, the same problems in the same words; of another file's answers one is found out."""
    scores = FORMAT_SCORES.read(asked.root / "humaneval_formats", "humaneval_formats")
    rows = answers_of(asked)
    assert [(each.label, each.problems) for each in scores.files] == [("F16", 2), ("Q8_0", 2), ("Q4_0", 2)]
    gguf = asked.root / EXPORTED / "gguf"
    assert {each.sha256 for each in scores.files} == {file_sha256(path) for path in gguf.iterdir()}
    assert len({(row.task_id, row.prompt_ids, row.max_new_tokens) for row in rows}) == 2
    assert all(row.prompt_ids for row in rows)
    assert falsified(asked, "first") == {"unrepeated": 0, "wrong_files": 0, "wrong_scores": 0, "unlike": 0}
    path = asked.root / "humaneval_formats" / FORMAT_ANSWERS.name
    copied = [{**row.as_json(), "completion": rows[0].completion + "x"} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in copied), encoding="utf-8")
    assert falsified(asked, "again") == {"unrepeated": 6, "wrong_files": 0, "wrong_scores": 0, "unlike": 0}


def falsified(desk: Desk, name: str) -> Mapping[str, float]:
    """What the falsifier counts, once answers were asked for again; the folder is taken to have answered alike."""
    out = desk.run(ask_again, f"formats_again_{name}", threads=1)
    rows = {row.task_id: row for row in answers_of(desk)}
    calls = [{name: row.as_json()[name] for name in FormatAnswer.model_fields} for row in rows.values()]
    staged = [{"path": path.name, "sha256": file_sha256(path)} for path in (desk.root / "staged/release").iterdir()]
    kl = {label: {"kl": [0.0]} for label in ("Q8_0", "Q4_0")}
    written: dict[str, dict[str, Any]] = {
        "humaneval_student": {"results.jsonl": calls, "model_calls.jsonl": calls},
        "staged": {"manifest.jsonl": staged},
        "converted": {"conversion.json": {"label": "F16", "divergence": {"kl": [0.0]}, "formats": kl}},
    }
    found = {need: _evidence(desk.root / need, need, files) for need, files in written.items()}
    found["formats_again"] = _evidence(out, "formats_again", {})
    found["humaneval_formats"] = _evidence(desk.root / "humaneval_formats", "humaneval_formats", {})
    measured = REGISTRY["publication-formats"].measure(Context({}, found))
    return {each.name: each.value for each in measured if each.unit in ("files", "answers")}


def _evidence(folder: Path, name: str, files: Mapping[str, Any]) -> Evidence:
    folder.mkdir(exist_ok=True)
    for file, content in files.items():
        rows = content if isinstance(content, list) else [content]
        (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    digests = {path.name: file_sha256(path) for path in folder.iterdir() if path.is_file()}
    return Evidence(name, "d" * 64, folder, digests)
