"""A small place that has something for every command: the scaffolded example with a verdict, a model, keys, answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

from refute.engines.dogfood.called import Build
from refute.engines.dogfood.faulty_models import edit_json, make_faulty_files, make_faulty_folders
from refute.errors import ExperimentError

_TEMPLATE: Final = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
_CARD: Final = """---
license: apache-2.0
base_model: example/small
datasets: [example/functions]
language: [en]
library_name: transformers
pipeline_tag: text-generation
---
# Small

Knows four functions of one line each.
"""
# Each call is made in a copy of the place.
_DOCUMENTS: Final = 24
_SHARE: Final = """spec: SPEC-SMALL-001
version: 1
title: A bar on a share
criteria:
  - id: AC-SMALL-001
    title: It solves half
    statement: At least half of the problems are solved.
    severity: block
    phase: 1
    falsifiers:
      - id: F-SMALL-001
        uses: benchmark-share
        with: { benchmark: small }
        thresholds:
          share: { holds_if: ">= 50 %" }
"""
_TRAINING: Final = """training:
  steps: 2
  batch_size: 2
  micro_batch_size: 1
  seq_len: 16
  learning_rate: 3.0e-4
  min_learning_rate: 1.0e-5
  ce_weight: 0.3
  kd_weight: 0.7
  temperature: 2.0
  eval_every: 1
  eval_windows: 2
  checkpoint_every: 2
teacher:
  model: {format: hf, path: teacher}
  path: model
init: half/model
corpus: shards
threads: 1
"""
# The example's release once more, as one that is about refute: `refute dogfood` takes no other.
_ITSELF: Final = """release: itself
title: Answers of an adding machine
run_class: quick
operator: me
subject: answers
specs: [specs/example.yaml]
evidence:
  answers: evidence/answers.jsonl
dogfood: cpu
"""
_REFUSED: Final = (
    _ITSELF.replace("itself", "worse", 1).replace("evidence/answers", "worse").replace("dogfood: cpu\n", "")
)
_TEXTS: Final = {
    "distill.yaml": _TRAINING,
    "long.yaml": _TRAINING.replace("steps: 2", "steps: 100000", 1),
    "share.yaml": _SHARE,
    "itself.yaml": _ITSELF,
    "worse.yaml": _REFUSED,
    "pytest.ini": "[pytest]\n",
}


def make_place(world: Path, folder: Path, scratch: Path) -> Build:
    """Makes the place at the new `folder` out of a small `world`, by calls of refute; returns what calls it.

    Raises ExperimentError naming the first call that failed.
    """
    folder.mkdir(parents=True)
    _lay_out_model(world / "teacher", folder / "model")
    (folder / "corpus").mkdir()
    for path in sorted((world / "corpus").iterdir())[:_DOCUMENTS]:
        shutil.copyfile(path, folder / "corpus" / path.name)
    shutil.copyfile(world / "problems.jsonl", folder / "problems.jsonl")
    make_faulty_folders(folder)
    _answer(folder)
    for name, text in _TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    build = Build(folder, scratch)
    for words in (
        ("init", "."),
        ("keygen", "gate", "--directory", "keys"),
        ("keygen", "ann", "--directory", "keys"),
        ("model", "export", "model", "--to", "model.gguf", "--type", "F32"),
        ("distill", "tokenize", "corpus", "--tokenizer", "model", "--heldout-share", "0.5", "--out", "shards"),
        (
            *("distill", "init", "model", "--corpus", "shards", "--layers", "2", "--out", "half"),
            *("--seq-len", "16", "--windows", "2", "--threads", "1"),
        ),
        ("gate", "--signing-key", "keys/gate.key"),
        ("store", "export", "run", "--to", "packed.tar"),
        ("lock", "make", "--key", "keys/gate.key", "--out", "signed-lock.json"),
    ):
        _make(build, words)
        if words[0] == "init":
            _make_worse(folder)
        if words[0] == "gate":
            _name_run(folder)
    make_faulty_files(folder)
    return build


def _make(build: Build, words: tuple[str, ...]) -> None:
    ended = build.in_place(*words)
    if ended.status != 0:
        said = (ended.err or ended.out).strip()[-500:]
        raise ExperimentError(f"refute {' '.join(words)} ended in {ended.status}, expected 0: {said}")


def _make_worse(folder: Path) -> None:
    """The example's answers once more, every other one wrong: what is judged by them is NO-GO."""
    answers = (folder / "evidence/answers.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in answers]
    worse = [{**row, "answer": row["expected"] + number % 2} for number, row in enumerate(rows)]
    (folder / "worse.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in worse), encoding="utf-8")


def _name_run(folder: Path) -> None:
    run = next(path for path in sorted((folder / ".refute" / "runs").iterdir()) if (path / "run.json").is_file())
    (folder / "run").symlink_to(run.relative_to(folder))
    shutil.copyfile(run / "verdict.intoto.json", folder / "verdict.json")


def _lay_out_model(source: Path, folder: Path) -> None:
    """The model as a careful publisher lays it out: nothing is wrong with it."""
    folder.mkdir()
    for path in source.iterdir():
        shutil.copyfile(path, folder / path.name)  # and not its mode: evidence cannot be written
    edit_json(folder / "config.json", rope_theta=10000.0, rope_scaling=None, torch_dtype="float32")
    generation = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    generation.pop("_from_model_config", None)
    (folder / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    edit_json(
        folder / "tokenizer_config.json",
        tokenizer_class="PreTrainedTokenizerFast",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=128,
        chat_template=_TEMPLATE,
    )
    (folder / "chat_template.jinja").write_text(_TEMPLATE, encoding="utf-8")
    (folder / "README.md").write_text(_CARD, encoding="utf-8")


def _answer(folder: Path) -> None:
    """Right answers to all problems, their verdicts, and verdicts with a number that is none."""
    problems = [json.loads(line) for line in (folder / "problems.jsonl").read_text(encoding="utf-8").splitlines()]
    names = [each["task_id"] for each in problems]
    rows = {
        "samples": [{"task_id": p["task_id"], "completion": p["canonical_solution"]} for p in problems],
        "results": [{"task_id": name, "passed": True} for name in names],
        "other-results": [{"task_id": name, "passed": number % 3 > 0} for number, name in enumerate(names)],
        "nan-results": [{"task_id": name, "passed": float("nan")} for name in names],
    }
    for name, each in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in each), encoding="utf-8")
