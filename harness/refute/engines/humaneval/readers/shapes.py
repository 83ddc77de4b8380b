"""What the tools of the field write of a sample: its task, its text, and whether it passed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
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


# Names that tools have for the problem's id; those that may be a row's own come last. And where the problem stands.
_IDS = ("task_id", "custom_id", "question_id", "problem_id", "taskId", "instance_id")
_OWN_IDS = ("name", "id", "key")
_HOLDERS = ("doc", "vars", "metadata", "sample_metadata", "instance")
# Where a text is, the innermost first, and which parts are none of the answer.
_ANSWERS = ("choices", "candidates", "completions")
_SAY = ("completion", "text", *_ANSWERS, "message", "content", "parts", "output", "generated_text", "value")
# Names that tools have for a verdict, and how they write it.
_VERDICTS = ("passed", "is_correct", "correct", "status")
_VERDICT_WORDS = {"true": True, "pass": True, "passed": True, "false": False, "fail": False, "failed": False}
_THOUGHTS = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_text"})


def given_by(row: Row) -> list[Given]:
    """The samples in one row. Raises ValueError, which says what was found, for a row of no tool that is known."""
    for key, shape in _SHAPES.items():
        if key in row:
            return _told(row, list(shape(row)))
    if row and all(str(key)[-1:].isdigit() for key in row):
        return [given for task, found in row.items() for given in _by_task(task, found)]
    keys = ", ".join(map(repr, list(row)[:8])) or "none"
    known = ", ".join(map(repr, _SHAPES))
    raise ValueError(f"no sample of a known tool: none of the keys {known}; found {keys}")


def _told(row: Row, given: list[Given]) -> list[Given]:
    """`given` with the verdicts that the row has under a name of its own, where the tool's own names have none."""
    found = row.get("graded_list", [next((row[key] for key in _VERDICTS if key in row), None)])
    verdicts = [_VERDICT_WORDS.get(str(each).lower()) for each in found] if isinstance(found, list) else []
    if len(verdicts) != len(given):
        return given
    return [
        each if each.passed is not None else replace(each, passed=told)
        for each, told in zip(given, verdicts, strict=True)
    ]


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
            yield Given(_task(row), _said(text), kind)

    return shape


def _served(row: Row) -> Iterator[Given]:
    """What a server answered beside its task, or a line of a batch's output: OpenAI's, Anthropic's, Gemini's."""
    response = row.get("response", row.get("result", row))
    if "response" not in row and not isinstance(response, Mapping):
        raise ValueError(f"result is {response!r:.40}, expected what a server answered")
    body = response.get("body", response) if isinstance(response, Mapping) else response
    if body is None and row.get("error"):
        raise ValueError(f"no answer, but an error: {row['error']!r:.80}")
    if isinstance(body, Mapping):
        several = next((body[key] for key in _ANSWERS if isinstance(body.get(key), list)), [body])
        for each in several:
            yield Given(_task(row), _said(each), "answer")
    else:
        yield from _said_in("response")({**row, "response": body})


def _messages(row: Row) -> Iterator[Given]:
    """A conversation: the last turn of the assistant is the answer."""
    turns = [turn for turn in row.get("messages", row.get("conversations")) if isinstance(turn, Mapping)]
    turns = [turn for turn in turns if turn.get("role", turn.get("from")) in ("assistant", "gpt")]
    yield Given(_task(row), _said(turns[-1]) if turns else None, "answer")


def _by_task(task: str, found: object) -> Iterator[Given]:
    """One object with a key for each task: a text, a row, or several."""
    for each in found if isinstance(found, list) else [found]:
        if isinstance(each, Mapping):
            yield from given_by({"task_id": task, **each})
        else:
            yield from _said_in("response")({"task_id": task, "response": each})


def _task(row: Row) -> object:
    """The problem's id by the names that tools have for it, in the row or in what it says of its problem."""
    holders = [row, *(row[key] for key in _HOLDERS if isinstance(row.get(key), Mapping))]
    places = [(holder, key) for keys in (_IDS, _OWN_IDS) for holder in holders for key in keys]
    found = next((holder[key] for holder, key in places if holder.get(key) is not None), None)
    return int(found) if isinstance(found, float) and found.is_integer() else found


def _evalplus(row: Row) -> Iterator[Given]:
    status = row.get("base_status")
    # Its base tests are HumanEval's own; `plus_status` is about others.
    passed = None if status is None else status in ("pass", "success")
    yield Given(row.get("task_id"), row.get("solution"), "program", passed)


def _bigcode(row: Row) -> Iterator[Given]:
    placed = "place" in row
    for text in _texts(row["generations"]):
        yield Given(row["place"] if placed else _task(row), text, "program", placed=placed)


def _lm_eval(row: Row) -> Iterator[Given]:
    document = row.get("doc")
    named = document.get("task_id") if isinstance(document, Mapping) else None
    # Its filters put prompt and answer together; without one there is the answer.
    texts = list(_texts(row.get("filtered_resps"))) or list(_texts(row["resps"]))
    share = row.get("pass@1", row.get("pass_at_1"))
    passes = None if share is None else round(float(share) * len(texts))
    for place, text in enumerate(texts):
        passed = None if passes is None else place < passes
        yield Given(row.get("doc_id") if named is None else named, text, "program", passed, placed=named is None)


def _lighteval(row: Row) -> Iterator[Given]:
    said = row["model_response"]
    for text in _texts(said.get("text", said.get("result"))):
        yield Given(_task(row), text, "answer")


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
    """The text in what a server or a library answered, however deep: a text, a message, its parts, the first choice.

    None where there is none. What a model thought stands in parts of their own, without a text.
    """
    if not isinstance(output, Mapping):
        return "".join(filter(None, map(_part, output))) if isinstance(output, list) else output
    found = next((output[key] for key in _SAY if output.get(key) is not None), None)
    if isinstance(found, list) and any(key in output for key in _ANSWERS):
        found = found[0] if found else None
    return _said(found)


def _part(part: Any) -> str:
    said = _said(part) if isinstance(part, Mapping) and part.get("type") not in _THOUGHTS else None
    return said if isinstance(said, str) else ""


def _texts(value: Any) -> Iterator[object]:
    """The texts in lists of lists, as deep as they are."""
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif value is not None:
        yield value


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


# Libraries and scripts that keep the whole answer of a model.
_TEXTS = (
    "responses",
    "generation",
    "raw_generation",
    "prediction",
    "predictions",
    "predicted_text",
    "actual_output",
    "samples",
    "generated_text",
    "model_output",
    "outputs",
    "output_list",
    "message",
    "answer",
    "content",
)
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
        **dict.fromkeys(("response", "result", "choices", "candidates"), _served),
        **dict.fromkeys(("messages", "conversations"), _messages),
        "model_response": _lighteval,
        **{key: _said_in(key) for key in _TEXTS},
        "code": _said_in("code", "program"),
    }
)
