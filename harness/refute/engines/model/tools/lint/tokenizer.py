"""Rules about a folder's tokenizer, its special tokens and its chat template."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from refute.engines.model.generations.portable import CONFIG, GENERAL_CLASS, GENERATION, TEMPLATE, TOKENIZER, identities
from refute.engines.model.tools.lint.rule import Rule
from refute.engines.model.tools.stored import StoredModel

_FILE = "tokenizer.json"
# How templates end a turn; of those that a template writes, one must stop the model.
TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|end_of_turn|>", "</s>", "<|endoftext|>")


def _class(stored: StoredModel) -> Iterator[str]:
    stated = stored.json(TOKENIZER)
    name, inputs = stated.get("tokenizer_class"), stated.get("model_input_names", ["token_type_ids"])
    if name == "TokenizersBackend":
        yield f"tokenizer_class is {name}, which transformers 4 cannot load"
    if name == GENERAL_CLASS and "token_type_ids" in inputs:
        yield f"model_input_names do not keep transformers 4 from making token_type_ids, which {name} does by itself"


def _length(stored: StoredModel) -> Iterator[str]:
    length, context = stored.json(TOKENIZER).get("model_max_length"), stored.settings.get("max_position_embeddings")
    if context is not None and length != context:
        yield f"model_max_length is {length}, the model has {context} positions"


def _template_places(stored: StoredModel) -> Iterator[str]:
    own = stored.path / TEMPLATE
    there = stored.json(TOKENIZER).get("chat_template")
    if own.is_file() != isinstance(there, str):
        yield f"the chat template is only in {TEMPLATE if own.is_file() else TOKENIZER}"
    elif own.is_file() and own.read_text(encoding="utf-8") != there:
        yield f"{TEMPLATE} and {TOKENIZER} hold different chat templates"


def template_of(stored: StoredModel) -> str:
    """The chat template of a folder; empty where it has none."""
    own = stored.path / TEMPLATE
    return own.read_text(encoding="utf-8") if own.is_file() else str(stored.json(TOKENIZER).get("chat_template") or "")


def _template_missing(stored: StoredModel) -> Iterator[str]:
    if not template_of(stored):
        yield "no chat template: who chats with it gets another model's"


def _identity(stored: StoredModel) -> Iterator[str]:
    yield from (f"the chat template says {claim!r}" for claim in identities(template_of(stored)))


def _two_beginnings(stored: StoredModel) -> Iterator[str]:
    settings, template = stored.json(TOKENIZER), template_of(stored)
    begin = _content(settings.get("bos_token"))
    spelt = "bos_token" in template or (begin is not None and begin in template.split("{%")[0])
    if spelt and settings.get("add_bos_token"):
        yield f"add_bos_token, and the chat template writes {begin} too: a prompt begins with two"


def _ends(stored: StoredModel) -> Iterator[str]:
    """The ids at which config, generation_config and tokenizer say that a text ends."""
    own = _added(stored).get(_content(stored.json(TOKENIZER).get("eos_token")) or "")
    stated = {name: _ids(stored.json(name).get("eos_token_id")) for name in (CONFIG, GENERATION)}
    for name, ids in stated.items():
        if ids and own is not None and own not in ids:
            yield f"{name} ends a text at {sorted(ids)}, the tokenizer at {own}"
    if not any(stated.values()) and own is None:
        yield "no end of text is stated anywhere"


def _turn_end(stored: StoredModel) -> Iterator[str]:
    template, numbers = template_of(stored), _added(stored)
    written = [token for token in TURN_ENDS if token in template]
    if not written:
        return
    stops = _ids(stored.json(GENERATION).get("eos_token_id")) or _ids(stored.settings.get("eos_token_id"))
    stops |= {numbers[end]} if (end := _content(stored.json(TOKENIZER).get("eos_token"))) in numbers else set()
    if not any(numbers.get(token) in stops for token in written):
        yield f"the template ends a turn with {written[0]}, at which nothing stops (ids {sorted(stops)})"


def _vocabulary(stored: StoredModel) -> Iterator[str]:
    rows = stored.settings.get("vocab_size")
    highest = max([*_base(stored).values(), *_added(stored).values()], default=-1)
    if isinstance(rows, int) and highest >= rows:
        yield f"the tokenizer has id {highest}, the model {rows} rows"


def _older_files(stored: StoredModel) -> Iterator[str]:
    """vocab.json and merges.txt are read by older readers alone, and must say the same."""
    vocabulary, merges = stored.path / "vocab.json", stored.path / "merges.txt"
    if vocabulary.is_file() and json.loads(vocabulary.read_text(encoding="utf-8")) != _base(stored):
        yield "vocab.json is not the vocabulary of tokenizer.json"
    if merges.is_file():
        lines = merges.read_text(encoding="utf-8").splitlines()
        ours = [" ".join(each) if isinstance(each, list) else each for each in _model(stored).get("merges", [])]
        if [line for line in lines if line and not line.startswith("#version")] != ours:
            yield "merges.txt holds other merges than tokenizer.json"


def _trimmed(stored: StoredModel) -> Iterator[str]:
    for key in ("truncation", "padding"):
        if found := stored.json(_FILE).get(key):
            yield f"tokenizer.json has {key} {found}: whoever reads that file alone gets other texts than were given"


def _unsafe_template(stored: StoredModel) -> Iterator[str]:
    for found in re.finditer(r"__\w+__|\bimport\s+os\b|\|\s*attr\s*\(", template_of(stored)):
        yield f"the chat template reaches for {found[0]!r}, which no conversation needs"


def _model(stored: StoredModel) -> dict[str, Any]:
    found = stored.json(_FILE).get("model", {})
    return found if isinstance(found, dict) else {}


def _base(stored: StoredModel) -> dict[str, int]:
    found = _model(stored).get("vocab", {})
    return found if isinstance(found, dict) else {token: number for number, (token, _) in enumerate(found)}


def _added(stored: StoredModel) -> dict[str, int]:
    """Added tokens of tokenizer.json by their text, and the base's where none is added."""
    return _base(stored) | {each["content"]: each["id"] for each in stored.json(_FILE).get("added_tokens", [])}


