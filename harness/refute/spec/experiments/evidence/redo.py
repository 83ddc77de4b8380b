"""What the auditors of a training run write. Losses and divergences are in nat per token."""

from __future__ import annotations

from typing import Literal

from refute.spec.experiments.evidence.base import EvidenceModel
from refute.spec.fields import Sha256


class FirstStep(EvidenceModel):
    """The first step by a second implementation: means over its supervised tokens; `grad_norm` before clipping."""

    ce: float
    kl: float
    total: float
    tokens: int
    grad_norm: float


class RedoneStep(FirstStep):
    """A redone step, from 1: the segment that it is of, and the rate that it was made with."""

    segment: int
    step: int
    rate: float


class RedoneSegment(EvidenceModel):
    """Steps `start` + 1 to `end` made again.

    `target`: what its end was compared with, the run's trace alone or a whole state or model. `distance` of whole
    models, by how far they moved; null without one. `broken` counts sampled entries of the state that it began with
    that are not those of the trace.
    """

    segment: int
    start: int
    end: int
    target: Literal["trace", "state", "model"]
    distance: float | None
    broken: int


class ReleasedLink(EvidenceModel):
    """`broken` counts sampled entries of the released weights that are not those of the trace at their step."""

    broken: int


class BatchDigest(EvidenceModel):
    """What the batch of a step must hash to."""

    step: int
    batch_sha256: Sha256


class WindowDistance(EvidenceModel):
    """A held-out window: loss, KL to the teacher and cosine of the logits, before and after the run."""

    window: int
    tokens: int
    ce: float
    kl: float
    cosine: float
    ce_initial: float
    kl_initial: float
    cosine_initial: float
