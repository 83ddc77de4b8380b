"""Every held-out window of a released model scored anew: its loss, and how far it is from its teacher."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from refute.auditors.models import Answer
from refute.auditors.windows import Corpus, Ids, texts

# Tokens that go through the models at once.
_TOGETHER = 256
# Logits that are looked at in float64 at once: 2 MiB of each model's. Those of a whole window, looked at in six passes,
# took five times as long (191 positions of 49,152, two threads).
_TILE = 2**18
_FIGURES = 4  # of each position


class WindowScore(NamedTuple):
    """Means over the predicted tokens of a window: `ce`, `kl` (teacher || student, T = 1) and `ce_teacher` in nat."""

    window: int
    tokens: int
    ce: float
    kl: float
    cosine: float
    ce_teacher: float


@torch.no_grad()
def score_heldout(student: PreTrainedModel, teacher: Answer, corpus: Corpus, count: int) -> Iterator[WindowScore]:
    """The first `count` held-out windows, in float64 after the models' logits."""
    student.eval()
    rows = [[torch.zeros(_FIGURES, 0, dtype=torch.float64)] for _ in corpus.heldout[:count]]
    for numbers, stack in _stacks(corpus, count):
        ids = torch.from_numpy(stack.astype(np.int64)).to(student.device)
        own, theirs = student(input_ids=ids, use_cache=False).logits, teacher(ids).to(student.device)
        found = _figures(own[:, :-1], theirs[:, :-1], ids[:, 1:]).cpu()
        for number, figures in zip(numbers, found.unbind(dim=1), strict=True):
            rows[number].append(figures)
    for number, parts in enumerate(rows):
        figures = torch.cat(parts, dim=1)
        tokens = figures.shape[1]
        yield WindowScore(number, tokens, *(figures.sum(dim=1) / max(tokens, 1)).tolist())


def _stacks(corpus: Corpus, count: int) -> Iterator[tuple[list[int], Ids]]:
    """The texts of the first `count` held-out windows, those of one length together, and the window of each."""
    of_length = defaultdict[int, list[tuple[int, Ids]]](list)
    for number, window in enumerate(corpus.heldout[:count]):
        for text in texts(window, corpus):
            of_length[len(text)].append((number, text))
    for length, found in of_length.items():
        together = max(1, _TOGETHER // length)
        for first in range(0, len(found), together):
            some = found[first : first + together]
            yield [number for number, _ in some], np.stack([text for _, text in some])


def _figures(own: Tensor, theirs: Tensor, labels: Tensor) -> Tensor:
    """Rows ce, kl, cosine and ce_teacher of every position, shape (4, texts, N), float64, of logits (texts, N, V)."""
    width = own.shape[-1]
    parts = (each.flatten(0, 1) for each in (own, theirs[..., :width], labels))
    tiles = zip(*(torch.split(each, max(1, _TILE // width)) for each in parts), strict=True)
    found = [_of_tile(here.double(), there.double(), known) for here, there, known in tiles]
    return torch.cat(found, dim=1).view(_FIGURES, *labels.shape)


def _of_tile(own: Tensor, theirs: Tensor, labels: Tensor) -> Tensor:
    """The same of some positions (n, V), so few that what is computed of them stays near the processor."""
    log_q, log_p = (functional.log_softmax(each, dim=-1) for each in (own, theirs))
    # A teacher may pad its vocabulary with -inf: no probability there, nothing to add, and no direction to compare.
    finite = theirs.isfinite()
    padded = not bool(finite.all())
    here, there = (torch.where(finite, each, 0.0) for each in (own, theirs)) if padded else (own, theirs)
    apart = log_p.exp().mul_(log_p - log_q)
    kl = (torch.where(finite, apart, 0.0) if padded else apart).sum(dim=-1)
    cosine = torch.linalg.vecdot(here, there) / (here.norm(dim=-1) * there.norm(dim=-1))
    ce, ce_teacher = (-each.gather(1, labels[:, None])[:, 0] for each in (log_q, log_p))
    return torch.stack((ce, kl, cosine, ce_teacher))
