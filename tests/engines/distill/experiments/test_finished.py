"""A student that somebody else has trained: opened as it is, scored beside init and teacher, its record a claim."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from transformers import AutoModelForCausalLM

from refute.engines.distill.data.dataset import load_windows
from refute.engines.distill.experiments.finished import fetch_student, lint_student, open_model_files, score_finished
from refute.engines.distill.experiments.training_record import import_record
from refute.errors import ExperimentError, MissingInputsError
from refute.job import Job
from refute.spec.experiments.evidence_files import CLAIMED_RUN, CLAIMED_STEPS, LINTED, SCORED_WINDOWS
from staged_run import TOKEN, open_hub

HF = {"format": "hf", "path": "model"}


@pytest.fixture
def corpus(corpus_evidence: Path, tmp_path: Path) -> Path:
    """The evidence of a corpus whose twelve held-out windows come from three files."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for file in corpus_evidence.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    counts: dict[str, Any] = dict.fromkeys(
        ("ngram", "shared_windows", "train_windows_left_out", "seq_len", "end_of_document"), 0
    )
    manifest = {
        **counts,
        "files": [],
        "dropped": {"contaminated": [], "duplicates": [], "undecodable": []},
        "benchmark_selfcheck": {"problems": 1, "rejected": 1},
        "python_version": "3.11",
        "tokenizer_sha256": "a" * 64,
        **{f"{split}_tokens": 16 for split in ("train", "heldout")},
        **{f"{split}_sha256": "b" * 64 for split in ("train", "heldout")},
        "heldout_files": [f"{n % 3}.py" for n in range(12)],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_a_student_is_opened_byte_for_byte(make_job: Callable[..., Job], init_evidence: Path) -> None:
    """What is measured are the files that were named, and nothing was saved anew."""
    job = make_job("open", {"model": HF}, {"student": init_evidence})
    open_model_files(job)
    for file in (job.out / "model").iterdir():
        assert file.read_bytes() == (init_evidence / "model" / file.name).read_bytes()


def test_a_student_on_a_hub_is_fetched_whole(
    make_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of the commit, and nothing of the client's own, which would differ each time."""
    repo = "org/tiny"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with open_hub(tmp_path / "hub") as hub:
        files = f"{hub.api}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.api)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        api = huggingface_hub.HfApi()
        api.create_repo(repo)
        commit = str(api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id=repo).oid)
        job = make_job("fetch", {"model": {"format": "hub", "repo": repo, "commit": commit}})
        fetch_student(job)
    assert sorted(path.name for path in (job.out / "model").iterdir()) == [".gitattributes", "config.json"]


def test_a_folder_that_is_no_model_is_refused(make_job: Callable[..., Job], tmp_path: Path) -> None:
    """It is named before anything is measured."""
    (tmp_path / "model").mkdir()
    with pytest.raises(MissingInputsError, match="cannot be loaded as a model"):
        open_model_files(make_job("open", {"model": HF}, {"student": tmp_path}))


def test_rules_are_applied_to_the_files_that_were_named(make_job: Callable[..., Job], init_evidence: Path) -> None:
    """A folder without a card is found out."""
    job = make_job("lint", {"format": "hf"}, {"student": init_evidence})
    lint_student(job)
    assert "card/missing" in {row.rule for row in LINTED.read(job.out, "student_lint")}


def score(make_job: Callable[..., Job], inputs: Mapping[str, Path], **changes: Any) -> Job:
    """A job that has scored a student."""
    job = make_job("score", {"windows": 6, "teacher": None, "init": False, "threads": 1} | changes, inputs)
    score_finished(job)
    return job


def test_scores_are_those_of_a_plain_forward(
    make_job: Callable[..., Job], init_evidence: Path, teacher_folder: Path, corpus: Path
) -> None:
    """Cross-entropy, KL and agreement of each window equal what torch gives for the same files."""
    inputs = {"student_opened": init_evidence, "corpus": corpus, "init": init_evidence}
    teacher = {"model": HF, "path": str(teacher_folder)}
    job = score(make_job, inputs, teacher=teacher, init=True)
    rows = SCORED_WINDOWS.read(job.out, "student_heldout")
    own, theirs = (AutoModelForCausalLM.from_pretrained(each) for each in (init_evidence / "model", teacher_folder))
    windows = load_windows(corpus / "heldout.safetensors", vocab_size=300)
    for row, window in zip(rows, windows, strict=False):
        with torch.no_grad():
            a, b = (torch.log_softmax(model(window[None, :-1]).logits[0].double(), -1) for model in (own, theirs))
        assert row.ce == pytest.approx(-a[range(15), window[1:]].mean().item(), rel=1e-5)
        assert row.ce_init == row.ce
        assert row.ce_teacher == pytest.approx(-b[range(15), window[1:]].mean().item(), rel=1e-5)
        assert row.kl == pytest.approx((b.exp() * (b - a)).sum(-1).mean().item(), rel=1e-4)
        assert row.agreement == pytest.approx(100 * (a.argmax(-1) == b.argmax(-1)).double().mean().item())


def test_a_student_alone_is_scored_alone(make_job: Callable[..., Job], init_evidence: Path, corpus: Path) -> None:
    """What is not named is not there, and is no zero."""
    job = score(make_job, {"student_opened": init_evidence, "corpus": corpus})
    row = SCORED_WINDOWS.read(job.out, "student_heldout")[0]
    assert (row.ce_init, row.ce_teacher, row.kl, row.agreement) == (None, None, None, None)


def test_too_short_a_corpus_is_refused(make_job: Callable[..., Job], init_evidence: Path, corpus: Path) -> None:
    """Windows that are not there are not made up."""
    with pytest.raises(ExperimentError, match=r"has 12 held-out windows, student\.eval_windows asks for 13"):
        score(make_job, {"student_opened": init_evidence, "corpus": corpus}, windows=13)


STATE = {
    "global_step": 40,
    "max_steps": 40,
    "log_history": [
        {"epoch": 0.5, "grad_norm": 1.0, "learning_rate": 1e-4, "loss": 3.5, "num_tokens": 640, "step": 10},
        {"epoch": 0.5, "eval_loss": 3.0, "step": 10},
        {"epoch": 1.0, "grad_norm": 1.0, "learning_rate": 5e-5, "loss": 2.5, "num_tokens": 1280, "step": 40},
        {"epoch": 1.0, "train_loss": 3.0, "train_runtime": 5.0, "step": 40},
    ],
}


def record(make_job: Callable[..., Job], path: Path, content: str, form: str = "trainer_state") -> Job:
    """A job that has taken in a record."""
    path.write_text(content, encoding="utf-8")
    job = make_job("record", {"format": form, "path": str(path)})
    import_record(job)
    return job


def test_a_trainers_state_is_a_claim(make_job: Callable[..., Job], tmp_path: Path) -> None:
    """Steps with a loss are taken in; evaluations and the summary at the end are none."""
    job = record(make_job, tmp_path / "trainer_state.json", json.dumps(STATE))
    run, steps = CLAIMED_RUN.read(job.out, "record"), CLAIMED_STEPS.read(job.out, "record")
    assert (run.origin, run.steps, run.planned_steps, run.logged) == ("claimed", 40, 40, 2)
    assert [(row.step, row.loss, row.learning_rate, row.tokens) for row in steps] == [
        (10, 3.5, 1e-4, 640),
        (40, 2.5, 5e-5, 1280),
    ]


def test_json_lines_are_a_claim(make_job: Callable[..., Job], tmp_path: Path) -> None:
    """Such as `refute distill` and most loops by hand write."""
    lines = '{"step": 1, "total": 2.0, "lr": 0.1}\n\n{"step": 2, "loss": 1.5}\n'
    job = record(make_job, tmp_path / "log.jsonl", lines, "jsonl")
    run = CLAIMED_RUN.read(job.out, "record")
    assert (run.steps, run.planned_steps) == (2, None)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"global_step": 20}, "logs step 40, and says that the run ended at 20"),
        ({"log_history": []}, "logs no step with a loss"),
        ({"log_history": [{"step": 1, "loss": math.nan}]}, "loss is nan, expected a finite number"),
        ({"log_history": [{"step": 1, "loss": "low"}]}, "loss is 'low', expected a finite number"),
        ({"log_history": [{"loss": 1.0}]}, "step is None"),
        ({"log_history": [{"step": 4, "loss": 1.0}, {"step": 4, "loss": 1.0}]}, "is step 4, after step 4"),
        ({"log_history": [3]}, "expected an object"),
        ({"log_history": None}, "is no trainer_state"),
    ],
)
def test_records_that_are_none_are_refused(
    make_job: Callable[..., Job], tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    """By name and place, and nothing is left out of them."""
    with pytest.raises(ExperimentError, match=message):
        record(make_job, tmp_path / "trainer_state.json", json.dumps(STATE | changed))
