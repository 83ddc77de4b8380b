"""Random models of known architectures, of a few thousand parameters, as Hugging Face folders and as GGUF files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from refute.spec.release import GgufModel, HfModel, Source

_SIZES = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
}


_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 3.0,
    "original_max_position_embeddings": 32,
}
# What each kind is built from, and what it needs to show what is its own.
KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "llama3": (LlamaForCausalLM, LlamaConfig, {"rope_parameters": _LLAMA3}),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": 4, "head_dim": 8}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    # The width of heads that transformers takes for granted in GGUF files of this kind.
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 128}),
}


@dataclass(frozen=True)
class Workshop:
    """Builds models below one folder."""

    root: Path
    tokenizer: PreTrainedTokenizerFast
    gguf_source = GgufModel(format="gguf", source=Source(path="model.gguf", sha256="0" * 64))
    hf_source = HfModel(format="hf", path="model")

    def model(self, kind: str, *, tied: bool = True) -> PreTrainedModel:
        """Weights large enough that every part, biases and norms included, shows in the logits."""
        torch.manual_seed(17)
        build, config, own = KINDS[kind]
        special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
        model = build(config(**(_SIZES | own), tie_word_embeddings=tied, **special))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.normal_(1.0 if "norm" in name else 0.0, 0.15)
        return model.eval()

    def folder(self, model: PreTrainedModel) -> Path:
        """A Hugging Face folder with tokenizer."""
        model.save_pretrained(self.root / "hf")
        self.tokenizer.save_pretrained(self.root / "hf")
        return self.root / "hf"

    def gguf_file(
        self,
        model: PreTrainedModel,
        *,
        block_format: str = "F32",
        architecture: str | None = None,
        begins: bool | None = None,
    ) -> Path:
        """The model as llama.cpp's converter writes it: llama's q and k permuted, matrices in `block_format`.

        `begins`: whether the file says that a text begins with a token.
        """
        config, kind = model.config, model.config.model_type
        writer = gguf.GGUFWriter(self.root / "model.gguf", architecture or kind)
        writer.add_block_count(config.num_hidden_layers)
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_key_length(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_vocab_size(config.vocab_size)
        self._describe_tokens(writer)
        if begins is not None:
            writer.add_add_bos_token(begins)
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[kind.upper()], config.num_hidden_layers)
        wanted = gguf.GGMLQuantizationType[block_format]
        for name, tensor in model.state_dict().items():
            if name == "lm_head.weight" and config.tie_word_embeddings:
                continue
            data = tensor.numpy()
            if kind == "llama" and ("q_proj" in name or "k_proj" in name):
                heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
                data = data.reshape(heads, 2, -1, data.shape[-1]).swapaxes(1, 2).reshape(data.shape)
            module, _, suffix = name.rpartition(".")
            blocks = gguf.GGMLQuantizationType.F32 if data.ndim == 1 else wanted
            stored = gguf.quants.quantize(np.ascontiguousarray(data), blocks)
            writer.add_tensor(f"{names.get_name(module)}.{suffix}", stored, raw_dtype=blocks)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return self.root / "model.gguf"

    def _describe_tokens(self, writer: gguf.GGUFWriter) -> None:
        model = json.loads(self.tokenizer.backend_tokenizer.to_str())["model"]
        tokens = sorted(model["vocab"], key=model["vocab"].get)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(tokens)
        writer.add_token_types([3] + [1] * (len(tokens) - 1))
        writer.add_token_merges([" ".join(rule) for rule in model["merges"]])
        for add in (writer.add_eos_token_id, writer.add_bos_token_id, writer.add_pad_token_id):
            add(0)


@pytest.fixture
def workshop(tmp_path: Path, tiny_tokenizer: PreTrainedTokenizerFast, one_thread: None) -> Workshop:
    """A workshop in a fresh folder."""
    return Workshop(tmp_path, tiny_tokenizer)
