"""A folder's tokenizer as a GGUF file states it: tokens, what each is, merges, and which begin and end texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType
from transformers import PreTrainedTokenizerFast

from refute.engines.export.gguf.text_splittings import splitting_name
from refute.engines.model.bos_token import beginning_of_sequence
from refute.engines.model.tokenizer import read_tokenizer
from refute.errors import UsageError

_BLANK = "\u2581"  # SentencePiece's sign for a space


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by id, as many as the embedding has rows; `pre` is llama.cpp's name of how text is split.

    `scores` are SentencePiece's, and empty for byte-level vocabularies. `ends` are the ids that end a text or a turn,
    the tokenizer's own first.
    """

    model: str
    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    scores: tuple[float, ...]
    special: Mapping[str, int]
    ends: tuple[int, ...]
    begins_with_bos: bool
    begins_with_space: bool
    chat_template: str | Mapping[str, str] | None

    def write(self, writer: GGUFWriter) -> None:
        """Put it into the metadata of a file."""
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.scores:
            writer.add_token_scores(self.scores)
        else:
            writer.add_token_merges(self.merges)
        for name, add in _special_writers(writer).items():
            if name in self.special:
                add(self.special[name])
        if len(self.ends) > 1:
            writer.add_eot_token_id(self.ends[1])
        writer.add_add_bos_token(self.begins_with_bos)
        writer.add_add_eos_token(False)
        writer.add_add_space_prefix(self.begins_with_space)
        _write_template(writer, self.chat_template)


def read_vocabulary(folder: Path, rows: int) -> Vocabulary:
    """The tokenizer of `folder` for an embedding of `rows` rows; rows without a token get one that is never used.

    Raises what `read_tokenizer` does, and UsageError for a tokenizer that llama.cpp has no counterpart of, or one with
    more tokens than rows.
    """
    tokenizer = read_tokenizer(folder, gguf=False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UsageError(
            f"{folder} holds a {type(tokenizer).__name__}, expected one backed by `tokenizers`",
            hint="save the tokenizer with its tokenizer.json",
        )
    stated = json.loads(tokenizer.backend_tokenizer.to_str())
    _require_bpe(stated, folder)
    by_id = _tokens_by_id(stated, rows, folder)
    sentencepiece = bool(stated["model"].get("byte_fallback"))
    merges = tuple(rule if isinstance(rule, str) else " ".join(rule) for rule in stated["model"]["merges"])
    return Vocabulary(
        model="llama" if sentencepiece else "gpt2",
        pre="default" if sentencepiece else splitting_name(stated, folder),
        tokens=tuple(by_id.get(number, f"[PAD{number}]") for number in range(rows)),
        types=tuple(_types(stated, by_id, rows, sentencepiece=sentencepiece)),
        merges=merges,
        scores=_scores(by_id, merges, rows) if sentencepiece else (),
        special=_special(tokenizer),
        ends=end_ids(tokenizer, folder),
        begins_with_bos=beginning_of_sequence(tokenizer) is not None,
        begins_with_space=sentencepiece and _begins_with_space(tokenizer),
        chat_template=tokenizer.chat_template,
    )


def _require_bpe(stated: Mapping[str, Any], folder: Path) -> None:
    model = stated["model"]
    if model["type"] != "BPE" or model.get("dropout") or model.get("continuing_subword_prefix"):
        raise UsageError(
            f"{folder}: tokenizer.json holds a {model['type']} model, expected BPE without dropout or prefixes",
            hint="convert this model with llama.cpp's own convert_hf_to_gguf.py",
        )


def _tokens_by_id(stated: Mapping[str, Any], rows: int, folder: Path) -> dict[int, str]:
    by_id = {number: token for token, number in stated["model"]["vocab"].items()}
    by_id |= {token["id"]: token["content"] for token in stated["added_tokens"]}
    if by_id and max(by_id) >= rows:
        raise UsageError(
            f"{folder}: the tokenizer has ids up to {max(by_id)}, and the embedding {rows} rows",
            hint="the tokenizer is not this model's: tokens were added to it and not to the model",
        )
    return by_id


def _types(stated: Mapping[str, Any], by_id: Mapping[int, str], rows: int, *, sentencepiece: bool) -> list[int]:
    added = {token["id"]: token["special"] for token in stated["added_tokens"]}
    unknown = stated["model"].get("unk_token")

    def kind(number: int) -> TokenType:
        if number not in by_id:
            return TokenType.UNUSED
        if sentencepiece and by_id[number] == unknown:
            return TokenType.UNKNOWN
        if number in added:
            return TokenType.CONTROL if added[number] else TokenType.USER_DEFINED
        return TokenType.BYTE if sentencepiece and _is_byte(by_id[number]) else TokenType.NORMAL

    return [int(kind(number)) for number in range(rows)]


def _is_byte(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")


def _scores(by_id: Mapping[int, str], merges: Sequence[str], rows: int) -> tuple[float, ...]:
    """Scores by which SentencePiece merges in the order of `merges`: it takes the pair whose whole scores highest."""
    order: dict[str, int] = {}
    for place, rule in enumerate(merges):
        order.setdefault(rule.replace(" ", ""), place)
    return tuple(-float(order.get(by_id.get(number, ""), len(merges))) for number in range(rows))


def _begins_with_space(tokenizer: PreTrainedTokenizerFast) -> bool:
    first: str = tokenizer.backend_tokenizer.encode("a", add_special_tokens=False).tokens[0]
    return first.startswith(_BLANK)


def _special(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "unk", "pad", "sep", "mask")}
    return {name: number for name, number in ids.items() if isinstance(number, int)}


def _special_writers(writer: GGUFWriter) -> Mapping[str, Any]:
    return {name: getattr(writer, f"add_{name}_token_id") for name in ("bos", "eos", "unk", "pad", "sep", "mask")}


def end_ids(tokenizer: PreTrainedTokenizerFast, folder: Path) -> tuple[int, ...]:
    """Ids that end a text, of tokenizer and generation config: what stops transformers must stop llama.cpp."""
    path = folder / "generation_config.json"
    stated = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id") if path.is_file() else None
    listed = stated if isinstance(stated, list) else [stated]
    return tuple(dict.fromkeys(each for each in (tokenizer.eos_token_id, *listed) if isinstance(each, int)))


def _write_template(writer: GGUFWriter, template: str | Mapping[str, str] | None) -> None:
    if isinstance(template, str):
        writer.add_chat_template(template)
    elif template:
        writer.add_chat_template([{"name": name, "template": text} for name, text in template.items()])
