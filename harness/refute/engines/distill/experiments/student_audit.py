"""Experiment: the files that a run has left, scored again by numpy, straight from their tensors.

Nothing of the training loop, its packing or its evaluation is called, nor transformers. What the run says of itself is
compared with this by a falsifier; its steps are redone elsewhere, by `refute.auditors`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file

from refute.engines.distill.logs import write_json, write_rows
from refute.engines.model.forward.numpy_forward import Reference, open_weights
from refute.engines.model.forward.weights import EVERY_ROW, Array, Rows, Shape, Weights
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.custody import positions
from refute.spec.experiments.distill import StudentAuditConfig
from refute.spec.experiments.evidence.distill import TensorComparison, WindowAgain
from refute.spec.experiments.evidence_files import (
    CUSTODY,
    HELDOUT_SCORES_AGAIN,
    PERTURBED_SCORES,
    TENSORS,
    UNTRAINED_TENSORS,
)
from refute.spec.experiments.parsing import parse_config


def audit_student(job: Job) -> None:
    """Score the files of `init` and of the run again on eight held-out windows of input `corpus`, in float64.

    Writes heldout.jsonl {window, ce_initial, ce} in nat per token, and tensors.json {tensors, unchanged}. By the same
    means perturbed.jsonl, a window under the same files with one tensor scaled, and untrained.json, the init's tensors
    in the place of the run's: these must be seen to differ. Raises ExperimentError for models whose tensors do not
    correspond, UsageError for an architecture without such a forward.
    """
    config = parse_config(StudentAuditConfig, job)
    init, released = (job.inputs[name].path("model") for name in ("init", config.run))
    corpus = job.inputs["corpus"]
    manifest = json.loads(corpus.path("manifest.json").read_text(encoding="utf-8"))
    end = manifest["end_of_document"] if config.training.document_mask else None
    begin = manifest.get("beginning_of_sequence")
    windows = load_file(corpus.path("heldout.safetensors"))["tokens"]
    # Drawn once the run had begun; all of them are scored by the auditors' loop, which is quicker.
    entropy = CUSTODY.read(job.inputs[config.run].folder, config.run).entropy
    drawn = positions(entropy, "heldout", config.training.eval_windows)
    write_json(job.out / TENSORS.name, _compare_tensors(init, released).as_json())
    write_json(job.out / UNTRAINED_TENSORS.name, _compare_tensors(init, init).as_json())
    stored = [open_weights(folder) for folder in (init, released)]

    def score(models: Sequence[Reference], number: int) -> dict[str, object]:
        first, last = (_cross_entropy(model, windows[number], end, begin) for model in models)
        return WindowAgain(window=number, ce_initial=first, ce=last).as_json()

    right, wrong = ([Reference(each) for each in weights] for weights in (stored, map(_Perturbed, stored)))
    rows = []
    for done, number in enumerate(drawn):
        job.progress("score the files again", done, len(drawn))
        rows.append(score(right, number))
    write_rows(job.out / HELDOUT_SCORES_AGAIN.name, rows)
    write_rows(job.out / PERTURBED_SCORES.name, [score(wrong, drawn[0])])
    job.progress("score the files again", len(drawn), len(drawn))


@dataclass(frozen=True, slots=True)
class _Perturbed:
    """Weights with the last norm four times what it is: all logits are, which no language model bears."""

    weights: Weights

    @property
    def shape(self) -> Shape:
        return self.weights.shape

    def has(self, name: str) -> bool:
        return self.weights.has(name)

    def get(self, name: str, rows: Rows = EVERY_ROW) -> Array:
        found = self.weights.get(name, rows)
        return 4.0 * found if name == "output_norm.weight" else found


def _texts(window: NDArray[np.int32], end: int | None, begin: int | None) -> Iterator[NDArray[np.int32]]:
    """The texts of a window that see only themselves: its documents, each with the id that closes it, or the whole.

    Each begins with `begin`, if there is one: the first has it in the window already.
    """
    cuts = [] if end is None else [int(place) + 1 for place in np.flatnonzero(window == end)]
    first, *others = np.split(window, cuts)
    found = [first, *([np.append(np.int32(begin), text) for text in others] if begin is not None else others)]
    return (text for text in found if len(text) > 1)


def _cross_entropy(model: Reference, window: NDArray[np.int32], end: int | None, begin: int | None) -> float:
    """Mean nat per predicted token of a window, in float64."""
    losses = []
    for text in _texts(window, end, begin):
        logits = model.logits(text)[:-1]
        top = logits.max(axis=-1)
        known = logits[np.arange(len(logits)), text[1:]]
        losses.append(np.log(np.exp(logits - top[:, None]).sum(axis=-1)) + top - known)
    return float(np.concatenate(losses).mean()) if losses else 0.0


def _compare_tensors(init: Path, released: Path) -> TensorComparison:
    """Tensors of the released files, and how many of them are those of the init, rounded to what they are stored in."""
    before, after = (
        {name: (file, name) for file in sorted(folder.glob("*.safetensors")) for name in _names(file)}
        for folder in (init, released)
    )
    if before.keys() != after.keys():
        raise ExperimentError(f"init and student have different tensors: {sorted(before.keys() ^ after.keys())[:3]}")
    reshaped = [name for name in sorted(before) if _tensor(*before[name]).shape != _tensor(*after[name]).shape]
    if reshaped:
        raise ExperimentError(f"tensors of the student have other shapes than those of its init: {reshaped[:3]}")
    same = sum(_is_same(_tensor(*before[name]), _tensor(*after[name])) for name in sorted(before))
    return TensorComparison(tensors=len(after), unchanged=same)


def _is_same(before: torch.Tensor, after: torch.Tensor) -> bool:
    return torch.equal(before.to(after.dtype), after)


def _names(file: Path) -> list[str]:
    with safe_open(file, framework="pt") as stored:
        return list(stored.keys())


def _tensor(file: Path, name: str) -> torch.Tensor:
    with safe_open(file, framework="pt") as stored:
        found: torch.Tensor = stored.get_tensor(name)
        return found
