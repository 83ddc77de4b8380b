"""Opens the tokenizer of a model source and turns documents into token ids, quickly and without surprises."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import cast

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from refute.engines.model.bos_token import begin_as_folder_states, begin_as_gguf_states, beginning_of_sequence
from refute.engines.model.gguf import check_gguf_magic, metadata, open_gguf, read_once
from refute.engines.model.probe_texts import PROBE_TEXTS
from refute.engines.model.special_tokens import SpecialTokens, Watch, end_of_document
from refute.engines.model.text_splitting import split_text_as_stated
from refute.errors import ExperimentError, MissingInputsError
from refute.spec.release import GgufModel, HfModel

_FILE = "tokenizer.json"


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
    """Documents -> ids. What a text that spells special tokens becomes is said by `special_tokens`: with `parse`
    these tokens, with `literal` its letters, so no text can forge a document's end; with `refuse` it is counted in
    `watch`, and has to be refused there."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, special_tokens: SpecialTokens = "refuse") -> None:
        self.end_of_document = end_of_document(tokenizer, special_tokens)
        self.beginning_of_sequence = beginning_of_sequence(tokenizer)
        self.watch = Watch(tokenizer, special_tokens)
        self._parses = special_tokens == "parse"
        self._tokenizer = _plain(tokenizer)
        self._tokenizer.encode_special_tokens = special_tokens == "literal"

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """One list of ids a text, each closed by the end-of-document id; nothing is cut off."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        for text, encoding in zip(texts, encodings, strict=True):
            self.watch.look(text, encoding.ids)
        return [self._closed(encoding.ids) for encoding in encodings]

    def encode_with_starts(self, texts: Sequence[str]) -> list[tuple[list[int], list[int]]]:
        """Of each text its ids, not closed, and the character where each begins; without what begins every window."""
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        found = []
        for text, encoding in zip(texts, encodings, strict=True):
            self.watch.look(text, encoding.ids)
            first = 1 if encoding.ids[:1] == [self.beginning_of_sequence] else 0
            # Some tokenizers leave blanks out of a token's place, so that one of blanks alone has none.
            starts = [start if start < end else max(0, start - 1) for start, end in encoding.offsets[first:]]
            found.append((encoding.ids[first:], starts))
        return found

    def _closed(self, ids: list[int]) -> list[int]:
        if self._parses and ids[:1] == [self.beginning_of_sequence]:  # a rendered chat brings the one of its window
            ids = ids[1:]
        return ids if self._parses and ids[-1:] == [self.end_of_document] else [*ids, self.end_of_document]


def tokenizer_sha256(tokenizer: PreTrainedTokenizerFast) -> str:
    """SHA-256 of everything that decides how text becomes ids: token list, merges, added and special tokens."""
    return hashlib.sha256(_plain(tokenizer).to_str().encode("utf-8")).hexdigest()


def _plain(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    plain.no_truncation()
    plain.no_padding()
    return plain


def read_tokenizer(path: Path, *, gguf: bool) -> PreTrainedTokenizerBase:
    """The tokenizer at `path`, from this machine only, as its files state it: tokenizer.json is read as it is written.

    Raises MissingInputsError where there is none that can be read, ExperimentError where a GGUF file splits text in an
    unknown way.
    """
    if not path.exists():
        raise MissingInputsError(f"tokenizer: {path} does not exist", hint="check the model's path in the release")
    try:
        tokenizer = _read(path, gguf=gguf)
    except ExperimentError:
        raise
    # An untrusted file: what transformers raises for a damaged one depends on where the damage is.
    except Exception as error:
        raise MissingInputsError(
            f"{path} holds no usable tokenizer: {type(error).__name__}: {error}",
            hint="expected tokenizer.json beside config.json, or one complete GGUF file",
        ) from error
    if not gguf:
        _require_vocabulary(path, tokenizer)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        return tokenizer
    if not gguf:
        begin_as_folder_states(tokenizer, path)
    return tokenizer


def _read(path: Path, *, gguf: bool) -> PreTrainedTokenizerBase:
    if gguf:
        check_gguf_magic(path)
        stat = path.stat()
        return copy.deepcopy(tokenizer_of_gguf(path, stat.st_size, stat.st_mtime_ns))
    if (path / _FILE).is_file():
        # The class that the folder names would put its family's splitting in place of the file's (transformers 5).
        found = PreTrainedTokenizerFast.from_pretrained(path, local_files_only=True)
        _refuse_other_reading(found, Tokenizer.from_file(str(path / _FILE)), path)
        return found
    other: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path, local_files_only=True)
    return other


@lru_cache(maxsize=1)  # a vocabulary of 262,144 takes most of a minute
def tokenizer_of_gguf(path: Path, _size: int, _changed_ns: int) -> PreTrainedTokenizerFast:
    """That of the file at `path` as long as it has this size and time of change; each reader needs his own copy."""
    with read_once():
        found = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
    reader = open_gguf(path)
    tokenizer = _without_tokens_beyond(found, len(cast("list[str]", metadata(reader, "tokenizer.ggml.tokens"))))
    split_text_as_stated(tokenizer.backend_tokenizer, path)
    begin_as_gguf_states(tokenizer, reader)
    return tokenizer


def _without_tokens_beyond(tokenizer: PreTrainedTokenizerFast, size: int) -> PreTrainedTokenizerFast:
    """The tokenizer with the first `size` ids: transformers adds its family's names, such as <s>, to a file that has
    others, and a folder that is written with them holds another vocabulary than the file."""
    if len(tokenizer) <= size:
        return tokenizer
    data = json.loads(tokenizer.backend_tokenizer.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["id"] < size]
    names = {
        name: token
        for name in ("bos_token", "eos_token", "unk_token", "pad_token")
        if (number := getattr(tokenizer, f"{name}_id")) is not None
        and number < size
        and (token := getattr(tokenizer, name)) is not None
    }
    plain = Tokenizer.from_str(json.dumps(data))
    return PreTrainedTokenizerFast(tokenizer_object=plain, chat_template=tokenizer.chat_template, **names)


def _refuse_other_reading(tokenizer: PreTrainedTokenizerFast, written: Tokenizer, folder: Path) -> None:
    """Raise ExperimentError where `tokenizer` reads one of many texts otherwise than the file that it was made of."""
    backend = tokenizer.backend_tokenizer
    for each in (backend, written):  # how long a training script once wanted its texts
        each.no_padding()
        each.no_truncation()
    read, meant = (each.encode_batch(list(PROBE_TEXTS), add_special_tokens=False) for each in (backend, written))
    for text, ours, theirs in zip(PROBE_TEXTS, read, meant, strict=True):
        if ours.ids != theirs.ids:
            raise ExperimentError(
                f"tokenizer: of {text!r} transformers makes {ours.tokens[:8]}, "
                f"{folder / _FILE} says {theirs.tokens[:8]}",
                hint="tokenizer_config.json and tokenizer.json contradict each other; fetch the model's files again",
            )


def _require_vocabulary(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Without files transformers makes up an empty vocabulary of the family: Qwen2's, GPT-2's, GPT-NeoX's, Gemma's."""
    names = [name for kind, name in tokenizer.vocab_files_names.items() if kind != "tokenizer_file"]
    if (folder / _FILE).is_file() or (names and all((folder / name).is_file() for name in names)):
        return
    wanted = " or ".join(["tokenizer.json", *([", ".join(names)] if names else [])])
    raise MissingInputsError(
        f"{folder} holds no usable tokenizer: no vocabulary, expected {wanted}",
        hint="copy the tokenizer's files into the model's folder",
    )
