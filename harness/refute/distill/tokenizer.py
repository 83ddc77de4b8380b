"""Opens the tokenizer of a model source and turns documents into token ids, quickly and without surprises."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from refute.errors import ExperimentError
from refute.model_files.tokenizer import read_tokenizer
from refute.release import GgufModel, HfModel


def open_tokenizer(model: GgufModel | HfModel, path: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a GGUF file or a Hugging Face folder at `path`, read from this machine only.

    Raises what `read_tokenizer` does, and ExperimentError when `path` holds no fast tokenizer.
    """
    tokenizer = read_tokenizer(path, gguf=isinstance(model, GgufModel))
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ExperimentError(
            f"tokenizer: {path} holds a {type(tokenizer).__name__}, expected one backed by `tokenizers`",
            hint="save the tokenizer with its tokenizer.json",
        )
    return tokenizer


class Encoder:
    """Documents -> ids. Special-token text inside a document stays text, so no file can forge a document end."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        if not isinstance(tokenizer.eos_token_id, int):
            raise ExperimentError(
                "the tokenizer has no end-of-sequence token, which separates documents",
                hint="set eos_token in the model's tokenizer_config.json",
            )
        self.end_of_document: int = tokenizer.eos_token_id
        self._tokenizer = _plain(tokenizer)
        self._tokenizer.encode_special_tokens = True

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """One list of ids a text, each followed by the end-of-document id; nothing is cut off."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [[*encoding.ids, self.end_of_document] for encoding in encodings]


def tokenizer_sha256(tokenizer: PreTrainedTokenizerFast) -> str:
    """SHA-256 of everything that decides how text becomes ids: token list, merges, added and special tokens."""
    return hashlib.sha256(_plain(tokenizer).to_str().encode("utf-8")).hexdigest()


def _plain(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    plain.no_truncation()
    plain.no_padding()
    return plain
