"""The records of a file: lines of JSON, an array, or what a tool's own document holds. What is none of it is named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

_DECODER = json.JSONDecoder()
# Keys of a row, and of a table that has a list under each.
_IDS = ("task_id", "id", "name")
# Keys of a row that has its id within.
_HOLDERS = ("row", "doc", "vars", "instance")
# How what is no JSON begins, and its name.
_NO_JSON = (
    (re.compile(rb"(?=[^\n]*[,\t])[^\n{\[:]*\btask_id\b[^\n:]*(?:\n|\Z)"), "a table of CSV or TSV"),
    (re.compile(rb"(?:---\s+)?-?\s*task_id:"), "YAML"),
    (re.compile(rb"[\[{(\s]+'"), "values as Python shows them"),
)
# What may stand before the first value: the array that is cut or has a comma too many; and between two.
_BEFORE, _BETWEEN = re.compile(r"\s*\[?[\s\x1e]*"), re.compile(r"[\s\x1e,\]]*")


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `number` is its line, or its place from 1. `fault` says why there is no `value`."""

    number: int
    value: Any = None
    fault: str = ""


def records(data: bytes) -> list[Record]:
    """The records in `data`. Raises ValueError, which says what it is, for a document that holds none by its kind."""
    document = _document(data)
    values = () if document is None else _held_by(document)
    found = (
        _lines(data) if document is None else (Record(number, value) for number, value in enumerate(values, start=1))
    )
    read = [_opened(each) for each in found]
    if read and all(each.fault for each in read):
        _refuse_by_name(data)
    return _last_filter(read)


def _refuse_by_name(data: bytes) -> None:
    for beginning, name in _NO_JSON:
        if beginning.match(data):
            raise ValueError(f"{name}, where JSON is expected: write its rows as lines of JSON")


def _opened(record: Record) -> Record:
    """What stands in a record: JSON that was written as a text, or a row of the Hugging Face viewer's."""
    value = record.value
    if isinstance(value, str):
        try:
            return replace(record, value=json.loads(value))
        except (ValueError, RecursionError):
            return record
    inner = value.get("row") if isinstance(value, dict) else None
    return replace(record, value=inner) if isinstance(inner, dict) and "row_idx" in value else record


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
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    found = [_line(*each) for each in lines[:1]]
    if found and found[0].fault and (streamed := _one_behind_the_other(data)):
        yield from streamed
        return
    yield from found
    for each in lines[1:]:
        yield _line(*each)


def _line(number: int, line: bytes) -> Record:
    try:
        return Record(number, json.loads(line.decode("utf-8")))
    except (ValueError, RecursionError) as error:
        return Record(number, fault=f"not JSON: {error}")


def _one_behind_the_other(data: bytes) -> list[Record]:
    """The values in `data`, each with its first line; what is none is a fault, up to a line that begins an object.

    Empty where it begins with none. Commas between them, and an array's end that is missing, lose no value.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return []
    found, line, before, place = list[Record](), 1, 0, _behind(_BEFORE, text, 0)
    while place < len(text):
        line, before = line + text.count("\n", before, place), place
        try:
            value, place = _DECODER.raw_decode(text, place)
            found.append(Record(line, value))
        except (ValueError, RecursionError) as error:
            found.append(Record(line, fault=f"not JSON: {error}"))
            behind = text.find("\n{", place)
            place = len(text) if behind < 0 else behind
        if found[0].fault:
            return []
        place = _behind(_BETWEEN, text, place)
    return found


def _behind(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return found.end() if found else place


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
        if document and all(isinstance(text, str) and text.lstrip()[:1] != "{" for text in document):
            return [_generation(place, [text]) for place, text in enumerate(document)]
        return document
    if isinstance(document.get("eval"), Mapping) and isinstance(document.get("samples"), list):
        return list(document["samples"])
    if isinstance(document.get("eval"), Mapping) and "task_id" not in document:
        return [row for task, found in document["eval"].items() for row in _evalplus(task, found)]
    if isinstance(document.get("results"), Mapping) and "task_id" not in document:
        if rows := _only_list(document["results"]):
            return rows
        raise ValueError("lm-eval's table of scores, and no samples: name its samples_….jsonl (--log_samples)")
    if isinstance(document.get("config"), Mapping) and "task_id" not in document:
        raise ValueError("bigcode's table of scores, and no samples: name its generations (--save_generations)")
    return _columns(document) or _only_list(document) or [document]


def _columns(document: Mapping[str, Any]) -> list[Any]:
    """The rows of a table that has a list of values under each name, or an object with a key for each row (pandas)."""
    if isinstance(names := document.get("columns"), list) and isinstance(rows := document.get("data"), list):
        return [dict(zip(names, row, strict=False)) if isinstance(row, list) else row for row in rows]
    if any(isinstance(document.get(key), Mapping) for key in _IDS):
        document = {key: [*found.values()] for key, found in document.items() if isinstance(found, Mapping)}
    ids: list[Any] = next((document[key] for key in _IDS if isinstance(document.get(key), list)), [])
    columns = {name: values for name, values in document.items() if isinstance(values, list)}
    if any(len(values) != len(ids) for values in columns.values()):
        return []
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _only_list(document: Mapping[str, Any]) -> list[Any]:
    """The rows under the only name that has some, in an object that is no row itself; a task's name is none."""
    if any(key in document for key in _IDS):
        return []
    # What else has a name may be a column's description.
    for keys in ({_IDS[0], *_HOLDERS}, {*_IDS}):
        lists: list[list[Any]] = [
            rows for name, rows in document.items() if _are_rows(rows, keys) and not name[-1:].isdigit()
        ]
        if len(lists) == 1:
            return lists[0]
    return []


def _are_rows(found: Any, keys: set[str]) -> bool:
    return isinstance(found, list) and bool(found) and all(isinstance(row, dict) and keys & {*row} for row in found)


def _generation(place: int, texts: list[Any]) -> dict[str, Any]:
    """bigcode-evaluation-harness: a list of programs a problem, and no ids."""
    return {"generations": texts, "place": place}


def _evalplus(task: str, found: Any) -> list[Any]:
    """EvalPlus's results: a list of rows a task, or, in its older ones, lists of outcomes."""
    if isinstance(found, Mapping) and isinstance(found.get("base"), list):
        return [{"task_id": task, "base_status": outcome[0]} for outcome in found["base"]]
    rows = found if isinstance(found, list) else [found]
    return [{"task_id": task, **row} if isinstance(row, Mapping) else row for row in rows]
