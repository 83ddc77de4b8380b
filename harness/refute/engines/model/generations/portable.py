"""A model's small files as both generations of transformers read them: 5.x, which writes them, and 4.x.

transformers 5 writes `rope_parameters`, which 4.57 does not know: it loads such a model without a word at rope base
10,000. `TokenizersBackend` it does not load at all, and a template that is only in chat_template.jinja some servers
miss.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from refute.errors import MissingInputsError

CONFIG, GENERATION, TOKENIZER, TEMPLATE = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
# How 4.x spells what 5.x has in `rope_parameters` and `dtype`.
_OLDER = ("rope_theta", "rope_scaling", "partial_rotary_factor", "torch_dtype")
# What says where and how a file was read here, and nothing of the model.
LOCAL_KEYS = frozenset(
    {
        *("_name_or_path", "_model_name_or_path", "name_or_path", "_commit_hash", "_from_model_config"),
        *("is_local", "local_files_only", "gguf_file"),
    }
)
_LONGEST_CONTEXT = 10**9  # what a tokenizer says that does not know one: 1e30
_MODE = 0o644
GENERAL_CLASS = (
    "PreTrainedTokenizerFast"  # the tokenizer class that both generations know, of whatever is in tokenizer.json
)
# The name and the maker in a default system prompt: "... named SmolLM, trained by Hugging Face", "You are Qwen,
# created by Alibaba Cloud. You are ...", and what takes their place.
_NAME = r"[A-Z][\w&-]*(?:\.\w+)*(?: [A-Z0-9][\w&-]*(?:\.\w+)*)*"
_MADE_BY = rf",? (?:trained|created|developed|made|built|designed) by {_NAME}"
_IDENTITIES = (
    (re.compile(rf"You are {_NAME}{_MADE_BY}\. (?=You )"), ""),
    (re.compile(rf"You are {_NAME}{_MADE_BY}"), "You are a helpful assistant"),
    (re.compile(rf",? (?:named|called) {_NAME}(?:{_MADE_BY})?"), ""),
    (re.compile(_MADE_BY), ""),
)


def make_portable(folder: Path) -> None:
    """Rewrite the small files of a whole model: those that `save_pretrained` has just written, or that were copied.

    config.json gets both spellings and shortest numbers, tokenizer_config.json a class, a length and the template that
    both generations read; keys about this machine go. Twice is as once. Raises MissingInputsError for a file that
    holds no JSON object.
    """
    config = _read(folder / CONFIG)
    _write(folder / CONFIG, portable_config(_shortest(config), config))
    _make_generation_portable(folder)
    if (folder / TOKENIZER).is_file():
        given = _read(folder / TOKENIZER)
        template = chat_template(folder)
        _write(folder / TOKENIZER, _portable_tokenizer(given, config))
        if template is not None:
            _put_template(folder, template)
    _make_readable(folder)


def chat_template(folder: Path) -> str | None:
    """The template that a folder states: chat_template.jinja, else the one of tokenizer_config.json."""
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text(encoding="utf-8")
    found = _read(folder / TOKENIZER).get("chat_template") if (folder / TOKENIZER).is_file() else None
    return found if isinstance(found, str) else None


def drop_identity(folder: Path) -> None:
    """Take name and maker out of the default system prompt of a template: a teacher's are not its student's."""
    template = chat_template(folder)
    if template is not None:
        _put_template(folder, without_identity(template))


def _put_template(folder: Path, template: str) -> None:
    """In both places: servers of the older generation look into tokenizer_config.json alone."""
    _write_text(folder / TEMPLATE, template)
    if (folder / TOKENIZER).is_file():
        _write(folder / TOKENIZER, {**_read(folder / TOKENIZER), "chat_template": template})


def make_config_portable(folder: Path, *, like: Path) -> None:
    """Give the config of a trained model both spellings, the older one as the init in folder `like` has it.

    Its other files are copies of its init's. Raises MissingInputsError for a file that holds no JSON object.
    """
    init = _read(like / CONFIG) if (like / CONFIG).is_file() else {}
    _write(folder / CONFIG, portable_config(_read(folder / CONFIG), init))
    _make_generation_portable(folder)
    _make_readable(folder)


def _make_generation_portable(folder: Path) -> None:
    """Take out of generation_config.json, where there is one, what is about this machine."""
    if (folder / GENERATION).is_file():
        _write(folder / GENERATION, _without_local(_read(folder / GENERATION)))


def _make_readable(folder: Path) -> None:
    """Files that everybody may read, whatever the library that wrote them thinks: 0644."""
    for path in folder.iterdir():
        if path.is_file() and not path.is_symlink():
            path.chmod(_MODE)


def portable_config(config: Mapping[str, Any], init: Mapping[str, Any]) -> dict[str, Any]:
    """`config` in both spellings; where `init`, from which it was made, has one in the older way, that is kept."""
    found = _without_local(config)
    rope = found.get("rope_parameters")
    if isinstance(rope, dict) and "rope_theta" in rope:
        found["rope_theta"] = rope["rope_theta"]
        if "partial_rotary_factor" in rope:
            found["partial_rotary_factor"] = rope["partial_rotary_factor"]
        if rope.get("rope_type", "default") != "default":
            found["rope_scaling"] = {key: value for key, value in rope.items() if key != "rope_theta"}
    if "dtype" in found:
        found["torch_dtype"] = found["dtype"]
    return found | {key: init[key] for key in _OLDER[:3] if key in init and init[key] is not None}


def without_identity(template: str) -> str:
    """A chat template that claims no name and no maker: those of its teacher are not the student's."""
    for identity, neutral in _IDENTITIES:
        template = identity.sub(neutral, template)
    return template


