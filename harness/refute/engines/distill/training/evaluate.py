"""Measures a student on held-out windows: loss, distance to its teacher, and one greedy sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from refute.engines.distill.data.packing import IGNORED, Batch
from refute.engines.distill.teacher.interface import TeacherModel
from refute.engines.distill.training.ranks import ALONE, Ranks
from refute.engines.model.vocabulary import dropped_mass
from refute.errors import NonFiniteError
from refute.spec.experiments.evidence.distill import GreedySample, HeldoutEvaluation

# Teacher logits of the evaluation windows are kept in memory up to here and recomputed beyond.
CACHE_MIB = 1024
# Logits that are scored together, beside those of the whole window: 4 MiB in float32 take 0.6 of the time of 32.
_TILE = 2**20
SAMPLE_PROMPT = "def fibonacci(n):"
SAMPLE_TOKENS = 64


@dataclass(frozen=True, slots=True)
class WindowScore:
    """One held-out window: `ce` and `kl` (teacher || student, T = 1) in nat per predicted token.

    `cosine` is the mean over positions of the cosine between the two models' logit vectors. `tokens` are predicted.
    """

    window: int
    tokens: int
    ce: float
    kl: float | None
    cosine: float | None


class HeldoutTeacher:
    """The teacher's logits on a fixed batch of windows, cut to the student's vocabulary."""

    def __init__(self, teacher: TeacherModel, batch: Batch, vocab_size: int, *, cache_mib: int = CACHE_MIB) -> None:
        self._teacher, self._windows, self._vocab_size = teacher, batch.split(1), vocab_size
        self._keep = batch.ids.numel() * vocab_size * 4 <= cache_mib * 2**20
        self._cache: dict[int, Tensor] = {}
        self.dropped: dict[int, float] = {}

    def logits(self, window: int) -> Tensor:
        """Shape (positions, student vocabulary), float32. `dropped` gets the mean probability that was cut off."""
        if window in self._cache:
            return self._cache[window]
        batch = self._windows[window]
        everything = self._teacher.logits(batch.ids, batch.positions)[0]
        self.dropped[window] = dropped_mass(everything, self._vocab_size).mean().item()
        logits = everything[:, : self._vocab_size]
        if self._keep:
            self._cache[window] = logits.clone()
        return logits


@torch.no_grad()
def score_windows(
    student: Callable[[Batch], Tensor], batch: Batch, teacher: HeldoutTeacher | None, ranks: Ranks = ALONE
) -> list[WindowScore]:
    """One score a window, in order; each is computed alone, so it does not depend on the others.

    `student` gives logits (1, positions, V) of one window. Ranks score every so many windows and exchange them.
    Raises NonFiniteError naming the window when a score is not a number.
    """
    windows = batch.split(1)
    mine = []
    for first in range(0, len(windows), ranks.world_size):
        # A rank without a window of its own repeats the last one: a model in pieces needs all ranks in each forward.
        index = min(first + ranks.rank, len(windows) - 1)
        score = _score(student, index, windows[index], None if teacher is None else teacher.logits(index))
        if index == first + ranks.rank:
            mine.append(score)
    return sorted((score for part in ranks.all_gather(mine) for score in part), key=lambda score: score.window)


def summarise(step: int, scores: Sequence[WindowScore]) -> HeldoutEvaluation:
    """The means of `scores` over their tokens."""
    judged = [score for score in scores if score.kl is not None]
    return HeldoutEvaluation(
        step=step,
        heldout_ce=_mean(scores, lambda score: score.ce),
        heldout_kl=_mean(judged, lambda score: score.kl or 0.0) if judged else None,
        probe_cosine=_mean(judged, lambda score: score.cosine or 0.0) if judged else None,
        windows=len(scores),
    )


def _mean(scores: Sequence[WindowScore], value: Callable[[WindowScore], float]) -> float:
    tokens = sum(score.tokens for score in scores)
    return math.fsum(value(score) * score.tokens for score in scores) / max(tokens, 1)


@torch.no_grad()
def greedy_sample(student: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> GreedySample:
    """The student's own continuation of a fixed prompt, the most likely token each time, past any end token."""
    was_training = student.training
    student.eval()
    ids = torch.tensor([tokenizer.encode(SAMPLE_PROMPT, add_special_tokens=False)], device=student.device)
    prompt_tokens = ids.shape[1]
    cache: Any = None
    unseen = ids
    for _ in range(SAMPLE_TOKENS):
        kept: dict[str, Any] = {} if cache is None else {"past_key_values": cache}
        answer = student(input_ids=unseen, use_cache=True, **kept)
        likeliest = answer.logits[:, -1].argmax(dim=-1, keepdim=True)
        ids = torch.cat((ids, likeliest), dim=1)
        # State-space models and others keep no keys and values: they are asked about all of it again.
        cache = getattr(answer, "past_key_values", None)
        unseen = ids if cache is None else likeliest
    student.train(was_training)
    text = str(tokenizer.decode(ids[0, prompt_tokens:].tolist()))  # one sequence: one text
    return GreedySample(prompt=SAMPLE_PROMPT, text=text, new_tokens=SAMPLE_TOKENS, greedy=True)


def _score(student: Callable[[Batch], Tensor], index: int, batch: Batch, teacher_logits: Tensor | None) -> WindowScore:
    labels, logits = batch.labels[0], student(batch)[0]
    known = (labels != IGNORED).nonzero().flatten()
    sums = torch.zeros(3, dtype=torch.float64)
    for rows in torch.split(known, max(1, _TILE // logits.shape[-1])):
        theirs = None if teacher_logits is None else teacher_logits[rows].float()
        sums += torch.tensor(_sums(logits[rows].float(), labels[rows], theirs), dtype=torch.float64)
    ce, apart, alike = (sums / max(len(known), 1)).tolist()
    kl, cosine = (None, None) if teacher_logits is None else (apart, alike)
    if not all(math.isfinite(number) for number in (ce, kl, cosine) if number is not None):
        raise NonFiniteError(f"held-out window {index}: ce {ce}, kl {kl}, cosine {cosine}; expected finite numbers")
    return WindowScore(index, len(known), ce, kl, cosine)


def _sums(logits: Tensor, labels: Tensor, theirs: Tensor | None) -> tuple[float, float, float]:
    """Cross-entropy, KL and cosine of logits (n, V), summed over the n positions; 0 where there is no teacher."""
    log_student = functional.log_softmax(logits, dim=-1)
    ce = functional.nll_loss(log_student, labels, reduction="sum").item()
    if theirs is None:
        return ce, 0.0, 0.0
    log_teacher = functional.log_softmax(theirs, dim=-1)
    # Some teachers pad their vocabulary with -inf: no probability there, and no direction to compare.
    apart = torch.where(log_teacher.isfinite(), log_teacher.exp() * (log_teacher - log_student), 0.0)
    finite = theirs.isfinite()
    here, there = (torch.where(finite, tensor, 0.0) for tensor in (logits, theirs))
    return ce, apart.sum().item(), functional.cosine_similarity(here, there, dim=-1).sum().item()
