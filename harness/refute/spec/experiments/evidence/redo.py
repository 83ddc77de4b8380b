"""What the auditors of a training run and of its held-out text write. Losses and divergences are in nat per token."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from refute.spec.experiments.evidence.base import EvidenceModel, Several
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


class SegmentDraw(EvidenceModel):
    """Which segments were made again, drawn when the run had ended: the first, the last, and some of those between.

    `kept`: the steps after which one may begin. `run_sha256` is of the run's weights, trace, log and custody, `entropy`
    hexadecimal and fresh: those between come in the order of SHA-256 of "entropy NUL run_sha256 NUL step".
    """

    entropy: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    run_sha256: Sha256
    kept: Several[int]


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


class HeldoutPlace(EvidenceModel):
    """Of which file a held-out window is, once the files were cut again: None where none of them gives it. `stated` is
    what the corpus says."""

    window: int
    file: str | None
    stated: str


class WindowDistance(EvidenceModel):
    """A held-out window: loss, KL to the teacher and cosine of the logits, before and after the run; the teacher's own
    loss."""

    window: int
    tokens: int
    ce: float
    kl: float
    cosine: float
    ce_initial: float
    kl_initial: float
    cosine_initial: float
    ce_teacher: float
