"""Identifies a model: digests of weights, token list, merges and chat template, and its sizes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from transformers import PreTrainedTokenizerFast

from refute.engines.model.folder import weights_sha256
from refute.engines.model.forward.hf_weights import read_config, weight_files
from refute.engines.model.gguf import metadata, open_gguf
from refute.engines.model.text_splitting import BLANK
from refute.engines.model.tokenizer import open_tokenizer
from refute.errors import MissingInputsError
from refute.spec.experiments.evidence.distill import ModelIdentity
from refute.spec.release import GgufModel, ModelSource


@dataclass(frozen=True, slots=True)
class StoredFacts:
    """What the files themselves say; None where only the tokenizer built from them can tell."""

    parameters: int
    vocab_rows: int
    hidden_size: int
    layers: int
    tokens: list[str | None] | None = None
    merges: list[str] | None = None


def describe_model(model: ModelSource, path: Path) -> tuple[ModelIdentity, list[str | None]]:
    """Identity and token list of the GGUF file or Hugging Face folder at `path`, of any architecture.

    Raises MissingInputsError for a file that is not whole or does not state its sizes, and what
    open_tokenizer raises. Loads no weights.
    """
    facts = stored_facts(model, path)
    tokenizer = open_tokenizer(model, path)
    tokens = one_spelling(without_padding(token_list(tokenizer) if facts.tokens is None else facts.tokens))
    merges = merge_rules(tokenizer) if facts.merges is None else [rule.split(" ") for rule in facts.merges]
    template = tokenizer.chat_template
    identity = ModelIdentity(
        sha256=weights_sha256(path),
        parameters=facts.parameters,
        vocab_rows=facts.vocab_rows,
        hidden_size=facts.hidden_size,
        layers=facts.layers,
        tokens=len(tokens),
        tokens_sha256=json_sha256(tokens),
        merges_sha256=json_sha256(merges),
        special_tokens={name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad", "unk")},
        chat_template_sha256=None if template is None else json_sha256(template),
    )
    return identity, tokens


def stored_facts(model: ModelSource, path: Path) -> StoredFacts:
    """Sizes of the model at `path`, from its headers: no weights are read. Raises as `describe_model` does."""
    return _gguf_facts(path) if isinstance(model, GgufModel) else _folder_facts(path)


def token_list(tokenizer: PreTrainedTokenizerFast) -> list[str | None]:
    """Every token at its id, added and special ones included; None where no token has the id."""
    by_id = {number: token for token, number in tokenizer.get_vocab().items()}
    return [by_id.get(number) for number in range(max(by_id, default=-1) + 1)]


def without_padding(tokens: Sequence[str | None]) -> list[str | None]:
    """The list without the `[PAD<id>]` entries at its end, with which GGUF fills up the embedding's rows."""
    end = len(tokens)
    while end and tokens[end - 1] in (None, f"[PAD{end - 1}]"):
        end -= 1
    return list(tokens[:end])


def one_spelling(tokens: Sequence[str | None]) -> list[str | None]:
    """The list with blanks as SentencePiece marks them: GGUF files of gemma spell runs of them as they are."""
    return [None if token is None else token.replace(" ", BLANK) for token in tokens]


def merge_rules(tokenizer: PreTrainedTokenizerFast) -> object:
    """How tokens are put together: BPE's merges in order, else the model's own vocabulary with its scores."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    if "merges" not in model:
        return [model.get("type"), model.get("vocab")]
    # Two spellings of one rule are in use: "a b" and ["a", "b"].
    return [rule.split(" ") if isinstance(rule, str) else rule for rule in model["merges"]]


def first_difference(left: Sequence[str | None], right: Sequence[str | None]) -> int | None:
    """The first id at which two token lists differ, the shorter one's end included; None if equal."""
    for number, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return number
    return None if len(left) == len(right) else min(len(left), len(right))


def json_sha256(content: object) -> str:
    """SHA-256 of JSON data. Escaped to ASCII: newlines and lone surrogates in tokens stay unambiguous."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _gguf_facts(path: Path) -> StoredFacts:
    reader = open_gguf(path)
    architecture = metadata(reader, "general.architecture")
    shapes = {tensor.name: [int(size) for size in tensor.shape] for tensor in reader.tensors}
    # Read from the file: transformers' conversion adds tokens that a file lacks, such as <|endoftext|>.
    tokens, merges = (metadata(reader, f"tokenizer.ggml.{name}") for name in ("tokens", "merges"))
    return StoredFacts(
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        # GGUF names the fastest axis first, so the rows come last.
        vocab_rows=_whole(path, shapes.get("token_embd.weight", [0])[-1], "rows of token_embd.weight"),
        hidden_size=_whole(path, metadata(reader, f"{architecture}.embedding_length"), "embedding_length"),
        layers=_whole(path, metadata(reader, f"{architecture}.block_count"), "block_count"),
        tokens=tokens if isinstance(tokens, list) else None,
        merges=merges if isinstance(merges, list) else None,
    )


def _folder_facts(folder: Path) -> StoredFacts:
    config = read_config(folder)
    shapes: dict[str, list[int]] = {}
    for file in weight_files(folder):
        with safe_open(file, framework="np") as stored:
            shapes |= {name: stored.get_slice(name).get_shape() for name in stored.keys()}  # noqa: SIM118
    if config.get("tie_word_embeddings", False):
        shapes.pop("lm_head.weight", None)
    return StoredFacts(
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        vocab_rows=_whole(folder, config.get("vocab_size"), "vocab_size"),
        hidden_size=_whole(folder, config.get("hidden_size"), "hidden_size"),
        layers=_whole(folder, config.get("num_hidden_layers"), "num_hidden_layers"),
    )


def _whole(path: Path, value: object, key: str) -> int:
    if not isinstance(value, int) or value <= 0:
        raise MissingInputsError(f"{path}: {key} is {value!r}, expected a whole number above 0")
    return value
