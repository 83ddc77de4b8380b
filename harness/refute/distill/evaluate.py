"""Measures a student on held-out windows: loss, distance to its teacher, and one greedy sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from refute.distill.teacher import Teacher
from refute.errors import NonFiniteError

# Teacher logits of the evaluation windows are kept in memory up to here and recomputed beyond.
CACHE_MIB = 512

SAMPLE_PROMPT = "def fibonacci(n):"
SAMPLE_TOKENS = 64


@dataclass(frozen=True, slots=True)
class WindowScore:
    """One held-out window: `ce` and `kl` (teacher || student, T = 1) in nat per predicted token.

    `cosine` is the mean over positions of the cosine between the two models' logit vectors.
    """

    window: int
    ce: float
    kl: float | None
    cosine: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Means over the windows at one step; distances are None where no teacher was asked."""

    step: int
    heldout_ce: float
    heldout_kl: float | None
    probe_cosine: float | None
    windows: int


class TeacherOnWindows:
    """The teacher's logits on a fixed set of windows, cut to the student's vocabulary."""

    def __init__(self, teacher: Teacher, windows: Tensor, vocab_size: int, *, cache_mib: int = CACHE_MIB) -> None:
        self._teacher, self._windows, self._vocab_size = teacher, windows, vocab_size
        positions = windows.shape[0] * (windows.shape[1] - 1)
        self._keep = positions * vocab_size * 4 <= cache_mib * 2**20
        self._cache: dict[int, Tensor] = {}

    def logits(self, window: int) -> Tensor:
        """Shape (seq_len - 1, student vocabulary), float32."""
        if window in self._cache:
            return self._cache[window]
        logits = self._teacher.logits(self._windows[window : window + 1, :-1])[0, :, : self._vocab_size].float()
        if self._keep:
            self._cache[window] = logits.clone()
        return logits


@torch.no_grad()
def score_windows(student: PreTrainedModel, windows: Tensor, teacher: TeacherOnWindows | None) -> list[WindowScore]:
    """One score a window, in order; each is computed alone, so it does not depend on the others.

    Raises NonFiniteError naming the window when a score is not a number.
    """
    was_training = student.training
    student.eval()
    scores = [
        _score(student, index, window, None if teacher is None else teacher.logits(index))
        for index, window in enumerate(windows)
    ]
    student.train(was_training)
    return scores


def summarise(step: int, scores: Sequence[WindowScore]) -> Evaluation:
    """The means of `scores`; windows have equal length, so these are means over tokens."""
    kls = [score.kl for score in scores if score.kl is not None]
    cosines = [score.cosine for score in scores if score.cosine is not None]
    return Evaluation(
        step=step,
        heldout_ce=fmean(score.ce for score in scores),
        heldout_kl=fmean(kls) if kls else None,
        probe_cosine=fmean(cosines) if cosines else None,
        windows=len(scores),
    )


@torch.no_grad()
def greedy_sample(student: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, object]:
    """The student's own continuation of a fixed prompt, the most likely token each time, past any end token."""
    was_training = student.training
    student.eval()
    ids = torch.tensor([tokenizer.encode(SAMPLE_PROMPT, add_special_tokens=False)], device=student.device)
    prompt_tokens = ids.shape[1]
    cache, unseen = None, ids
    for _ in range(SAMPLE_TOKENS):
        answer = student(input_ids=unseen, past_key_values=cache, use_cache=True)
        cache, unseen = answer.past_key_values, answer.logits[:, -1].argmax(dim=-1, keepdim=True)
        ids = torch.cat((ids, unseen), dim=1)
    student.train(was_training)
    text = tokenizer.decode(ids[0, prompt_tokens:].tolist())
    return {"prompt": SAMPLE_PROMPT, "text": text, "new_tokens": SAMPLE_TOKENS, "greedy": True}


def _score(student: PreTrainedModel, index: int, window: Tensor, teacher_logits: Tensor | None) -> WindowScore:
    logits = student(input_ids=window[None, :-1], use_cache=False).logits[0].float()
    log_student = functional.log_softmax(logits, dim=-1)
    ce = functional.nll_loss(log_student, window[1:]).item()
    kl = cosine = None
    if teacher_logits is not None:
        log_teacher = functional.log_softmax(teacher_logits, dim=-1)
        # Some teachers pad their vocabulary with -inf: no probability there, and no direction to compare.
        apart = torch.where(log_teacher.isfinite(), log_teacher.exp() * (log_teacher - log_student), 0.0)
        kl = apart.sum().item() / len(logits)
        known = teacher_logits.isfinite()
        mine, theirs = (torch.where(known, tensor, 0.0) for tensor in (logits, teacher_logits))
        cosine = functional.cosine_similarity(mine, theirs, dim=-1).mean().item()
    if not all(math.isfinite(number) for number in (ce, kl, cosine) if number is not None):
        raise NonFiniteError(f"held-out window {index}: ce {ce}, kl {kl}, cosine {cosine}; expected finite numbers")
    return WindowScore(index, ce, kl, cosine)