def _content(token: Any) -> str | None:
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None


def _ids(stated: Any) -> set[int]:
    return set(stated) if isinstance(stated, list) else {stated} if isinstance(stated, int) else set()


_ONE_TEMPLATE = "write one template into both places"
RULES = (
    Rule(
        "tokenizer/class",
        "error",
        "tokenizer",
        "set it to PreTrainedTokenizerFast, and model_input_names to input_ids and attention_mask",
        _class,
    ),
    Rule(
        "tokenizer/vocabulary",
        "error",
        "tokenizer",
        "resize neither alone: take the tokenizer of the model",
        _vocabulary,
    ),
    Rule("tokenizer/end", "error", "tokenizer", "state one end of text in all three files", _ends),
    Rule("tokenizer/turn-end", "error", "tokenizer", "add its id to eos_token_id in generation_config.json", _turn_end),
    Rule("tokenizer/two-beginnings", "error", "tokenizer", "set add_bos_token to false", _two_beginnings),
    Rule("tokenizer/template-places", "error", "tokenizer", _ONE_TEMPLATE, _template_places),
    Rule("tokenizer/template-code", "error", "tokenizer", "take a template that only renders", _unsafe_template),
    Rule(
        "tokenizer/older-files", "error", "tokenizer", "write them from tokenizer.json, or leave them out", _older_files
    ),
    Rule("tokenizer/trimmed", "error", "tokenizer", "save it without truncation and padding", _trimmed),
    Rule("tokenizer/template-missing", "warn", "tokenizer", "add chat_template.jinja", _template_missing),
    Rule("tokenizer/length", "warn", "tokenizer", "set it to max_position_embeddings", _length),
    Rule("tokenizer/identity", "warn", "identity", "take name and maker out of the default system prompt", _identity),
)
