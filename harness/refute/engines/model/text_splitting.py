"""Splits text as a GGUF file asks for, before its merges apply; refuses a file whose way of splitting is not known."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers

from refute.engines.model.gguf import metadata, open_gguf
from refute.errors import ExperimentError

# SentencePiece's spelling of a blank.
BLANK = "\u2581"

# llama.cpp's names (llama-vocab.cpp) for vocabularies whose merges were learnt on text that GPT-2's expression alone
# had split, and on text from which each digit had been cut out before.
_GPT2 = frozenset(
    {
        *("gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum"),
        *("mpt", "olmo", "jais", "trillion", "granite-docling"),
    }
)

_DIGITS_THEN_GPT2 = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})


def split_text_as_stated(tokenizer: Tokenizer, path: Path) -> None:
    """Give `tokenizer`, which transformers built from the GGUF file at `path`, the splitting that the file states.

    transformers 5.23 leaves GPT-2's splitting wherever it does not know the name in `tokenizer.ggml.pre`, and says
    nothing: with SmolLM2's file, 33 of HumanEval's 164 prompts become other ids than the model was trained on.
    Raises ExperimentError for a byte-level vocabulary whose splitting is unknown here and there.
    """
    reader = open_gguf(path)
    model = metadata(reader, "tokenizer.ggml.model")
    if model == "llama":
        _mark_blanks(tokenizer, prefix=metadata(reader, "tokenizer.ggml.add_space_prefix", default=True) is True)
    if model != "gpt2":
        return  # what others split is said by their tokens
    stated = metadata(reader, "tokenizer.ggml.pre")
    if stated in _DIGITS_THEN_GPT2:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    elif _splits_as_gpt2(tokenizer) and stated not in _GPT2:
        raise ExperimentError(
            f"tokenizer: {path} splits text as {stated!r} (tokenizer.ggml.pre), which neither transformers nor refute "
            "knows; any other splitting gives ids that the model was not trained on",
            hint="use the model's Hugging Face folder; a file that states nothing was converted by a llama.cpp of "
            "before May 2024: convert it again",
        )


def _mark_blanks(tokenizer: Tokenizer, *, prefix: bool) -> None:
    """SentencePiece, as llama.cpp reads it (llama-vocab.cpp): blanks are marks, and with `prefix` a text begins with
    one, and so does what follows a special token. transformers decides that by the architecture."""
    blanks = normalizers.Replace(" ", BLANK)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(BLANK), blanks]) if prefix else blanks
    tokenizer.pre_tokenizer = None
    spelt = [decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*spelt, *([decoders.Strip(" ", 1, 0)] if prefix else [])])


def _splits_as_gpt2(tokenizer: Tokenizer) -> bool:
    found = json.loads(tokenizer.to_str())["pre_tokenizer"]
    return bool(found["type"] == "ByteLevel" and found["use_regex"])