def identities(template: str) -> list[str]:
    """The names and makers that a chat template claims."""
    found = []
    for identity, neutral in _IDENTITIES:
        found += [each[0].strip(" ,") for each in identity.finditer(template)]
        template = identity.sub(neutral, template)
    return found


def _portable_tokenizer(given: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    found = _without_local(given)
    if found.get("tokenizer_class") == "TokenizersBackend":
        found["tokenizer_class"] = GENERAL_CLASS
    if found.get("tokenizer_class") == GENERAL_CLASS:
        # Else 4.x makes `token_type_ids`, too, which no causal model takes: `generate(**inputs)` raises.
        found.setdefault("model_input_names", ["input_ids", "attention_mask"])
    extra = found.get("extra_special_tokens")
    if isinstance(extra, list):  # in 4.x a mapping has this name, and the list another
        del found["extra_special_tokens"]
        found |= {"additional_special_tokens": extra} if extra else {}
    context, length = config.get("max_position_embeddings"), found.get("model_max_length")
    if isinstance(context, int) and (not isinstance(length, int | float) or length > _LONGEST_CONTEXT):
        found["model_max_length"] = context
    return found


def _without_local(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in LOCAL_KEYS}


def _shortest(content: Any) -> Any:
    """JSON data in which numbers that were float32 are as short as float32 needs: 1e-05, not 9.999999747378752e-06."""
    if isinstance(content, dict):
        return {key: _shortest(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_shortest(value) for value in content]
    return shortest(content) if isinstance(content, float) else content


def shortest(number: float) -> float:
    """The number with the fewest digits that is the same float32 as `number`, if that is one; else itself."""
    rounded = np.float32(number)
    return min((number, float(str(rounded))), key=lambda each: len(repr(each))) if float(rounded) == number else number


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MissingInputsError(f"{path} cannot be read: {error}", hint="fetch the model's files again") from error
    if not isinstance(found, dict):
        raise MissingInputsError(
            f"{path} holds {type(found).__name__}, expected a JSON object", hint="fetch the file again"
        )
    return found


def _write(path: Path, content: Mapping[str, Any]) -> None:
    _write_text(path, json.dumps(dict(sorted(content.items())), indent=2, ensure_ascii=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    """Put `text` at `path`; what is there already stays, to the byte and with its time of change."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
