"""Model families other than the embedded one, loaded from folders as users have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from refute.engines.humaneval.backends.local.generate import generate
from refute.engines.humaneval.backends.local.models import LoadedModel, load_model
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.prompts import PROTOCOLS, build_prompt, truncate
from refute.errors import MissingInputsError
from refute.spec.experiments.humaneval import SourceModel
from refute.spec.release import HfModel

RULES = PROTOCOLS["completion"]
BUDGET = 24
ENDS: dict[str, Any] = {"vocab_size": 330, "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0}
SHAPE: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
SPREAD = 1.0


def make(family: str) -> PreTrainedModel:
    """A tiny random model of the family: rotary or learned positions, grouped heads, sliding windows, soft caps."""
    torch.manual_seed(11)
    if family == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=256, initializer_range=SPREAD, **ENDS)
        )
    if family == "gpt_neox":
        return GPTNeoXForCausalLM(GPTNeoXConfig(initializer_range=SPREAD, **SHAPE, **ENDS))
    if family == "gemma2":
        shape = {**SHAPE, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 12}
        return Gemma2ForCausalLM(Gemma2Config(initializer_range=SPREAD, **shape, **ENDS))
    return Qwen2ForCausalLM(Qwen2Config(num_key_value_heads=2, initializer_range=SPREAD, **SHAPE, **ENDS))


def load(folder: Path) -> LoadedModel:
    """The model in a user's folder."""
    return load_model(
        SourceModel(kind="source", model=HfModel(format="hf", path="x"), path=str(folder)), {}, device="cpu"
    )


def alone(loaded: LoadedModel, problem: Problem) -> str:
    """What transformers' own `generate` writes, for one prompt alone."""
    ids = loaded.tokenizer(build_prompt(problem, loaded.tokenizer, RULES), return_tensors="pt")["input_ids"]
    ends = sorted({0, *loaded.tokenizer.all_special_ids})
    decoder: Any = loaded.model
    out = decoder.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=BUDGET, do_sample=False, eos_token_id=ends
    )
    new = [token for token in out[0, ids.shape[1] :].tolist() if token not in ends]
    return truncate(str(loaded.tokenizer.decode(new)), RULES)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2", "gpt2", "gpt_neox", "gemma2"])
def test_a_family_is_decoded_as_transformers_decodes_it(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, problems: list[Problem], family: str
) -> None:
    """Three prompts of three lengths, of which one waits for a place, have each the text that they have alone."""
    make(family).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    found = generate(
        loaded.model, loaded.tokenizer, problems, protocol=RULES, max_new_tokens=BUDGET, batch_size=len(problems) - 1
    )
    texts = {each.task_id: each.text for each in found}
    assert texts == {problem.task_id: alone(loaded, problem) for problem in problems}
    assert len(texts["Own/0"]) > 5


@pytest.mark.parametrize("family", ["qwen2", "gpt2", "gpt_neox", "gemma2"])
def test_a_folder_without_tokenizer_is_an_error_in_every_family(tmp_path: Path, family: str) -> None:
    """A library that knows the family might make a tokenizer up; no score comes of that."""
    make(family).save_pretrained(tmp_path)
    with pytest.raises(MissingInputsError, match="holds no usable tokenizer"):
        load(tmp_path)
