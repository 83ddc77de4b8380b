"""The second training loop: the same steps from the same state, by other code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from refute.auditors.adamw import Moments, clip, rate, update
from refute.auditors.loss import Losses, add_gradient
from refute.auditors.models import Answer
from refute.auditors.windows import Corpus, batches, texts
from refute.spec.experiments.training import Training

# Tokens that go through the models at once: a third of the time of texts one by one (16 of 33 tokens, 135 million
# parameters, two cores), and the logits of so many tokens in float64 are held anyway for one long text.
_TOGETHER = 640


@dataclass(frozen=True, slots=True)
class Loop:
    """What every step takes: the model that is trained, its teacher (None without KD), windows, settings."""

    student: PreTrainedModel
    teacher: Answer | None
    corpus: Corpus
    training: Training
    batches: list[list[int]]

    @classmethod
    def over(cls, student: PreTrainedModel, teacher: Answer | None, corpus: Corpus, training: Training) -> Loop:
        """With the batches of every step of the run."""
        order = list(batches(len(corpus.train), training))
        return cls(student.train(), teacher if training.kd_weight > 0 else None, corpus, training, order)

    def on_foreign_text(self) -> Loop:
        """The same on ids that lie half a vocabulary away: text that nobody has written, each window one."""
        rows = int(self.student.config.vocab_size)
        foreign = Corpus((self.corpus.train + rows // 2) % rows, self.corpus.heldout, None, None)
        return replace(self, corpus=foreign)


@dataclass(frozen=True, slots=True)
class Redone:
    """One step: its number from 1, its losses, the gradient as AdamW was given it, that one's norm before clipping."""

    step: int
    losses: Losses
    gradients: dict[str, Tensor]
    grad_norm: float
    rate: float


def redo(loop: Loop, moments: dict[str, Moments], start: int, end: int) -> Iterator[Redone]:
    """Makes steps `start` + 1 to `end` on the student's weights and `moments`, in place; yields after each."""
    for step in range(start + 1, end + 1):
        losses = _backward(loop, loop.batches[step - 1])
        gradients = {
            name: each.grad.div_(max(losses.tokens, 1))
            for name, each in loop.student.named_parameters()
            if each.grad is not None
        }
        norm = clip(gradients, loop.training.max_grad_norm)
        applied = rate(loop.training, step)
        for name, weights in loop.student.named_parameters():
            if name in gradients:
                update(weights, gradients[name], moments[name], applied, loop.training.weight_decay)
        yield Redone(step, losses, gradients, norm, applied)


def _backward(loop: Loop, windows: list[int]) -> Losses:
    """The sums of a whole batch, and their gradient in the student's `grad`."""
    loop.student.zero_grad(set_to_none=True)
    total = Losses()
    for stack in _stacks(loop, windows):
        ids = torch.from_numpy(stack.astype(np.int64)).to(loop.student.device)
        total += add_gradient(loop.student, loop.teacher, ids, loop.training)
    return total


def _stacks(loop: Loop, windows: list[int]) -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.int32]]]:
    """The batch's texts, those of one length on top of each other as far as they fit: nothing is padded or masked."""
    of_length = defaultdict(list)
    for window in windows:
        for text in texts(loop.corpus.train[window], loop.corpus):
            of_length[len(text)].append(text)
    for length, found in of_length.items():
        together = max(1, _TOGETHER // length)
        for first in range(0, len(found), together):
            yield np.stack(found[first : first + together])
