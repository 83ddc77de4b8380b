"""Experiment: how much likelier reference solutions are to models under the benchmark's own names than under others.

Who has read a text finds it likelier than a paraphrase of it; a membership test by neighbours (Mattern et al. 2023,
arXiv 2305.18462), with neighbours that are the same program. Good names are likelier to any model that can program, so
a student is compared with its teacher and its init.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch.nn import functional

from refute.engines.humaneval.audit.answers import model_folder, only_last, stored_model
from refute.engines.humaneval.audit.problem_file import Task, read_tasks
from refute.engines.humaneval.audit.renaming import renamed
from refute.engines.humaneval.experiments.evaluate import write_rows
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.evidence.humaneval import Asked, Familiarity
from refute.spec.experiments.evidence_files import FAMILIARITY, FAMILIARITY_TAUGHT
from refute.spec.experiments.humaneval import TAUGHT, MemorisationConfig
from refute.spec.experiments.parsing import parse_config

# The student that is known to have read solutions: by AdamW at this rate, until they surprise it so many times less
# than they did. The embedded release's takes four lessons, and excels its teacher by 1.5 nat.
_RATE, _LESS, _LESSONS_AT_MOST = 1e-3, 3.0, 16


@dataclass(frozen=True, slots=True)
class _Text:
    """Token ids of a program, and how many of them are its head."""

    ids: tuple[int, ...]
    given: int


@dataclass(frozen=True, slots=True)
class _Pair:
    """A task's solution under its own names and under others."""

    task_id: str
    original: _Text
    renamed: _Text


def measure_memorisation(job: Job) -> None:
    """Writes familiarity.jsonl, a row per model and drawn task: nat per token of its solution under both sets of names.

    Beside it taught.jsonl: rows of the student after it was taught some of these solutions. Tasks are drawn when the
    student is there. Raises ExperimentError where too few solutions can be renamed.
    """
    config = parse_config(MemorisationConfig, job)
    torch.set_num_threads(config.threads)
    folders: dict[Asked, Path] = {name: model_folder(choice, job.inputs) for name, choice in config.models().items()}
    pairs = _drawn(config, folders)
    rows, total = list[Familiarity](), len(folders) * len(pairs)
    model: Any = None
    for name, folder in folders.items():
        model = stored_model(folder).to(config.device)
        for row in _scored(model, name, pairs):
            rows.append(row)
            job.progress("ask for solutions", len(rows), total)
    write_rows(job.out / FAMILIARITY.name, rows)
    taught = pairs[:TAUGHT]
    _teach(model, taught)
    write_rows(job.out / FAMILIARITY_TAUGHT.name, list(_scored(model, "student", taught)))


def _drawn(config: MemorisationConfig, folders: Mapping[Asked, Path]) -> Sequence[_Pair]:
    """As many tasks as are wanted, of those whose program is short enough, by entropy that nobody had before."""
    tokenizer = Tokenizer.from_file(str(folders["student"] / "tokenizer.json"))
    tokenizer.no_truncation()
    tasks = read_tasks(Path(config.problems_path))
    both = ((task, renamed(task)) for task in tasks.values())
    pairs = [_Pair(task.task_id, _text(tokenizer, task), _text(tokenizer, other)) for task, other in both if other]
    short = [pair for pair in pairs if len(pair.original.ids) <= config.tokens_at_most]
    if len(short) < TAUGHT:
        raise ExperimentError(
            f"{config.problems_path}: of {len(tasks)} solutions {len(short)} have variables and at most "
            f"{config.tokens_at_most} tokens, expected {TAUGHT} or more",
            hint="a test of memorisation needs a benchmark with reference solutions in Python",
        )
    return secrets.SystemRandom().sample(short, min(config.tasks_at_most, len(short)))


def _text(tokenizer: Tokenizer, task: Task) -> _Text:
    found = tokenizer.encode(task.head + task.solution, add_special_tokens=True)
    return _Text(tuple(found.ids), max(1, sum(end <= len(task.head) for _, end in found.offsets)))


def _scored(model: Any, name: Asked, pairs: Sequence[_Pair]) -> Iterator[Familiarity]:
    with torch.inference_mode():
        for pair in pairs:
            original, other = (float(_loss(model, text)) for text in (pair.original, pair.renamed))
            yield Familiarity(model=name, task_id=pair.task_id, original=original, renamed=other)


def _loss(model: Any, text: _Text) -> torch.Tensor:
    """Mean nat per token of the solution, after its head."""
    ids = torch.tensor([text.ids], device=model.device)
    told = len(text.ids) - text.given
    logits = model(input_ids=ids, use_cache=False, **only_last(model, told + 1)).logits[0, -told - 1 : -1].float()
    return functional.cross_entropy(logits, ids[0, -told:])


def _teach(model: Any, pairs: Sequence[_Pair]) -> None:
    """Trains the model on the original solutions of `pairs`, in place."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.0)
    losses = list[float]()
    while len(losses) < _LESSONS_AT_MOST and not (losses and losses[-1] <= losses[0] / _LESS):
        losses.append(0.0)
        for pair in pairs:
            loss = _loss(model, pair.original) / len(pairs)
            torch.autograd.backward(loss)
            losses[-1] += float(loss.detach())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
