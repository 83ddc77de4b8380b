"""Text that spells a special token, such as `<|im_start|>`: whether it is trusted to be one, and where it is not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from transformers import PreTrainedTokenizerFast

from refute.errors import ExperimentError

SpecialTokens = Literal["parse", "refuse", "literal"]

# Ends of a text in pretraining corpora. A tokenizer's own end may be the end of a turn (<|im_end|>, <|eot_id|>).
TEXT_ENDS = ("<|endoftext|>", "<|end_of_text|>")
_BARE_TEXT_ENDS = ("</s>", "<eos>")

# The spelling that nothing but tokens has, whoever's they are.
_MARKER = re.compile(r"<\|[A-Za-z0-9_]+\|>")
_AROUND = 30


def special_tokens_of(tokenizer: PreTrainedTokenizerFast) -> dict[int, str]:
    """Every special token by its id."""
    backend = tokenizer.backend_tokenizer
    special = {number: token.content for number, token in backend.get_added_tokens_decoder().items() if token.special}
    named = {
        number: token for token in tokenizer.all_special_tokens if (number := backend.token_to_id(token)) is not None
    }
    return named | special


def end_of_document(tokenizer: PreTrainedTokenizerFast, policy: SpecialTokens) -> int:
    """The id that closes a document: the tokenizer's end of sequence, or, where texts may hold that as the end of a
    turn, the end of a text. Raises ExperimentError when there is none."""
    special = {token: number for number, token in special_tokens_of(tokenizer).items()}
    known = [special[token] for token in TEXT_ENDS if token in special] if policy == "parse" else []
    number = known[0] if known else tokenizer.eos_token_id
    if not isinstance(number, int):
        raise ExperimentError(
            "the tokenizer has no end-of-sequence token, which separates documents",
            hint="set eos_token in the model's tokenizer_config.json",
        )
    return number


def text_separator(tokenizer: PreTrainedTokenizerFast, policy: SpecialTokens) -> re.Pattern[str] | None:
    """What ends one document of a text file and begins the next: an end of text that stands alone on its line, with
    `parse` wherever it stands; None with `literal`."""
    if policy == "literal":
        return None
    ends = "|".join(map(re.escape, (*TEXT_ENDS, *({str(tokenizer.eos_token)} & set(_BARE_TEXT_ENDS)))))
    alone = rf"^[ \t]*(?:{ends})[ \t]*\r?(?:\n|\Z)"
    return re.compile(alone if policy == "refuse" else rf"{alone}|{ends}", re.MULTILINE)


class Watch:
    """Counts the texts in which special tokens are spelt and may not be, and refuses them with an example.

    With `refuse` that is any token of the tokenizer and any marker of another one, with `parse` a marker that the
    tokenizer does not know and an end of document in the midst of one that also ends turns; with `literal` nothing.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, policy: SpecialTokens) -> None:
        self._special, self._policy = special_tokens_of(tokenizer), policy
        self._known = set(self._special.values()) | set(tokenizer.get_added_vocab())
        self._end = end_of_document(tokenizer, policy)
        self._texts = self._found = 0
        self._token, self._example = "", ""

    @property
    def special(self) -> list[int]:
        """The ids of all special tokens."""
        return list(self._special)

    @property
    def count(self) -> int:
        """Texts that were ones to refuse."""
        return self._found

    @property
    def found(self) -> bool:
        """Whether some text was one to refuse."""
        return self._found > 0

    @property
    def enough(self) -> bool:
        """Whether so much was counted since that the count says how it is with the rest."""
        return self._found > 0 and self._texts >= 10_000

    def look(self, text: str, ids: Sequence[int]) -> None:
        """Count one text, `ids` being those with special tokens read as such."""
        self._texts += 1
        token = self._offending(text, ids)
        if token is None:
            return
        self._found += 1
        if self._found == 1:
            place = text.index(token)
            self._token = token
            self._example = text[max(0, place - _AROUND) : place + len(token) + _AROUND]

    def refuse(self, what: str) -> None:
        """Raise ExperimentError when texts were found; `what` they are, in the plural."""
        if not self._found:
            return
        count = f"{self._found} of {self._texts} {what} spell special tokens, such as {self._token!r}"
        if self._policy == "refuse":
            raise ExperimentError(
                f"{count} in {self._example!r}: it is not said whether these are tokens or only speak of them",
                hint="special_tokens: parse where the texts are trusted to carry tokens, literal where they are to be "
                "spelt out (`refute distill tokenize --special-tokens`, or in the corpus of a release)",
            )
        why = (
            "which also ends their turns: each turn would be a document of its own"
            if self._token in self._special.values()
            else "which this tokenizer does not know"
        )
        raise ExperimentError(
            f"{count} in {self._example!r}, {why}",
            hint="render the texts with the chat template of this tokenizer, or choose special_tokens: literal",
        )

    def _offending(self, text: str, ids: Sequence[int]) -> str | None:
        if self._policy == "literal":
            return None
        foreign = next((marker for marker in _MARKER.findall(text) if marker not in self._known), None)
        if self._policy == "refuse":
            # An id of a special token may also stand for what has no token, so the text must spell it.
            spelt = (self._special[number] for number in ids if number in self._special)
            return next((token for token in spelt if token in text), foreign)
        end = self._special.get(self._end, "")
        return end if end not in TEXT_ENDS and self._end in ids[:-1] and end in text else foreign
