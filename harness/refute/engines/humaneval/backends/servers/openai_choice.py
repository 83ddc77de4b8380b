"""What a server that speaks OpenAI's protocol answered: text, tokens, and why it ended; what is amiss is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from refute.errors import ExperimentError
from refute.spec.experiments.evidence.humaneval import Stop

# How servers say, in capitals or not, that an answer ended by itself, and that it was cut. Whatever else they say, such
# as `content_filter`, is no answer.
_ENDED = ("stop", "eos", "eos_token", "end_turn", "stop_sequence", "completed", "tool_calls")
_CUT = ("length", "max_tokens", "max_length", "model_length", "max_output_tokens")
_ENDINGS: Mapping[str, Stop] = MappingProxyType(
    {reason: "stop" if reason in _ENDED else "length" for reason in (*_ENDED, *_CUT)}
)


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer's `text`, why it ended, and its `tokens`: 0 where the server does not count them."""

    text: str
    tokens: int
    stop: Stop


def read_choice(task_id: str, answer: Any, *, chat: bool, budget: int) -> Choice:
    """The first choice of `answer`. One that says nothing of its end was cut if it is `budget` tokens long.

    A chat's null content is an empty answer where the model spent its tokens on reasoning. Raises ExperimentError,
    which names the condition that failed, for an answer that is none.
    """
    try:
        choice = answer["choices"][0]
        said = choice["message"] if chat else choice
        text = _text(said.get("content")) if chat else said.get("text")
        reason = choice.get("finish_reason") or None
    except (KeyError, IndexError, TypeError, AttributeError):
        raise _fault(task_id, f"it has no choices[0]{'.message' if chat else ''}", answer) from None
    tokens = _tokens(answer)
    if reason is None:
        stop: Stop = "length" if tokens >= budget else "stop"
    elif str(reason).lower() in _ENDINGS:
        stop = _ENDINGS[str(reason).lower()]
    else:
        raise _fault(task_id, f"its finish_reason is {reason!r}, expected one of {', '.join(_ENDINGS)}", answer)
    if text is None and chat and (_reasoned(said) or stop == "length"):
        text = ""
    if not isinstance(text, str):
        where = "choices[0].message.content" if chat else "choices[0].text"
        raise _fault(task_id, f"its {where} is {json.dumps(text)[:40]}, expected text", answer)
    return Choice(text, tokens, stop)


def _text(content: Any) -> Any:
    """A message's content, which may be a list of parts: the texts among them."""
    if not isinstance(content, list):
        return content
    return "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))


def _tokens(answer: Any) -> int:
    usage = answer.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, Mapping) else None
    return tokens if isinstance(tokens, int) else 0


def _reasoned(message: Any) -> bool:
    """Whether something else than an answer was said: thoughts, or that there will be none."""
    said = (message.get(key) for key in ("reasoning_content", "reasoning", "refusal"))
    return any(isinstance(each, str) and each for each in said)


def _fault(task_id: str, what: str, answer: Any) -> ExperimentError:
    return ExperimentError(
        f"{task_id}: the server's answer is none: {what}: {json.dumps(answer)[:300]}",
        hint="an answer that was filtered or cut is no answer; is this OpenAI's protocol?",
    )
