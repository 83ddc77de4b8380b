"""The two prompt protocols, written down a second time: what a model must be asked, and where its answer ends."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from refute.engines.humaneval.audit.problem_file import Task
from refute.errors import MissingInputsError

# An answer ends at the leftmost match: of a closing fence, or where a line begins in column 0 with anything but white
# space, a comment or a closing bracket.
_STATEMENT = r"\n(?=[^\s#)\]}])"
STOPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"chat_primed": (r"\n?[ \t]*```", _STATEMENT), "completion": (_STATEMENT,)}
)
_REQUEST = "Complete the following Python function.\n```python\n{head}\n```"
_OPENING = "```python\n"


class Questioner:
    """Puts tasks to the model in `folder` by a protocol, from its tokenizer.json and chat template alone.

    Raises MissingInputsError where the folder lacks what the protocol needs.
    """

    def __init__(self, folder: Path, protocol: str, system_prompt: str | None = None) -> None:
        self.stops, self._system_prompt = STOPS[protocol], system_prompt
        self._tokenizer = Tokenizer.from_file(str(_existing(folder / "tokenizer.json")))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._chat = _template(folder) if protocol == "chat_primed" else None
        self._stop = re.compile("|".join(f"(?:{stop})" for stop in self.stops))

    def ids(self, task: Task) -> list[int]:
        """The tokens that the model continues; a chat template places special tokens itself."""
        text = task.head + self.carried(task)
        if self._chat is None:
            return self._encode(text, special=True)
        question = _REQUEST.replace("{head}", task.head)
        return self._encode(self._chat.render(question, self._system_prompt) + _OPENING + text)

    def carried(self, task: Task) -> str:
        """The newline after the head where this tokenizer would take it into the head's last token, else nothing."""
        whole = self._encode(f"{task.head}\n    return")
        for end in ("", "\n"):
            ids = self._encode(task.head + end)
            if whole[: len(ids)] == ids:
                return end
        return ""

    def decode(self, ids: list[int]) -> str:
        """The text of new tokens."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))

    def encode(self, text: str) -> list[int]:
        """The tokens of a text that goes on from another: most likely those that a model said it in."""
        return self._encode(text)

    def end(self, text: str) -> int | None:
        """Where in `text`, which follows the head, the answer ends; None if it has not ended."""
        found = self._stop.search(text)
        return None if found is None else found.start()

    def _encode(self, text: str, *, special: bool = False) -> list[int]:
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=special).ids
        return found


class _Chat:
    """A chat template with the tokens that it may name."""

    def __init__(self, source: str, tokens: Mapping[str, Any]) -> None:
        # As templates are written for: transformers renders them with these two settings.
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        self._template, self._tokens = environment.from_string(source), tokens

    def render(self, question: str, system_prompt: str | None) -> str:
        """One turn of a user, behind that of the system where there is one, and the beginning of the assistant's."""
        turns = [{"role": "user", "content": question}]
        if system_prompt is not None:
            turns.insert(0, {"role": "system", "content": system_prompt})
        return self._template.render(messages=turns, add_generation_prompt=True, tools=None, **self._tokens)


def _refuse(message: str) -> NoReturn:
    raise MissingInputsError(
        f"the chat template refuses a user's turn, or the system's: {message}", hint="choose `completion`"
    )


def _template(folder: Path) -> _Chat:
    settings = json.loads(_existing(folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    own = folder / "chat_template.jinja"
    source = own.read_text(encoding="utf-8") if own.is_file() else settings.get("chat_template")
    if not isinstance(source, str):
        raise MissingInputsError(
            f"{folder} holds no chat template", hint="choose `completion`, or give the tokenizer its chat_template"
        )
    return _Chat(source, {name: _text(value) for name, value in settings.items() if name.endswith("_token")})


def _text(token: object) -> object:
    return token["content"] if isinstance(token, dict) and "content" in token else token


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise MissingInputsError(f"no {path.name} in {path.parent}", hint="save the model with its fast tokenizer")
    return path
