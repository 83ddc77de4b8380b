"""Every held-out window of a released model scored anew: its loss, and how far it is from its teacher."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from refute.auditors.loss import divergence
from refute.auditors.models import Answer
from refute.auditors.windows import Corpus, texts


class WindowScore(NamedTuple):
    """Means over the predicted tokens of a window: `ce` and `kl` (teacher || student, T = 1) in nat."""

    window: int
    tokens: int
    ce: float
    kl: float
    cosine: float


@torch.no_grad()
def score_heldout(student: PreTrainedModel, teacher: Answer, corpus: Corpus, count: int) -> Iterator[WindowScore]:
    """The first `count` held-out windows, in float64 after the models' logits."""
    student.eval()
    for number, window in enumerate(corpus.heldout[:count]):
        parts = [torch.zeros(3, 0, dtype=torch.float64)]
        for text in texts(window, corpus):
            ids = torch.from_numpy(text.astype(np.int64))[None].to(student.device)
            own = student(input_ids=ids, use_cache=False).logits[0, :-1].double()
            parts.append(_figures(own, teacher(ids)[0, :-1].to(own.device).double(), ids[0, 1:]).cpu())
        figures = torch.cat(parts, dim=1)
        tokens = figures.shape[1]
        ce, kl, cosine = (figures.sum(dim=1) / max(tokens, 1)).tolist()
        yield WindowScore(number, tokens, ce, kl, cosine)


def _figures(own: Tensor, theirs: Tensor, labels: Tensor) -> Tensor:
    """Rows ce, kl and cosine of every position, shape (3, N)."""
    theirs = theirs[:, : own.shape[-1]]
    ce = functional.cross_entropy(own, labels, reduction="none")
    finite = theirs.isfinite()
    here, there = (torch.where(finite, each, 0.0) for each in (own, theirs))
    cosine = (here * there).sum(dim=-1) / (here.norm(dim=-1) * there.norm(dim=-1))
    return torch.stack((ce, divergence(theirs, own), cosine))
