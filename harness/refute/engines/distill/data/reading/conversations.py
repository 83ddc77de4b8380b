"""Rows that are conversations, or prompts with completions, as texts that know what in them is learnt."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from refute.errors import UsageError

_SHAREGPT = {"human": "user", "gpt": "assistant", "system": "system"}
_ROW = "a row holds `messages` (each with role and content), or `prompt` and `completion`"


class Conversation(str):
    """The text of one row. `learnt` are the characters, as (first, last + 1), that a student shall say itself; behind
    each of `turns` the text may end. `contents` are what people wrote, before the template put its tokens between.

    `closed`: whether the end of the text is learnt, too, as where nothing else ends a completion.
    """

    learnt: tuple[tuple[int, int], ...]
    turns: tuple[int, ...]
    contents: tuple[str, ...]
    closed: bool

    @classmethod
    def of(
        cls,
        text: str,
        learnt: Sequence[tuple[int, int]],
        turns: Sequence[int],
        contents: Sequence[str],
        *,
        closed: bool,
    ) -> Conversation:
        """A text with what is known of it."""
        made = cls(text)
        made.learnt, made.turns, made.contents, made.closed = tuple(learnt), tuple(turns), tuple(contents), closed
        return made


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """Renders rows as a tokenizer's chat template does, and finds the assistant's turns in what it renders."""

    tokenizer: PreTrainedTokenizerFast

    @property
    def sha256(self) -> str | None:
        """Of the template; None where the tokenizer has none, and rows must be prompts with completions."""
        template = self.tokenizer.chat_template
        return None if template is None else hashlib.sha256(str(template).encode()).hexdigest()

    def read(self, row: object, where: str) -> Conversation:
        """The conversation in `row`. Raises UsageError, which names `where`, for a row that holds none, that the
        template refuses, or whose turns it renders otherwise once others follow."""
        found: Mapping[str, Any] = row if isinstance(row, Mapping) else {}
        prompt, completion = found.get("prompt"), found.get("completion")
        if isinstance(prompt, str) and isinstance(completion, str):
            end = len(prompt) + len(completion)
            learnt = [(len(prompt), end)]
            return Conversation.of(prompt + completion, learnt, [end], [prompt, completion], closed=True)
        told, first = found.get("messages") or found.get("conversations"), list[Mapping[str, Any]]()
        if told is None and isinstance(prompt, list):
            told, first = completion, _messages(prompt, where)
        if not isinstance(told, list) or not told:
            has = ", ".join(map(str, found)) or type(row).__name__
            raise UsageError(f"{where}: no conversation, found {has}", hint=f"{_ROW}; texts are read without --chat")
        return self._rendered([*first, *_messages(told, where)], len(first), where)

    def _rendered(self, messages: Sequence[Mapping[str, Any]], after: int, where: str) -> Conversation:
        render = _renderer(self.tokenizer, where)
        text = render(messages, begins=False)
        learnt, turns = [], []
        for number, message in enumerate(messages):
            if message["role"] != "assistant" or number < after:
                continue
            before, whole = render(messages[:number], begins=True), render(messages[: number + 1], begins=False)
            if not (whole.startswith(before) and text.startswith(whole)):
                raise UsageError(
                    f"{where}: the chat template renders the turn {number} otherwise once another follows, or does not "
                    "begin it as it asks for it: what is learnt cannot be told from what is read",
                    hint="give the tokenizer a template without such a rule, or rows with prompt and completion",
                )
            learnt.append((len(before), len(whole.rstrip())))
            turns.append(len(whole))
        if not learnt:
            raise UsageError(f"{where}: no turn of the assistant", hint="leave the row out: nothing is learnt from it")
        contents = [message["content"] for message in messages]
        return Conversation.of(text, learnt, turns, contents, closed=False)


def _renderer(tokenizer: PreTrainedTokenizerFast, where: str) -> Callable[..., str]:
    if tokenizer.chat_template is None:
        raise UsageError(
            f"{where}: the tokenizer has no chat template, and messages need one",
            hint="put the model's chat_template.jinja into its folder, or give prompt and completion as texts",
        )

    def render(messages: Sequence[Mapping[str, Any]], *, begins: bool) -> str:
        try:
            told = [dict(message) for message in messages]
            return str(tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=begins))
        except (TemplateError, TypeError, ValueError, IndexError, KeyError) as error:
            raise UsageError(
                f"{where}: the chat template refuses the conversation: {error}", hint="correct the row, or leave it out"
            ) from error

    return render


def _messages(found: Sequence[object], where: str) -> list[Mapping[str, Any]]:
    messages: list[Mapping[str, Any]] = []
    for number, message in enumerate(found):
        fields: Mapping[str, Any] = message if isinstance(message, Mapping) else {}
        told = {name: value for name, value in fields.items() if value is not None}
        if "from" in told and "value" in told:
            told = {"role": _SHAREGPT.get(str(told["from"]), told["from"]), "content": told["value"]}
        if not (isinstance(told.get("role"), str) and isinstance(told.get("content"), str)):
            raise UsageError(f"{where}: message {number} has no role and content as texts: {message!r:.80}", hint=_ROW)
        messages.append(told)
    return messages
