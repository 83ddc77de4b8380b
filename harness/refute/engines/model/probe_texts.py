"""Texts in which ways of splitting and normalising differ: what two readings of one tokenizer are compared by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Ids = TypeVar("Ids")

# Digits, contractions, runs of blanks, line ends, punctuation, letters beyond ASCII.
_MIXED = "I'LL  pay 1234567 for x_9+=10;\n\n\treturn (a-b)**2  # naïve “Größe” 北京 ３٤\r\n    ...<|x|>\n"

_BETWEEN = ("", " ", "  ", "     ", "\t", "\t\t ", "\n", "\r\n", "\n\n    ", " \n ", "\u00a0", "\u3000")
_PIECES = (
    "7",
    "1234",
    "٤",
    "a",
    "x_1",
    "It's",
    "WE'LL",
    "é",
    "e\u0301",
    "\ufb01",
    "北京",
    "🙂",
    "...",
    "->",
    "**",
    "İ",
)

PROBE_TEXTS = (
    _MIXED,
    *(f"a{between}{piece}{between}" for between, piece in product(_BETWEEN, _PIECES)),
    *(f"{between}{piece}" for between, piece in product(_BETWEEN, _PIECES)),
)


def differing_readings(
    tokenizer: PreTrainedTokenizerFast, read: Callable[[str], Ids]
) -> Iterator[tuple[str, list[int], Ids]]:
    """Each of the texts of which `read` makes other ids than `tokenizer` does, with the tokenizer's ids and those."""
    texts = list(PROBE_TEXTS)
    for text, ours in zip(
        texts, tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False), strict=True
    ):
        theirs = read(text)
        if theirs != ours.ids:
            yield text, ours.ids, theirs
