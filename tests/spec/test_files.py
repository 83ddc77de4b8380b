"""Release files: text, digest, faults with lines, and where named files lie."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from refute.errors import SpecError, UsageError
from refute.outcome import RunClass
from refute.spec.files import load_release, parse_release, refuse_outputs_inside, resolve

ROOT = Path(__file__).parents[2]
GOOD = """\
release: demo
title: A demonstration
run_class: quick
evidence:
  run: evidence/run.json
"""


def write(folder: Path, text: str) -> Path:
    """A release file with `text` in `folder`."""
    path = folder / "release.yaml"
    path.write_bytes(text.encode("utf-8"))
    return path


def test_release_is_loaded_with_text_and_digest(tmp_path: Path) -> None:
    """The digest is that of the file's bytes, and the text parses to the same release."""
    path = write(tmp_path, GOOD.replace("\n", "\r\n"))
    loaded = load_release(path)
    assert (loaded.release.release, loaded.release.run_class) == ("demo", RunClass.QUICK)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert parse_release(loaded.text, "signed") == loaded.release


def test_all_faults_of_a_release_are_reported_with_lines(tmp_path: Path) -> None:
    """Unknown keys, wrong words and missing keys come together, each at its line."""
    path = write(tmp_path, "release: Demo\nrun_class: quik\nevidnce: {}\n")
    with pytest.raises(SpecError, match="did you mean `evidence`") as caught:
        load_release(path)
    found = [(problem.line, problem.key) for problem in caught.value.problems]
    assert found == [(1, "release"), (1, "title"), (2, "run_class"), (3, "evidnce")]


def test_fault_in_a_tagged_part_has_the_key_of_the_file(tmp_path: Path) -> None:
    """Keys are as in the file, without the tag that chose a variant, and that variant's keys are suggested."""
    text = GOOD + "distillation:\n  teacher:\n    format: hf\n    pth: x\n  init: {method: depth_prune}\n"
    with pytest.raises(SpecError, match=r"distillation\.teacher\.pth: unknown key `pth`; did you mean `path`"):
        load_release(write(tmp_path, text))
    with pytest.raises(SpecError, match=r"unknown key `sourc`; known: `format`, `path`$"):
        load_release(write(tmp_path, text.replace("pth", "sourc").split("  init")[0]))
    with pytest.raises(SpecError, match=r":10: distillation\.init\.keep_layers: this required key is missing"):
        load_release(write(tmp_path, text))


@pytest.mark.parametrize(
    ("processes", "batch_size", "good"), [(2, 1, False), (2, 3, False), (2, 4, True), (1, 3, True)]
)
def test_a_batch_that_the_processes_cannot_share_is_refused(
    tmp_path: Path, processes: int, batch_size: int, *, good: bool
) -> None:
    """When the file is read, and not by a rank after the teacher was fetched."""
    text = (ROOT / "specs" / "releases" / "quick.yaml").read_text(encoding="utf-8")
    text = text.replace("    batch_size: 2\n", f"    batch_size: {batch_size}\n")
    path = write(tmp_path, text.replace("  threads: 2\n", f"  threads: 1\n  processes: {processes}\n"))
    if good:
        assert load_release(path).release.distillation is not None
    else:
        with pytest.raises(SpecError, match=rf"batch_size is {batch_size}, expected a multiple of 2: micro_batch_size"):
            load_release(path)


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("divergence: jensen_shannon\n    beta: 0.5", None),
        ("divergence: reverse_kl", None),
        ("divergence: jensen_shannon", "jensen_shannon needs a `beta` above 0 and below 1, found None"),
        ("divergence: jensen_shannon\n    beta: 1.0", "found 1.0: 0.5 weighs both sides alike"),
        ("divergence: jensen_shannon\n    beta: .nan", "beta"),
        ("beta: 0.5", "`beta` is of jensen_shannon alone, found 0.5 with forward_kl"),
        ("divergence: kl", "divergence"),
    ],
)
def test_a_divergence_has_the_beta_that_it_needs(tmp_path: Path, lines: str, fault: str | None) -> None:
    """And no other has one; nobody is moved to another divergence at its ends."""
    text = (ROOT / "specs" / "releases" / "quick.yaml").read_text(encoding="utf-8")
    path = write(tmp_path, text.replace("    temperature: 2.0\n", f"    temperature: 2.0\n    {lines}\n", 1))
    if fault is None:
        assert load_release(path).release.distillation is not None
    else:
        with pytest.raises(SpecError, match=fault):
            load_release(path)


def test_a_system_prompt_needs_a_chat_and_words(tmp_path: Path) -> None:
    """A bare prompt has no place for it, and a blank one says nothing."""
    text = (ROOT / "specs" / "releases" / "quick.yaml").read_text(encoding="utf-8")
    own = text.replace("    prompt: chat_primed\n", "    prompt: chat_primed\n    system_prompt: Write Python.\n")
    loaded = load_release(write(tmp_path, own)).release.distillation
    assert loaded is not None
    assert loaded.humaneval.system_prompt == "Write Python."
    for wrong, message in (("prompt: completion", "needs `prompt: chat_primed`"), ("system_prompt: ' '", "pattern")):
        key = wrong.partition(":")[0]
        faulty = "\n".join(f"    {wrong}" if line.strip().startswith(f"{key}:") else line for line in own.split("\n"))
        with pytest.raises(SpecError, match=message):
            load_release(write(tmp_path, faulty))


def test_release_with_nothing_to_judge_is_refused(tmp_path: Path) -> None:
    """A release without evidence and distillation would be judged on nothing."""
    with pytest.raises(SpecError, match="nothing to judge"):
        load_release(write(tmp_path, "release: a\ntitle: t\nrun_class: quick\n"))


def test_paths_are_resolved_beside_the_release_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory does not matter; absolute paths stay and `~` is the home folder."""
    loaded = load_release(write(tmp_path, GOOD))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert resolve(loaded, "evidence/run.json") == tmp_path / "evidence" / "run.json"
    assert resolve(loaded, str(tmp_path / "x")) == tmp_path / "x"
    assert resolve(loaded, "~/models") == tmp_path / "home" / "models"


def test_outputs_inside_what_is_judged_are_refused(tmp_path: Path) -> None:
    """A run folder in the model's own folder, also through a link, would change its digest; beside it all is well."""
    (tmp_path / "model" / "sub").mkdir(parents=True)
    (tmp_path / "elsewhere").symlink_to("model")
    loaded = load_release(write(tmp_path, GOOD.replace("evidence/run.json", "model")))
    for inside in ("model", "model/.refute", "model/sub/x/y", "elsewhere/.refute"):
        with pytest.raises(UsageError, match=r"lies in evidence\.run, model") as caught:
            refuse_outputs_inside(loaded, tmp_path / inside)
        assert "--refute-dir" in caught.value.hint
    for beside in (".refute", "models/.refute", "model.refute"):
        refuse_outputs_inside(loaded, tmp_path / beside)


def test_outputs_inside_a_model_of_the_distillation_are_refused() -> None:
    """The shipped production release names its models by folder."""
    path = Path(__file__).parents[2] / "specs" / "releases" / "qwen-coder-0.5b.yaml"
    loaded = load_release(path)
    for folder, name in (("../../models/Qwen2.5-Coder-0.5B-Instruct", "init"), ("../../data/code", "corpus")):
        with pytest.raises(UsageError, match=rf"lies in distillation\.{name}, "):
            refuse_outputs_inside(loaded, resolve(loaded, folder) / ".refute")
    refuse_outputs_inside(loaded, resolve(loaded, "../../models"))
