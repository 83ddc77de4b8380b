"""Conversations as each place of a release renders them: two in the folder, the file's metadata, llama.cpp itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gguf import GGUFReader
from transformers import PreTrainedTokenizerFast

from refute.engines.model.gguf import metadata
from refute.engines.model.server.llama_cpp import LlamaCpp
from refute.errors import ExperimentError
from refute.spec.experiments.evidence.export import Rendering

Turns = list[dict[str, str]]


def _turns(*texts: str, system: str | None = None) -> Turns:
    """A conversation that the user begins; `system` before it, where there is one."""
    roles = ("user", "assistant")
    spoken = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    return spoken if system is None else [{"role": "system", "content": system}, *spoken]


CONVERSATIONS: dict[str, Turns] = {
    "one question": _turns("What is 2 + 2?"),
    "with a system turn": _turns("Hello!", system="You answer in one word."),
    "with an empty system turn": _turns("Hello!", system=""),
    "several turns": _turns("Hi.", "Hello, how can I help?", "Write a haiku."),
    "code": _turns('```python\nprint("a {{ b }} {% c %}")\n```\n', system="Fix it."),
    "blanks around": _turns("  indented\n\n", "\tanswer \n", " again "),
    "other scripts": _turns("Größe 北京 🙂 e\u0301?", "نعم", "“Warum?”"),
}


def render_everywhere(
    folder: Path, tokenizer: PreTrainedTokenizerFast, reader: GGUFReader, server: LlamaCpp
) -> tuple[Rendering, ...]:
    """Every conversation by the templates of the folder and the file, and by llama.cpp.

    Where the file says that llama.cpp is to put the beginning itself, it takes the template's away; here it is there
    again. Raises ExperimentError for a template that cannot be rendered.
    """
    templates = {
        "tokenizer_config.json": _in_config(folder),
        "chat_template.jinja": _in_its_file(folder),
        "gguf": _text(metadata(reader, "tokenizer.chat_template")),
    }
    made = []
    for name, turns in CONVERSATIONS.items():
        texts = {place: _rendered(tokenizer, template, turns) for place, template in templates.items()}
        by_server = server.render(turns)
        begins = _beginnings(tokenizer, server.tokenize(by_server, add_special=True))
        texts["llama.cpp"] = _with_beginning(tokenizer, by_server, texts["gguf"])
        made.append(Rendering(conversation=name, texts=texts, begins=begins))
    return tuple(made)


def _rendered(tokenizer: PreTrainedTokenizerFast, template: str | None, turns: Turns) -> str | None:
    if template is None:
        return None
    try:
        text: Any = tokenizer.apply_chat_template(
            turns, chat_template=template, tokenize=False, add_generation_prompt=True
        )
    # A template is a program of others: what it raises is its own.
    except Exception as error:
        raise ExperimentError(
            f"a chat template cannot render {turns}: {type(error).__name__}: {error}",
            hint="templates must render conversations with and without a system turn",
        ) from error
    return str(text)


def _with_beginning(tokenizer: PreTrainedTokenizerFast, rendered: str, stated: str | None) -> str:
    begin = str(tokenizer.bos_token)
    is_taken = stated is not None and stated.startswith(begin) and not rendered.startswith(begin)
    return f"{begin}{rendered}" if is_taken else rendered


def _beginnings(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> int:
    """How many tokens at the front of `ids` are the one that begins a text, where the model has one of its own.

    Where the token that begins a text also begins each turn, as in SmolLM2, one is a turn's.
    """
    return next((n for n, number in enumerate(ids) if number != tokenizer.bos_token_id), len(ids))


def _in_config(folder: Path) -> str | None:
    path = folder / "tokenizer_config.json"
    return _text(json.loads(path.read_text(encoding="utf-8")).get("chat_template")) if path.is_file() else None


def _in_its_file(folder: Path) -> str | None:
    path = folder / "chat_template.jinja"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _text(found: object) -> str | None:
    return found if isinstance(found, str) else None
