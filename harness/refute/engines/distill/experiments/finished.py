"""Experiments on a student that somebody else has trained: its files opened, linted, and scored on held-out text."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from refute.engines.distill.data.dataset import load_windows
from refute.engines.distill.logs import write_rows
from refute.engines.distill.teacher.loaded import load_teacher
from refute.engines.distill.training.step import head_weight
from refute.engines.model.folder import copy_model, load_model, save_whole
from refute.engines.model.tools.lint.lint import lint_model
from refute.engines.model.tools.pull import pull_model
from refute.errors import ExperimentError, NonFiniteError
from refute.job import Job
from refute.spec.experiments.evidence.finished import LintFinding, ScoredWindow
from refute.spec.experiments.evidence_files import (
    CORPUS,
    HELDOUT_WINDOWS,
    INIT,
    LINTED,
    MODEL,
    SCORED_WINDOWS,
    STUDENT,
    STUDENT_OPENED,
)
from refute.spec.experiments.finished import FetchConfig, HeldoutConfig, LintConfig, OpenConfig
from refute.spec.experiments.parsing import parse_config
from refute.spec.release import HfModel


class _Scores(NamedTuple):
    """Means over the predicted tokens of a window: nat per token, and percent."""

    ce: float
    kl: float | None = None
    agreement: float | None = None


def fetch_student(job: Job) -> None:
    """Write model/, the files of a hub's commit, each compared with the digest that the hub states.

    Raises UnreadableInputError and DigestMismatchError as `pull_model` does.
    """
    model = parse_config(FetchConfig, job).model
    job.progress("fetch", 0, 1)
    folder = pull_model(model.repo, model.commit, job.out / MODEL.name)
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # when the client fetched what
    job.progress("fetch", 1, 1)


def open_model_files(job: Job) -> None:
    """Write model/, a Hugging Face folder: the files as they are, or a GGUF file's dequantised to float32.

    Raises MissingInputsError or ExperimentError for files that are no whole model.
    """
    config = parse_config(OpenConfig, job)
    path = Path(config.path) if config.path is not None else _files(job, config.model.format)
    if isinstance(config.model, HfModel):
        copy_model(path, job.out / MODEL.name)
        load_model(job.out / MODEL.name, device="cpu")
        return
    loaded = load_teacher(config.model, path, device="cpu")
    save_whole(loaded.model, loaded.tokenizer, job.out / MODEL.name)


def lint_student(job: Job) -> None:
    """Write lint.jsonl: what the rules of `refute model lint` find in the files of input `student`."""
    config = parse_config(LintConfig, job)
    found = lint_model(_files(job, config.format))
    rows = [LintFinding(rule=each.rule, severity=each.severity, found=each.found) for each in found]
    write_rows(job.out / LINTED.name, [row.as_json() for row in rows])


def _files(job: Job, form: str) -> Path:
    """The folder of the student's files, or the one file that it is."""
    folder = job.inputs[STUDENT].path(MODEL.name)
    if form == "hf":
        return folder
    files = [path for path in folder.iterdir() if path.is_file()]
    if len(files) != 1:
        raise ExperimentError(
            f"the student is {len(files)} files, expected one GGUF file", hint="name the file in student.model.source"
        )
    return files[0]


def score_finished(job: Job) -> None:
    """Write windows.jsonl: student, init and teacher on the first held-out windows of input `corpus`.

    Raises ExperimentError for a corpus with fewer windows, or ids that one of the models does not know, and
    NonFiniteError where a model gives no number.
    """
    config = parse_config(HeldoutConfig, job)
    torch.set_num_threads(config.threads)
    corpus = job.inputs[CORPUS]
    student = load_model(job.inputs[STUDENT_OPENED].path(MODEL.name), device=config.device)
    windows = _windows(corpus.path(HELDOUT_WINDOWS.name), student, config.windows)
    teacher = None if config.teacher is None else load_model(Path(config.teacher.path), device=config.device)
    own = list(_scored(job, "score the student", student, windows, teacher))
    theirs = [None] * len(windows) if teacher is None else list(_scored(job, "score the teacher", teacher, windows))
    init = load_model(job.inputs[INIT].path(MODEL.name), device=config.device) if config.init else None
    before = [None] * len(windows) if init is None else list(_scored(job, "score the init", init, windows))
    rows = [
        ScoredWindow(
            window=number,
            ce=score.ce,
            ce_init=None if begun is None else begun.ce,
            ce_teacher=None if taught is None else taught.ce,
            kl=score.kl,
            agreement=score.agreement,
        )
        for number, (score, begun, taught) in enumerate(zip(own, before, theirs, strict=True))
    ]
    write_rows(job.out / SCORED_WINDOWS.name, [row.as_json() for row in rows])


def _windows(path: Path, student: PreTrainedModel, count: int) -> Tensor:
    found = load_windows(path, vocab_size=len(head_weight(student)))
    if len(found) < count:
        raise ExperimentError(
            f"the corpus has {len(found)} held-out windows, student.eval_windows asks for {count}",
            hint="raise student.corpus.heldout_tokens, or lower student.eval_windows",
        )
    return found[:count]


def _scored(
    job: Job, stage: str, model: PreTrainedModel, windows: Tensor, teacher: PreTrainedModel | None = None
) -> Iterator[_Scores]:
    for number, window in enumerate(windows):
        score = _score(model, window.to(model.device), teacher)
        if not all(torch.isfinite(torch.tensor(figure)) for figure in score if figure is not None):
            raise NonFiniteError(f"{stage}: held-out window {number} gives {score}, expected finite numbers")
        yield score
        job.progress(stage, number + 1, len(windows), loss=score.ce)


@torch.inference_mode()
def _score(model: PreTrainedModel, window: Tensor, teacher: PreTrainedModel | None) -> _Scores:
    rows = len(head_weight(model))
    if int(window.max()) >= rows:
        raise ExperimentError(
            f"the corpus holds id {int(window.max())}, and a model of {rows} rows does not know it",
            hint="compare models of one vocabulary, or leave `teacher` or `init` out",
        )
    logits, labels = model(input_ids=window[None, :-1], use_cache=False).logits[0].double(), window[1:]
    log_own = functional.log_softmax(logits, dim=-1)
    ce = functional.nll_loss(log_own, labels).item()
    if teacher is None:
        return _Scores(ce)
    theirs = teacher(input_ids=window[None, :-1], use_cache=False).logits[0, :, : logits.shape[-1]].double()
    # A teacher with fewer rows gives the student's others no probability.
    log_own = log_own[:, : theirs.shape[-1]]
    log_teacher = functional.log_softmax(theirs, dim=-1)
    # Some teachers pad their vocabulary with -inf: no probability there.
    apart = torch.where(log_teacher.isfinite(), log_teacher.exp() * (log_teacher - log_own), 0.0).sum(dim=-1)
    agreed = (log_own.argmax(dim=-1) == log_teacher.argmax(dim=-1)).double()
    return _Scores(ce, apart.mean().item(), 100 * agreed.mean().item())
