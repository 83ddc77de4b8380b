"""A fixture of the certificate: a teacher that computes the identity, whose most likely token is the one just read."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from refute.engines.distill.teacher.loaded import Teacher

_VOCABULARY = 24


def identity_teacher(device: str) -> Teacher:
    """A one-layer Llama that repeats its input: attention and MLP add nothing, both ends are one basis."""
    config = LlamaConfig(
        vocab_size=_VOCABULARY,
        hidden_size=_VOCABULARY,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
        model.get_input_embeddings().get_parameter("weight").copy_(torch.eye(_VOCABULARY))
    words = Tokenizer(WordLevel({f"w{index}": index for index in range(_VOCABULARY)}))
    count = sum(parameter.numel() for parameter in model.parameters())
    torch.nn.Module.to(model.eval().requires_grad_(requires_grad=False), device)
    return Teacher(model, PreTrainedTokenizerFast(tokenizer_object=words), count, plain_head=True)


def argmax_errors(teacher: Teacher) -> int:
    """Positions of 8 random rows of 16 ids at which the teacher's most likely token is not the input id."""
    source = torch.Generator().manual_seed(0)
    ids = torch.randint(0, _VOCABULARY, (8, 16), generator=source)
    return int((teacher.logits(ids).argmax(dim=-1).cpu() != ids).sum())
