"""Rules about GGUF files: what llama.cpp takes for granted where they say nothing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from refute.engines.model.generations.portable import identities
from refute.engines.model.gguf import metadata, open_gguf
from refute.engines.model.tools.lint.rule import Rule
from refute.engines.model.tools.lint.tokenizer import TURN_ENDS
from refute.engines.model.tools.stored import StoredModel

_NORMAL, _CONTROL = 1, 3  # llama.cpp's token types
_MARKER = re.compile(r"<\|[\w-]+\|>|</?s>|<(bos|eos|pad|unk|start_of_turn|end_of_turn)>")
# As the hub finds the label in a file's name.
_LABEL = re.compile(r"(?:^|[.-])(?P<label>(?:I?Q\d\w*|TQ\d\w*)|BF16|F16|F32|FP16)(?=\.gguf$|[.-])", re.IGNORECASE)
_LEAST_SHARE = 0.5
_COARSE = frozenset({"Q2_K", "Q3_K", "Q4_0", "Q4_1", "IQ4_XS", "IQ4_NL"})


def _list(stored: StoredModel, key: str) -> list[Any]:
    found = metadata(open_gguf(stored.path), f"tokenizer.ggml.{key}")
    return found if isinstance(found, list) else []


def _setting(stored: StoredModel, key: str) -> Any:
    return stored.settings.get(f"tokenizer.ggml.{key}")


def _splitting(stored: StoredModel) -> Iterator[str]:
    if _setting(stored, "model") == "gpt2" and _setting(stored, "pre") in (None, "default"):
        yield f"tokenizer.ggml.pre is {_setting(stored, 'pre')!r}: llama.cpp splits text another way"


def _types(stored: StoredModel) -> Iterator[str]:
    """Control tokens that are marked as text: a prompt's markers become letters."""
    pairs = zip(_list(stored, "tokens"), _list(stored, "token_type"), strict=False)
    wrong = [token for token, kind in pairs if kind == _NORMAL and _MARKER.fullmatch(str(token))]
    if wrong:
        yield f"{len(wrong)} control tokens have the type of text, such as {wrong[0]!r}"
    if not _list(stored, "token_type"):
        yield "no token types: every control token is text"


def _ends(stored: StoredModel) -> Iterator[str]:
    tokens, end = _list(stored, "tokens"), _setting(stored, "eos_token_id")
    if not isinstance(end, int) or not 0 <= end < len(tokens):
        yield f"tokenizer.ggml.eos_token_id is {end}, and there are {len(tokens)} tokens"
        return
    template = str(stored.settings.get("tokenizer.chat_template") or "")
    stops = {tokens[number] for key in ("eos", "eot") if isinstance(number := _setting(stored, f"{key}_token_id"), int)}
    written = [token for token in TURN_ENDS if token in template]
    if written and not stops & set(written):
        yield f"the template ends a turn with {written[0]}, the file stops at {sorted(stops)}"


def _template(stored: StoredModel) -> Iterator[str]:
    if not stored.settings.get("tokenizer.chat_template"):
        yield "no chat template: llama.cpp takes ChatML, without the system prompt"


def _identity(stored: StoredModel) -> Iterator[str]:
    template = str(stored.settings.get("tokenizer.chat_template") or "")
    yield from (f"the chat template says {claim!r}" for claim in identities(template))


def _two_beginnings(stored: StoredModel) -> Iterator[str]:
    template = str(stored.settings.get("tokenizer.chat_template") or "")
    if _setting(stored, "add_bos_token") and "bos_token" in template:
        yield "add_bos_token, and the chat template writes it too: a prompt begins with two"


def _vocabulary(stored: StoredModel) -> Iterator[str]:
    embedding, tokens = stored.tensors.get("token_embd.weight"), len(_list(stored, "tokens"))
    if embedding is not None and embedding.shape[0] != tokens:
        yield f"{tokens} tokens, and token_embd.weight has {embedding.shape[0]} rows"


def _layers(stored: StoredModel) -> Iterator[str]:
    stated = stored.settings.get(f"{stored.architecture}.block_count")
    found = {name.split(".")[1] for name in stored.tensors if name.startswith("blk.")}
    if stated != len(found):
        yield f"block_count is {stated}, the file holds {len(found)} layers"


