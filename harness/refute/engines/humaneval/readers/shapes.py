"""What the tools of the field write of a sample: its task, its text, and whether it passed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

# How a text becomes a program: it follows the prompt, it is all of it, or it is a chat's whole answer.
Kind = Literal["completion", "program", "answer"]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Given:
    """One sample as a file gives it. `task` is the file's own id for the problem, or its place where `placed`."""

    task: object
    text: object
    kind: Kind
    passed: bool | None = None
    sample: object = None
    placed: bool = False


def given_by(row: Row) -> list[Given]:
    """The samples in one row. Raises ValueError, which says what was found, for a row of no tool that is known."""
    for key, shape in _SHAPES.items():
        if key in row:
            return list(shape(row))
    if row and all(str(key)[-1:].isdigit() for key in row):
        return [given for task, found in row.items() for given in _by_task(task, found)]
    keys = ", ".join(map(repr, list(row)[:8])) or "none"
    known = ", ".join(map(repr, _SHAPES))
    raise ValueError(f"no sample of a known tool: none of the keys {known}; found {keys}")


def _human_eval(row: Row) -> Iterator[Given]:
    passed, sample = _flag(row.get("passed")), row.get("sample")
    for text in row["completion"] if isinstance(row["completion"], list) else [row["completion"]]:
        yield Given(_task(row), text, "completion", passed, sample)


def _multipl_e(row: Row) -> Iterator[Given]:
    for text in _texts(row["completions"]):
        yield Given(_task(row), text, "completion")


def _said_in(key: str, kind: Kind = "answer") -> Callable[[Row], Iterator[Given]]:
    """Rows with one text, or several, under `key`."""

    def shape(row: Row) -> Iterator[Given]:
        for text in _texts(row[key]):
            yield Given(_task(row), _said(text) if isinstance(text, Mapping) else text, kind)

    return shape


def _openai(row: Row) -> Iterator[Given]:
    """A response of OpenAI's protocol beside its task, or a line of a batch's output."""
    response = row.get("response", row)
    body = response.get("body", response) if isinstance(response, Mapping) else response
    if isinstance(body, Mapping):
        yield Given(_task(row), _said(body), "answer")
    else:
        yield from _said_in("response")(row)


def _messages(row: Row) -> Iterator[Given]:
    """A conversation: the last turn of the assistant is the answer."""
    turns = [turn for turn in row["messages"] if isinstance(turn, Mapping) and turn.get("role") == "assistant"]
    yield Given(_task(row), _content(turns[-1].get("content")) if turns else None, "answer")


def _by_task(task: str, found: object) -> Iterator[Given]:
    """One object with a key for each task: a text, several, or a row."""
    if isinstance(found, Mapping):
        yield from given_by({"task_id": task, **found})
    else:
        yield from _said_in("response")({"task_id": task, "response": found})


def _task(row: Row) -> object:
    """The problem's id by the names that tools have for it."""
    found = next((row[key] for key in ("task_id", "custom_id", "name", "id") if row.get(key) is not None), None)
    return int(found) if isinstance(found, float) and found.is_integer() else found


def _evalplus(row: Row) -> Iterator[Given]:
    status = row.get("base_status")
    # Its base tests are HumanEval's own; `plus_status` is about others.
    passed = None if status is None else status in ("pass", "success")
    yield Given(row.get("task_id"), row.get("solution"), "program", passed)


def _bigcode(row: Row) -> Iterator[Given]:
    for text in row["generations"]:
        yield Given(row["place"], text, "program", placed=True)


def _lm_eval(row: Row) -> Iterator[Given]:
    document = row.get("doc")
    named = document.get("task_id") if isinstance(document, Mapping) else None
    # Its filters put prompt and answer together; without one there is the answer.
    texts = list(_texts(row.get("filtered_resps"))) or list(_texts(row["resps"]))
    share = row.get("pass@1")
    passes = None if share is None else round(float(share) * len(texts))
    for place, text in enumerate(texts):
        passed = None if passes is None else place < passes
        yield Given(row.get("doc_id") if named is None else named, text, "program", passed, placed=named is None)


def _inspect(row: Row) -> Iterator[Given]:
    if not isinstance(row["output"], Mapping):
        yield from _said_in("output")(row)
        return
    scores = row.get("scores")
    first: Row = next(iter(scores.values()), {}) if isinstance(scores, Mapping) else {}
    value = first.get("value")
    passed = value in ("C", 1, 1.0, True) if isinstance(value, str | int | float) else None
    if isinstance(first.get("answer"), str):
        yield Given(row.get("id"), first["answer"], "completion", passed)
    else:
        yield Given(row.get("id"), _said(row["output"]), "answer", passed)


def _said(output: Any) -> object:
    if isinstance(output, Mapping) and isinstance(output.get("completion"), str):
        return output["completion"]
    try:
        content = output["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return None
    return _content(content)


def _content(content: object) -> object:
    """The text of a message, which may come in parts."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, Mapping))
    return content


def _texts(value: Any) -> Iterator[object]:
    """The texts in lists of lists, as deep as they are."""
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif value is not None:
        yield value


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


# The key that only this tool's rows have. The first that is there decides. Where a tool leaves open what its text is,
# it is read as a chat's answer, which may be a body, a program or a block.
_SHAPES: Mapping[str, Callable[[Row], Iterator[Given]]] = MappingProxyType(
    {
        "completion": _human_eval,
        "solution": _evalplus,
        "base_status": _evalplus,
        "generations": _bigcode,
        "resps": _lm_eval,
        "output": _inspect,
        "completions": _multipl_e,
        "response": _openai,
        "choices": _openai,
        "messages": _messages,
        **{key: _said_in(key) for key in ("responses", "generation", "raw_generation", "prediction", "samples")},
        "code": _said_in("code", "program"),
    }
)
