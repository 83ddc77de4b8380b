"""Tokens drawn by lot, written down twice: both ways agree, and what another sum might have drawn stands beside."""

from __future__ import annotations

import pytest
import torch

from refute.engines.humaneval.audit.choice import by_lot, greedily
from refute.engines.humaneval.audit.problem_file import Task
from refute.engines.humaneval.backends.local.top_p_sampling import sample_top_p
from refute.engines.humaneval.samples.sampler import make_sampler, random_stream
from refute.spec.release import Sampling

TASKS = [Task("T/0", "def f():", "f", "", "", sample=n) for n in range(3)]


def _logits(count: int, size: int = 300) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(7)) * 3


@pytest.mark.parametrize(("temperature", "top_p"), [(0.2, 0.95), (0.8, 0.5), (1.5, 1.0), (1.0, 1e-6)])
def test_both_ways_to_draw_agree_token_for_token(temperature: float, top_p: float) -> None:
    """The engine's sampler in torch, and the auditor's in numpy, from the same seed, task and sample."""
    drawing = Sampling(samples=3, temperature=temperature, top_p=top_p, seed=5)
    sampler = make_sampler(n=3, temperature=temperature, top_p=top_p, seed=5)
    for task in TASKS:
        following, stream = by_lot(drawing)(task), random_stream(sampler, task.task_id, task.sample)
        for logits in _logits(40):
            wanted = sample_top_p(logits[None], [stream.random()], temperature=temperature, top_p=top_p)
            assert following(logits)[0] == wanted[0]


def test_samples_of_a_task_are_drawn_by_numbers_of_their_own() -> None:
    """Another sample, and another seed, is another answer."""
    flat = torch.zeros(1000)
    lots = [by_lot(Sampling(samples=3, temperature=1.0, seed=seed))(task)(flat)[0] for seed in (1, 2) for task in TASKS]
    assert len(set(lots)) == 6


def test_what_logits_that_differ_in_their_last_bits_would_draw_is_among_the_others() -> None:
    """Whatever noise below 1e-4 makes of a draw, the auditor allows for it; and of far more it allows little."""
    drawing = Sampling(samples=2, temperature=0.8, top_p=0.95, seed=3)
    noise = torch.Generator().manual_seed(11)
    for logits in _logits(60, size=2000) / 2:
        following = by_lot(drawing)(TASKS[1])(logits)
        near = logits + 1e-5 * torch.randn(2000, generator=noise)
        assert by_lot(drawing)(TASKS[1])(near)[0] in following
        assert len(following) <= 11


def test_greedy_choices_hold_near_ties_alone() -> None:
    """Of four tokens two tie."""
    assert greedily(0.01)(TASKS[0])(torch.tensor([1.0, 3.0, 2.995, 0.0])) == [1, 2]
