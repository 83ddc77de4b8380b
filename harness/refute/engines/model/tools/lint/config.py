"""Rules about config.json and generation_config.json: against the tensors, and as two generations read them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import CONFIG_MAPPING

from refute.engines.model.generations.portable import CONFIG, GENERATION, LOCAL_KEYS, TOKENIZER, shortest
from refute.engines.model.tools.lint.rule import Rule
from refute.engines.model.tools.stored import StoredModel, Tensor

_STORED = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")
_UP = re.compile(r"mlp\.up_proj\.weight$")
_EMBEDDING, _HEAD = re.compile(r"(^|\.)embed_tokens\.weight$"), re.compile(r"(^|\.)lm_head\.weight$")


def _shapes(stored: StoredModel) -> Iterator[str]:
    """What config.json says of sizes, against the tensors."""
    for what, stated, found in _sizes(stored):
        if stated is not None and found is not None and stated != found:
            yield f"{CONFIG} says {what} = {stated}, the tensors say {found}"


def _sizes(stored: StoredModel) -> Iterator[tuple[str, Any, Any]]:
    config = stored.settings
    layers = {int(found[1]) for name in stored.tensors if (found := _LAYER.search(name))}
    yield "num_hidden_layers", config.get("num_hidden_layers"), len(layers) if layers else None
    rows, hidden = _shape(stored, _EMBEDDING, 2)
    yield "vocab_size", config.get("vocab_size"), rows
    yield "hidden_size", config.get("hidden_size"), hidden
    heads = config.get("num_attention_heads")
    width = config.get("head_dim") or (config["hidden_size"] // heads if heads and "hidden_size" in config else None)
    if width:
        queries, keys = (_shape(stored, re.compile(rf"\.{part}_proj\.weight$"), 2)[0] for part in "qk")
        yield "num_attention_heads", heads, None if queries is None else queries / width
        yield "num_key_value_heads", config.get("num_key_value_heads", heads), None if keys is None else keys / width
    yield "intermediate_size", config.get("intermediate_size"), _shape(stored, _UP, 2)[0]


def _shape(stored: StoredModel, name: re.Pattern[str], axes: int) -> tuple[Any, ...]:
    """Of the first such tensor; Nones where there is none."""
    found = next((tensor.shape for each, tensor in stored.tensors.items() if name.search(each)), None)
    return found if found is not None and len(found) == axes else (None,) * axes


def _tied(stored: StoredModel) -> Iterator[str]:
    heads = [tensor for name, tensor in stored.tensors.items() if _HEAD.search(name)]
    tied = stored.settings.get("tie_word_embeddings")
    if not heads and not tied:
        yield f"tie_word_embeddings is {json.dumps(tied)}, and no tensor is the head"
    embeddings = [tensor for name, tensor in stored.tensors.items() if _EMBEDDING.search(name)]
    pairs = zip(heads, embeddings, strict=False) if tied else ()
    if any(not np.array_equal(_bytes(head), _bytes(embedding)) for head, embedding in pairs):
        yield "tie_word_embeddings is true, and the files hold a head that is not the embedding"


def _bytes(tensor: Tensor) -> NDArray[np.uint8]:
    return np.memmap(tensor.file, np.uint8, "r", tensor.offset, (tensor.size,))


def _dtype(stored: StoredModel) -> Iterator[str]:
    config = stored.settings
    kinds = {_STORED.get(name, name) for name in stored.dtypes}
    for key in ("dtype", "torch_dtype"):
        if key in config and config[key] not in kinds:
            yield f"{key} is {config[key]}, stored is {', '.join(sorted(kinds))}"


def _spelt_dtype(stored: StoredModel) -> Iterator[str]:
    config = stored.settings
    if config.get("dtype") != config.get("torch_dtype"):
        yield f"dtype is {config.get('dtype')}, torch_dtype {config.get('torch_dtype')}: each generation reads its own"


def _rope(stored: StoredModel) -> Iterator[str]:
    """transformers 5 reads rope_parameters, 4 rope_theta and rope_scaling, each without a word about the other."""
    config = stored.settings
    newer = config.get("rope_parameters")
    if not isinstance(newer, dict) or "rope_theta" not in newer:
        return
    if config.get("rope_theta") != newer["rope_theta"]:
        yield f"rope_parameters has base {newer['rope_theta']:g}, rope_theta is {config.get('rope_theta')}"
    kind, scaling = newer.get("rope_type", "default"), config.get("rope_scaling") or {}
    older = scaling.get("rope_type", scaling.get("type", "default"))
    if kind != older or (kind != "default" and any(newer.get(key) != scaling[key] for key in scaling if key != "type")):
        yield f"rope_parameters scales by {kind!r}, rope_scaling by {older!r}"


def _local(stored: StoredModel) -> Iterator[str]:
    for name in (CONFIG, GENERATION, TOKENIZER):
        if local := sorted(LOCAL_KEYS & stored.json(name).keys()):
            yield f"{name} holds {', '.join(local)}: where it was read, not what it is"


def _floats(stored: StoredModel) -> Iterator[str]:
    for key, value in stored.settings.items():
        if isinstance(value, float) and shortest(value) != value:
            yield f"{key} is {value!r}, the float32 of {shortest(value)!r}"


def _quantised(stored: StoredModel) -> Iterator[str]:
    if "quantization_config" in stored.settings and stored.dtypes.keys() <= {"F32", "F16", "BF16"}:
        yield "quantization_config, and no tensor is quantised"


def _architecture(stored: StoredModel) -> Iterator[str]:
    for key in ("architectures", "model_type"):
        if not stored.settings.get(key):
            yield f"{CONFIG} has no {key}"
    kind = stored.settings.get("model_type")
    if kind and kind not in CONFIG_MAPPING and "auto_map" not in stored.settings:
        yield f"model_type {kind!r} is none that transformers has, and the folder brings no code for it"


def _remote_code(stored: StoredModel) -> Iterator[str]:
    for name in (CONFIG, GENERATION, TOKENIZER):
        if "auto_map" in stored.json(name):
            yield f"{name} has an auto_map: it is opened by code of the folder"


def _sampling(stored: StoredModel) -> Iterator[str]:
    """What `GenerationConfig.save_pretrained` refuses, so that nobody can save the model again."""
    generation = stored.json(GENERATION)
    if not generation.get("do_sample", False):
        given = [key for key in ("temperature", "top_p", "top_k") if generation.get(key) not in (None, 1.0, 50)]
        if given:
            yield f"{GENERATION} sets {', '.join(given)} and does not sample: such a file cannot be saved again"


RULES = (
    Rule("config/shapes", "error", "structure", "save config and weights once more, together", _shapes),
    Rule("config/tied-head", "error", "structure", "set tie_word_embeddings to what the tensors are", _tied),
    Rule("config/dtype", "error", "structure", "state the dtype that is stored", _dtype),
    Rule("config/dtype-spelling", "warn", "structure", "write dtype and torch_dtype", _spelt_dtype),
    Rule(
        "config/rope-spelling",
        "error",
        "structure",
        "write rope_theta and rope_scaling, too: `refute model export` does",
        _rope,
    ),
    Rule("config/quantization", "error", "structure", "take quantization_config out", _quantised),
    Rule("config/architecture", "error", "identity", "save the config of the model's own class", _architecture),
    Rule(
        "config/remote-code",
        "error",
        "identity",
        "take an architecture that the library has",
        _remote_code,
    ),
    Rule("config/sampling", "error", "structure", "set do_sample, or leave the sampling settings out", _sampling),
    Rule("config/local-keys", "warn", "identity", "take them out", _local),
    Rule("config/long-floats", "info", "structure", "write the shortest number that is the same float32", _floats),
)