def _norms(stored: StoredModel) -> Iterator[str]:
    for name, tensor in stored.tensors.items():
        if "norm" in name and tensor.dtype != "F32":
            yield f"{name} is {tensor.dtype}: norms stay F32"


def _embedding(stored: StoredModel) -> Iterator[str]:
    for name in ("output.weight", "token_embd.weight"):
        if (tensor := stored.tensors.get(name)) is not None and tensor.dtype in _COARSE and _is_head(stored, name):
            yield f"{name}, which is the head, is {tensor.dtype}"


def _is_head(stored: StoredModel, name: str) -> bool:
    return name == "output.weight" or "output.weight" not in stored.tensors


def _label(stored: StoredModel) -> Iterator[str]:
    """What most numbers are stored as, against what the name promises: K-quants need rows of a multiple of 256."""
    found = _LABEL.search(stored.path.name)
    if found is None:
        yield f"{stored.path.name} has no label that the hub finds, such as NAME.Q8_0.gguf"
        return
    kind = found["label"].upper().replace("FP16", "F16").split("_")[0]
    share = sum(count for name, count in stored.dtypes.items() if name.startswith(kind)) / max(stored.parameters, 1)
    if share < _LEAST_SHARE:
        bits = 8 * stored.size / max(stored.parameters, 1)
        yield f"{share:.0%} of the numbers are {found['label']}, the rest fell back: {bits:.1f} bits a weight"


def _beside_config(stored: StoredModel) -> Iterator[str]:
    """What the file says of itself against the config.json beside it, which was converted: no logit of one text shows
    how long others may be, and a coarse file hides a rope base behind its rounding."""
    config = stored.path.parent / "config.json"
    if not config.is_file():
        return
    said: dict[str, Any] = json.loads(config.read_text(encoding="utf-8"))
    rope: Any = said.get("rope_parameters") or {}
    known = {name: said.get(key) for name, key in _CONFIG_NAMES.items()}
    known["rope.freq_base"] = rope.get("rope_theta", said.get("rope_theta"))
    for name, wanted in known.items():
        found = stored.settings.get(f"{stored.architecture}.{name}")
        allowed = (wanted, said.get("sliding_window")) if name == "context_length" else (wanted,)
        if None not in (found, wanted) and not any(_alike(found, each) for each in allowed):
            yield f"{name} is {found}, and {wanted} in the config.json beside it"


def _alike(found: Any, wanted: Any) -> bool:
    """Equal as far as a float of four bytes tells."""
    return isinstance(wanted, int | float) and math.isclose(float(found), float(wanted), rel_tol=1e-6)


_CONFIG_NAMES = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
_AGAIN = "convert it once more with `refute model export`"
_GGUF = ("gguf",)
RULES = (
    Rule("gguf/splitting", "error", "tokenizer", _AGAIN, _splitting, _GGUF),
    Rule("gguf/token-types", "error", "tokenizer", _AGAIN, _types, _GGUF),
    Rule("gguf/end", "error", "tokenizer", "state eos_token_id and eot_token_id", _ends, _GGUF),
    Rule("gguf/two-beginnings", "error", "tokenizer", "set add_bos_token to false", _two_beginnings, _GGUF),
    Rule("gguf/vocabulary", "error", "structure", _AGAIN, _vocabulary, _GGUF),
    Rule("gguf/layers", "error", "structure", _AGAIN, _layers, _GGUF),
    Rule("gguf/config", "error", "structure", _AGAIN, _beside_config, _GGUF),
    Rule("gguf/norms", "warn", "structure", _AGAIN, _norms, _GGUF),
    Rule("gguf/head", "warn", "structure", "keep the head at Q8_0 or Q6_K", _embedding, _GGUF),
    Rule("gguf/label", "warn", "identity", "name it by what most of it is: NAME.Q8_0.gguf", _label, _GGUF),
    Rule("gguf/template-missing", "error", "tokenizer", _AGAIN, _template, _GGUF),
    Rule("gguf/identity", "warn", "identity", "take name and maker out of the default system prompt", _identity, _GGUF),
)
