"""AdamW and its rates as written out a second time, against torch's own and against the formula's corners."""

from __future__ import annotations

import pytest
import torch

from auditing import TRAINING
from refute.auditors.adamw import Moments, clip, rate, update
from refute.spec.experiments.training import Training


@pytest.mark.parametrize("shape", [(5, 3), (7,)])
def test_it_is_torchs(shape: tuple[int, ...]) -> None:
    """Twenty steps of both, with decay for a matrix and none for a vector."""
    chance = torch.Generator().manual_seed(17)
    weights = torch.randn(shape, generator=chance)
    theirs = torch.nn.Parameter(weights.clone())
    decay = 0.3 if len(shape) == 2 else 0.0
    optimizer = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.95), weight_decay=decay)
    moments = Moments.of(weights)
    for _ in range(20):
        theirs.grad = torch.randn(shape, generator=chance)
        update(weights, theirs.grad, moments, 0.01, 0.3)
        optimizer.step()
    torch.testing.assert_close(weights, theirs.detach(), rtol=1e-6, atol=1e-7)


def test_the_rate_rises_and_falls() -> None:
    """In equal parts to the peak, then half a cosine to the minimum at the last step."""
    training = Training.model_validate(TRAINING | {"steps": 11, "warmup_steps": 4, "learning_rate": 0.8})
    found = [rate(training, step) for step in range(1, 12)]
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    assert found[7] == pytest.approx((0.8 + 0.001) / 2)
    assert found[-1] == pytest.approx(0.001)
    assert found[4:] == sorted(found[4:], reverse=True)


def test_a_run_that_only_warms_up() -> None:
    """Never divides by the steps that are not there."""
    training = Training.model_validate(TRAINING | {"steps": 5, "warmup_steps": 4})
    assert rate(training, 5) == pytest.approx(0.01)


def test_gradients_are_clipped_together() -> None:
    """To a common norm; a short one stays."""
    gradients = {"a": torch.tensor([3.0]), "b": torch.tensor([4.0])}
    assert clip(gradients, 50.0) == pytest.approx(5.0)
    assert [each.item() for each in gradients.values()] == [3.0, 4.0]
    assert clip(gradients, 1.0) == pytest.approx(5.0)
    assert [each.item() for each in gradients.values()] == pytest.approx([0.6, 0.8], rel=1e-5)
