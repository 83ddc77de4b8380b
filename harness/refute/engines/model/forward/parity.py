"""How far two sets of logits for the same positions are apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refute.errors import ExperimentError
from refute.spec.experiments.evidence.distill import Parity


def compare_logits(provider: NDArray[np.floating[Any]], reference: NDArray[np.floating[Any]]) -> Parity:
    """Compare logits (…, V) in float64. Raises ExperimentError for unequal shapes or anything not finite."""
    if provider.shape != reference.shape or provider.size == 0:
        raise ExperimentError(f"provider logits are {provider.shape}, reference logits {reference.shape}")
    ours = provider.reshape(-1, provider.shape[-1]).astype(np.float64)
    theirs = reference.reshape(-1, reference.shape[-1]).astype(np.float64)
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        raise ExperimentError("logits hold NaN or infinities, so they cannot be compared")
    log_p, log_q = _log_softmax(theirs), _log_softmax(ours)
    norms = np.linalg.norm(ours, axis=-1) * np.linalg.norm(theirs, axis=-1)
    cosines = np.divide((ours * theirs).sum(axis=-1), norms, out=np.zeros(len(ours)), where=norms > 0)
    return Parity(
        max_abs=float(np.abs(ours - theirs).max()),
        top1_agreement=float((ours.argmax(axis=-1) == theirs.argmax(axis=-1)).mean()),
        kl_nats=float((np.exp(log_p) * (log_p - log_q)).sum(axis=-1).mean()),
        cosine_min=float(cosines.min()),
        positions=len(ours),
    )


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    out: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return out
