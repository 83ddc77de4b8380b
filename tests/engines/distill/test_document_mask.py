"""Whether a model keeps packed documents apart is asked of the model itself, by exchanging a neighbour."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from refute.engines.distill.document_mask import refuse_crossing
from refute.errors import ExperimentError

pytestmark = pytest.mark.usefixtures("one_thread")
COMMON = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
WIDE = {**COMMON, "intermediate_size": 48, "num_key_value_heads": 2}
IDS = torch.arange(1, 22)[None] % 64


def _model(family: str, sizes: dict[str, object]) -> Any:
    torch.manual_seed(3)
    config = AutoConfig.for_model(family, **sizes, initializer_range=0.2)
    return AutoModelForCausalLM.from_config(config).eval()


def _check(model: Any) -> None:
    def answer(ids: Tensor, positions: Tensor) -> Tensor:
        logits: Tensor = model(input_ids=ids, position_ids=positions, use_cache=False).logits
        return logits

    refuse_crossing("student", answer, IDS, dtype="float32")


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        ("llama", WIDE),
        ("qwen2", WIDE),
        ("mistral", WIDE),
        ("gpt2", {"vocab_size": 64, "n_embd": 32, "n_head": 4, "n_layer": 2}),
    ],
)
def test_models_that_keep_documents_apart_are_taken(family: str, sizes: dict[str, object]) -> None:
    """Nothing of a neighbour reaches them."""
    _check(_model(family, sizes))


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        ("bloom", {"vocab_size": 64, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
        ("falcon", COMMON),
        ("opt", {**COMMON, "ffn_dim": 48, "word_embed_proj_dim": 32}),
        ("mamba", {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}),
    ],
)
def test_models_that_read_across_documents_are_refused(family: str, sizes: dict[str, object]) -> None:
    """They take the positions, or overlook them, and read on: the message says how much moved and what to do."""
    model = _model(family, sizes)
    if family == "mamba":
        forward = model.forward
        model.forward = lambda input_ids, position_ids, use_cache: forward(input_ids=input_ids, use_cache=use_cache)
    with pytest.raises(ExperimentError, match="the student reads across documents") as caught:
        _check(model)
    assert "document_mask: false" in caught.value.hint
