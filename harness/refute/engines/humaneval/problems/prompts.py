"""Prompt protocols: the two declared ways of putting a problem to a model. Text in, text out, no model involved.

A protocol is data. What a model is asked, where its answer ends and how the program is put together enter
the evidence through `template_sha256` and `Protocol.stops`; protocols are never mixed within one measurement.
"""

from __future__ import annotations

import hashlib
import json
import re
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import TemplateError

from refute.engines.humaneval.problems.program import function_head
from refute.errors import UsageError

if TYPE_CHECKING:
    from refute.engines.humaneval.problems.problems import Problem


class PromptTokenizer(typing.Protocol):
    """What a prompt needs of a tokenizer: transformers' classes have it, and so does one behind a server."""

    @property
    def chat_template(self) -> Any:
        """The Jinja template of a chat, or None."""

    def __call__(self, text: Any, /, *, add_special_tokens: bool) -> Any:
        """The ids of `text` under `input_ids`."""

    def apply_chat_template(
        self, turns: Any, /, *, tokenize: Literal[False], add_generation_prompt: Literal[True]
    ) -> Any:
        """The text that the template makes of `turns`."""


ProtocolName = Literal["chat_primed", "completion"]
EXTRACTION = "the text behind the prompt up to the leftmost match of a stop; executed as prompt + completion"
_CLOSING_FENCE = r"\n?[ \t]*```"

# A body ends where a line starts in column 0. Comments and closing brackets may stand there inside a body.
# None of the 164 canonical solutions has such a line (measured), so no honest body is cut by this rule.
_TOP_LEVEL_LINE = r"\n(?=[^\s#)\]}])"

# A body that follows an ordinary indentation; used only to see how a tokenizer splits the boundary.
_TYPICAL_CONTINUATION = "\n    return"


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a problem becomes a prompt and where the answer ends.

    `user_turn` holds `{head}` where the function's head goes and is empty for a bare prompt; `opening` is
    what the assistant's turn begins with before the head; `stops` are regular expressions, whose leftmost
    match ends the answer and is not part of it. `system_prompt` is a turn before the user's, None for no such turn.
    """

    name: ProtocolName
    user_turn: str
    opening: str
    stops: tuple[str, ...]
    system_prompt: str | None = None

    @property
    def chat(self) -> bool:
        """Whether the tokenizer's chat template is used, which then also places the special tokens."""
        return bool(self.user_turn)


PROTOCOLS: Mapping[ProtocolName, Protocol] = MappingProxyType(
    {
        "chat_primed": Protocol(
            name="chat_primed",
            user_turn="Complete the following Python function.\n```python\n{head}\n```",
            opening="```python\n",
            stops=(_CLOSING_FENCE, _TOP_LEVEL_LINE),
        ),
        "completion": Protocol(name="completion", user_turn="", opening="", stops=(_TOP_LEVEL_LINE,)),
    }
)


def protocol_of(name: ProtocolName, system_prompt: str | None = None) -> Protocol:
    """The protocol `name` with this system prompt. Raises UsageError for a blank one, and for one of bare prompts."""
    protocol = PROTOCOLS[name]
    if system_prompt is None:
        return protocol
    if not protocol.chat:
        raise UsageError(
            f"protocol {name!r} asks by the bare prompt, which has no place for a system prompt",
            hint="choose the chat protocol, or leave the system prompt out",
        )
    if not system_prompt.strip():
        raise UsageError("the system prompt is blank", hint="leave it out: then there is no system turn")
    return replace(protocol, system_prompt=system_prompt)


def chat_turns(protocol: Protocol, head: str) -> list[dict[str, str]]:
    """The turns in which a chat is asked to complete the function with this head."""
    system = protocol.system_prompt
    before = [] if system is None else [{"role": "system", "content": system}]
    return [*before, {"role": "user", "content": protocol.user_turn.replace("{head}", head)}]


def build_prompt(problem: Problem, tokenizer: PromptTokenizer, protocol: Protocol) -> str:
    """The exact text that the model continues; special tokens are in it only if `protocol.chat`.

    It ends with the function's head, followed by one newline if (and only if) this tokenizer would merge that
    newline into the head's last token. Raises UsageError where a chat protocol meets no chat template, and where the
    template has no place for the system prompt.
    """
    head = function_head(problem)
    return _preamble(head, tokenizer, protocol) + head + _boundary(head, tokenizer)


def carried_text(prompt: str) -> str:
    """The part of a built prompt that belongs to the answer: the newline after the head, or nothing."""
    return "\n" if prompt.endswith("\n") else ""


def find_stop(text: str, protocol: Protocol) -> int | None:
    """Where in `text` (what follows the head) the answer ends, or None if no stop rule has matched yet."""
    match = _stop_pattern(protocol.stops).search(text)
    return match.start() if match else None


def truncate(text: str, protocol: Protocol) -> str:
    """`text` up to its leftmost stop."""
    return text[: find_stop(text, protocol)]


def template_sha256(tokenizer: PromptTokenizer, protocol: Protocol) -> str:
    """SHA-256 over everything that shapes a prompt or its end: the protocol and the chat template it uses."""
    template = tokenizer.chat_template if protocol.chat else None
    shape = {"protocol": asdict(protocol), "chat_template": template}
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode("utf-8")).hexdigest()


def _preamble(head: str, tokenizer: PromptTokenizer, protocol: Protocol) -> str:
    if not protocol.chat:
        return ""
    if not tokenizer.chat_template:
        raise UsageError(
            f"protocol {protocol.name!r} needs a chat template, and the model's tokenizer has none",
            hint="choose `completion` (--protocol, or `prompt` in a release), or give the tokenizer its chat_template",
        )
    return f"{_rendered(head, tokenizer, protocol)}{protocol.opening}"


def _rendered(head: str, tokenizer: PromptTokenizer, protocol: Protocol) -> str:
    """The turns as text. A template may refuse a system turn, or leave it out without a word."""
    system = protocol.system_prompt
    try:
        rendered = str(
            tokenizer.apply_chat_template(chat_turns(protocol, head), tokenize=False, add_generation_prompt=True)
        )
    except TemplateError as error:
        raise _no_place(str(error)) from error
    if system is not None and system.strip() not in rendered:
        raise _no_place("it leaves the text out")
    return rendered


def _no_place(why: str) -> UsageError:
    return UsageError(
        f"the chat template refuses these turns: {why}",
        hint="ask without a system prompt, or by a template that has a system turn",
    )


def _boundary(head: str, tokenizer: PromptTokenizer) -> str:
    """The shorter of "" and a newline after which `head` keeps its tokens when a body follows; else ""."""

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    whole = ids(head + _TYPICAL_CONTINUATION)
    for boundary in ("", "\n"):
        tokens = ids(head + boundary)
        if whole[: len(tokens)] == tokens:
            return boundary
    return ""


@lru_cache(maxsize=8)
def _stop_pattern(stops: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{stop})" for stop in stops))
