"""What llama.cpp calls the way in which a tokenizer.json splits text before its merges apply.

llama.cpp knows these ways by name and has each as code of its own (llama-vocab.cpp); a file that names another one, or
none, makes other tokens of the same text and says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refute.errors import UsageError

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LETTERS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS[0]}*{_LETTERS[1]}+|[^\r\n\p{{L}}\p{{N}}]?{_LETTERS[0]}+{_LETTERS[1]}*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT2 = "<GPT-2>"  # the expression that the `ByteLevel` of `tokenizers` has built in
_DIGITS = "<digits>"

# Expressions in their order -> llama.cpp's name.
_NAMES: Mapping[tuple[str, ...], str] = {
    (_GPT2,): "gpt-2",
    (_DIGITS, _GPT2): "smollm",
    (_CONTRACTIONS + r"\p{N}" + _REST,): "qwen2",
    (_CONTRACTIONS + r"\p{N}{1,3}" + _REST,): "llama-bpe",
    (_TEKKEN,): "tekken",
}


def splitting_name(stated: Mapping[str, Any], folder: Path) -> str:
    """llama.cpp's name of what a tokenizer.json says of normalising and splitting.

    Raises UsageError for a way that has no name here.
    """
    normalizer = stated.get("normalizer")
    expressions = tuple(_expressions(stated.get("pre_tokenizer")))
    name = _NAMES.get(expressions)
    # llama.cpp normalises no text; Qwen's tokenizers compose accents (NFC), which changes texts that are not composed.
    if name is None or (normalizer is not None and normalizer.get("type") != "NFC"):
        raise UsageError(
            f"{folder}: tokenizer.json splits text by {list(expressions)} after the normalizer {normalizer}, for which "
            f"llama.cpp has no name that is known here; known are {', '.join(_NAMES.values())}",
            hint="convert this model with llama.cpp's own convert_hf_to_gguf.py",
        )
    return name


def _expressions(stage: Mapping[str, Any] | None) -> Sequence[str]:
    if stage is None:
        return []
    if stage["type"] == "Sequence":
        return [each for inner in stage["pretokenizers"] for each in _expressions(inner)]
    if stage["type"] == "ByteLevel" and not stage.get("add_prefix_space"):
        return [_GPT2] if stage.get("use_regex", True) else []
    if stage["type"] == "Digits" and stage.get("individual_digits"):
        return [_DIGITS]
    if stage["type"] == "Split" and stage["behavior"] == "Isolated" and not stage.get("invert"):
        return [stage["pattern"].get("Regex", str(stage["pattern"]))]
    return [str(stage)]
