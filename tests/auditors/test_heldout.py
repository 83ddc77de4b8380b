"""Held-out windows scored in stacks, by a teacher that is asked about each once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from refute.auditors import heldout, models
from refute.auditors.heldout import score_heldout
from refute.auditors.models import remembered
from refute.auditors.windows import Corpus


def small_model(seed: int) -> LlamaForCausalLM:
    """Of two layers."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    return LlamaForCausalLM(config).eval()


@torch.no_grad()
def test_a_stack_scores_as_its_texts_do_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of several texts, of all lengths, and one without any prediction."""
    chance = np.random.default_rng(17)
    windows = chance.integers(0, 6, (7, 12)).astype(np.int32)
    windows[3] = 0  # nothing but ends
    student, teacher = small_model(1), small_model(2)
    corpus = Corpus(windows, windows, 0, None)

    def scores() -> list[float]:
        found = score_heldout(student, lambda ids: teacher(input_ids=ids).logits, corpus, 9)
        return [number for score in found for number in score]

    together = scores()
    monkeypatch.setattr(heldout, "_TOGETHER", 1)
    assert together == pytest.approx(scores(), abs=1e-5)
    assert len(together) == 7 * 6


def test_a_teacher_is_asked_once_as_far_as_its_answers_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shape and ids make the text."""
    asked: list[tuple[int, ...]] = []

    def teacher(ids: torch.Tensor) -> torch.Tensor:
        asked.append(tuple(ids.shape))
        return ids.float()

    monkeypatch.setattr(models, "_REMEMBERED_BYTES", 40)
    ask = remembered(teacher)
    long, wide, other = torch.arange(6)[None], torch.arange(6).reshape(2, 3), torch.arange(6)[None] + 1
    for ids in (long, wide, other, long, wide, other):
        assert torch.equal(ask(ids), ids.float())
    assert asked == [(1, 6), (2, 3), (1, 6), (2, 3), (1, 6)]
