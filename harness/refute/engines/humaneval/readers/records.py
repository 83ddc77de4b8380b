"""The records of a file: lines of JSON, an array, or what a tool's own document holds. What is none of it is named."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_DECODER = json.JSONDecoder()
# Keys of a row, and of a table that has a list under each.
_IDS = ("task_id", "id", "name")


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `number` is its line, or its place from 1. `fault` says why there is no `value`."""

    number: int
    value: Any = None
    fault: str = ""


def records(data: bytes) -> list[Record]:
    """The records in `data`. Raises ValueError, which says what it is, for a document that holds none by its kind."""
    if (document := _document(data)) is None:
        return _last_filter(list(_lines(data)))
    return _last_filter([Record(number, value) for number, value in enumerate(_held_by(document), start=1)])


def _document(data: bytes) -> Any:
    """The whole as one JSON value, if it is an array or an object."""
    if not data.lstrip().startswith((b"[", b"{")):
        return None
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _lines(data: bytes) -> Iterator[Record]:
    """A value a line; or, where the first line is none, one value behind the other, as `jq` prints them."""
    if found := _one_behind_the_other(data):
        yield from found
        return
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.strip():
            try:
                yield Record(number, json.loads(line.decode("utf-8")))
            except (ValueError, RecursionError) as error:
                yield Record(number, fault=f"not JSON: {error}")


def _one_behind_the_other(data: bytes) -> list[Record]:
    """The values in `data` if it is nothing else and the first takes several lines, each with its first line."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return []
    found, line = list[Record](), 1
    place, before = len(text) - len(text.lstrip()), 0
    while place < len(text):
        line, before = line + text.count("\n", before, place), place
        try:
            value, end = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            return []
        if not found and "\n" not in text[place:end]:
            return []
        found.append(Record(line, value))
        place = end + len(text[end:]) - len(text[end:].lstrip())
    return found


def _last_filter(found: list[Record]) -> list[Record]:
    """lm-eval writes each sample once for each of its filters: those of the last one, the others are drafts of it."""
    names = [each.value["filter"] for each in found if isinstance(each.value, dict) and "filter" in each.value]
    return [
        each for each in found if not isinstance(each.value, dict) or each.value.get("filter") in (None, *names[-1:])
    ]


def _held_by(document: Any) -> list[Any]:
    if isinstance(document, list):
        if document and all(isinstance(texts, list) for texts in document):
            return [_generation(place, texts) for place, texts in enumerate(document)]
        return document
    if isinstance(document.get("eval"), Mapping) and isinstance(document.get("samples"), list):
        return list(document["samples"])
    if isinstance(document.get("eval"), Mapping) and "task_id" not in document:
        return [row for task, found in document["eval"].items() for row in _evalplus(task, found)]
    if isinstance(document.get("results"), Mapping) and "task_id" not in document:
        raise ValueError("lm-eval's table of scores, and no samples: name its samples_….jsonl (--log_samples)")
    if isinstance(document.get("config"), Mapping) and "task_id" not in document:
        raise ValueError("bigcode's table of scores, and no samples: name its generations (--save_generations)")
    return _columns(document) or _only_list(document) or [document]


def _columns(document: Mapping[str, Any]) -> list[Any]:
    """A table that has a list of values under each name: its rows."""
    ids: list[Any] = next((document[key] for key in _IDS if isinstance(document.get(key), list)), [])
    columns = {name: values for name, values in document.items() if isinstance(values, list)}
    if any(len(values) != len(ids) for values in columns.values()):
        return []
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _only_list(document: Mapping[str, Any]) -> list[Any]:
    """The rows under the only name that has some, in an object that is no row itself; a task's name is none."""
    lists = [(name, rows) for name, rows in document.items() if isinstance(rows, list) and rows]
    if len(lists) != 1 or any(key in document for key in _IDS) or lists[0][0][-1:].isdigit():
        return []
    return lists[0][1] if all(isinstance(row, dict) and any(key in row for key in _IDS) for row in lists[0][1]) else []


def _generation(place: int, texts: list[Any]) -> dict[str, Any]:
    """bigcode-evaluation-harness: a list of programs a problem, and no ids."""
    return {"generations": texts, "place": place}


def _evalplus(task: str, found: Any) -> list[Any]:
    """EvalPlus's results: a list of rows a task, or, in its older ones, lists of outcomes."""
    if isinstance(found, Mapping) and isinstance(found.get("base"), list):
        return [{"task_id": task, "base_status": outcome[0]} for outcome in found["base"]]
    rows = found if isinstance(found, list) else [found]
    return [{"task_id": task, **row} if isinstance(row, Mapping) else row for row in rows]
