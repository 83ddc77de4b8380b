"""YAML files -> plain data that remembers its lines, and pydantic models whose every fault has a line.

Refused, because a reviewer would be misled or a parser harmed: duplicate keys, anchors, aliases, merge
keys, tags, directives, several documents, keys that are not text, unquoted words that YAML versions
read differently (scalars.py), files above 1 MiB, nesting above 40 levels. All faults of a file
are reported at once; after a syntax error the rest of the file cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from refute.disk import open_regular
from refute.errors import Problem, SpecError
from refute.spec.yaml.model_paths import keys_at
from refute.spec.yaml.scalars import Scalar, read_plain
from refute.spec.yaml.suggest import suggestion

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40
MAX_PROBLEMS = 100
KeyPath = tuple[str | int, ...]
Value = Scalar | list["Value"] | dict[str, "Value"]
Model = TypeVar("Model", bound=BaseModel)

# libyaml reads a specification of 300 lines in a few milliseconds; the pure parser is the fallback.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Line breaks to YAML 1.1, ordinary characters to YAML 1.2 and to editors: lines would not agree.
_ODD_BREAKS = ("\x85", "\u2028", "\u2029")


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed YAML file: its top-level mapping and the line of every key and list item."""

    data: dict[str, Value]
    lines: Mapping[KeyPath, int]
    file: str

    def line_of(self, path: Sequence[str | int]) -> int:
        """The line, from 1, of the key or item at `path`; of its nearest parent if there is none."""
        for end in range(len(path), 0, -1):
            if tuple(path[:end]) in self.lines:
                return self.lines[tuple(path[:end])]
        return self.lines.get((), 1)

    def problem(self, path: Sequence[str | int], message: str, code: str = "") -> Problem:
        """A problem at `path` of this file."""
        return Problem(self.file, self.line_of(path), dotted(path), message, code)


def dotted(path: Sequence[str | int]) -> str:
    """`("criteria", 3, "id")` as `criteria[3].id`."""
    parts = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return "".join(parts).removeprefix(".")


def read_text(path: Path) -> str:
    """The UTF-8 text of a small file, line ends untouched: encoding it gives the file's bytes again.

    Raises SpecError if it cannot be read, is above 1 MiB, is not UTF-8 or starts with a byte order mark.
    """
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _refusal(path, 1, f"cannot be read: {reason}") from error
    if len(data) > MAX_BYTES:
        raise _refusal(path, 1, f"is larger than {MAX_BYTES} bytes, the most that a YAML file here may have")
    if data.startswith(b"\xef\xbb\xbf"):
        raise _refusal(path, 1, "starts with a byte order mark: save it as plain UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refusal(path, line, f"is not UTF-8: {error.reason} at byte {error.start}") from error


def load_yaml(path: Path) -> Document:
    """Parse the YAML file at `path`. Raises SpecError, and nothing else, with every problem found."""
    return parse_yaml(read_text(path), str(path))


def parse_yaml(text: str, name: str) -> Document:
    """Parse YAML text; `name` stands for the file in problems. Raises SpecError with every problem found."""
    document, problems = parse_leniently(text, name)
    if problems:
        raise SpecError(problems)
    return document


def parse_leniently(text: str, name: str) -> tuple[Document, tuple[Problem, ...]]:
    """As `parse_yaml`, but problems that leave the rest of the text readable are returned, by line.

    Of a repeated key the first value stays, of any other problem the raw text. Raises SpecError where the text could
    not be read to its end, or is no mapping.
    """
    for character in _ODD_BREAKS:
        if character in text:
            line = text.count("\n", 0, text.index(character)) + 1
            message = f"holds U+{ord(character):04X}, a line break to some YAML readers only: remove it"
            raise _refusal(name, line, message)
    return _Reader(name).read(text)


def validate(document: Document, model: type[Model]) -> Model:
    """`document` as a `model`. Raises SpecError with one problem a fault: line, dotted key, suggestion."""
    try:
        # By way of JSON, so that strict models still accept enum values and tuples.
        return model.model_validate_json(json.dumps(document.data))
    except ValidationError as error:
        raise SpecError(_problems(error, document, model)) from error


def located(faults: Sequence[tuple[KeyPath, str]]) -> PydanticCustomError:
    """An error for a model's validator to raise: `validate` reports each message at its path below it."""
    message = "; ".join(f"{dotted(path)}: {text}" for path, text in faults)
    return PydanticCustomError("located", "{message}", {"message": message, "faults": tuple(faults)})


def _refusal(file: Path | str, line: int, message: str) -> SpecError:
    return SpecError([Problem(str(file), line, "", message)])


class _StopReading(Exception):
    """Nothing sensible can be said about the rest of the file."""


class _Reader:
    """Builds data from parser events, so that a bomb is refused before anything is expanded."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: list[Problem] = []
        self._lines: dict[KeyPath, int] = {}
        self._events: Iterator[yaml.Event] = iter(())

    def read(self, text: str) -> tuple[Document, tuple[Problem, ...]]:
        data: Value = None
        try:
            self._events = iter(yaml.parse(text, Loader=_LOADER))
            data = self._document()
        except _StopReading:
            pass
        except yaml.MarkedYAMLError as error:
            self._problems.append(self._syntax_problem(error))
        except (yaml.YAMLError, UnicodeError) as error:
            self._problems.append(Problem(self._file, 1, "", f"is not YAML: {_first_line(error)}"))
        if not self._problems and not isinstance(data, dict):
            self._problems.append(Problem(self._file, 1, "", "expected keys and values at the top"))
        problems = sorted(self._problems, key=lambda each: each.line)
        if not isinstance(data, dict):
            raise SpecError(problems)
        return Document(data, self._lines, self._file), tuple(problems)

    def _document(self) -> Value:
        next(self._events)  # start of the stream
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            self._problems.append(Problem(self._file, 1, "", "is empty: expected keys and values"))
            raise _StopReading
        if isinstance(start, yaml.DocumentStartEvent) and (start.version or start.tags):
            self._report(start, (), "YAML directives (lines that start with %) are not allowed")
        data = self._node(next(self._events), ())
        next(self._events)  # end of the document
        more = next(self._events)
        if not isinstance(more, yaml.StreamEndEvent):
            self._fatal(more, (), "a second YAML document starts here; expected one a file")
        return data

    def _node(self, event: yaml.Event, path: KeyPath) -> Value:
        self._refuse_indirection(event, path)
        if isinstance(event, yaml.AliasEvent):
            return None
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= MAX_DEPTH:
            self._fatal(event, path[:3], f"is nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, path)
        return self._mapping(event, path)

    def _sequence(self, start: yaml.Event, path: KeyPath) -> list[Value]:
        self._lines.setdefault(path, _line(start))
        items: list[Value] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            place = (*path, len(items))
            self._lines[place] = _line(event)
            items.append(self._node(event, place))
        return items

    def _mapping(self, start: yaml.Event, path: KeyPath) -> dict[str, Value]:
        self._lines.setdefault(path, _line(start))
        mapping: dict[str, Value] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            place = (*path, key)
            if key in mapping:
                self._report(event, place, f"duplicate key `{key}`, first on line {self._lines[place]}")
            else:
                self._lines[place] = _line(event)
            value = self._node(next(self._events), place)
            mapping.setdefault(key, value)
        return mapping

    def _key(self, event: yaml.Event, path: KeyPath) -> str:
        self._refuse_indirection(event, path)
        if not isinstance(event, yaml.ScalarEvent):
            self._fatal(event, path, "a key must be plain text, not a list, mapping or alias")
        if event.value == "<<" and _is_plain(event):
            self._report(event, path, "merge keys (`<<`) are not allowed: write the keys out")
            return "<<"
        key = self._scalar(event, path)
        if not isinstance(key, str):
            self._report(event, path, f"the key `{event.value}` is not text: quote it")
        return str(event.value)

    def _scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> Scalar:
        if not _is_plain(event):
            return str(event.value)
        try:
            return read_plain(event.value)
        except ValueError as error:
            self._report(event, path, str(error))
            return str(event.value)

    def _refuse_indirection(self, event: yaml.Event, path: KeyPath) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._report(event, path, f"aliases (`*{event.anchor}`) are not allowed: write the value out")
        elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self._report(event, path, f"anchors (`&{event.anchor}`) are not allowed: write the value out")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            self._report(event, path, f"tags (`{event.tag}`) are not allowed: quote the value if it is text")

    def _report(self, event: yaml.Event, path: KeyPath, message: str) -> None:
        self._problems.append(Problem(self._file, _line(event), dotted(path), message))
        if len(self._problems) >= MAX_PROBLEMS:
            message = f"{MAX_PROBLEMS} problems so far; the rest of the file was not read"
            self._problems.append(Problem(self._file, _line(event), "", message))
            raise _StopReading

    def _fatal(self, event: yaml.Event, path: KeyPath, message: str) -> NoReturn:
        self._report(event, path, message)
        raise _StopReading

    def _syntax_problem(self, error: yaml.MarkedYAMLError) -> Problem:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        context = f"{error.context}: " if error.context else ""
        message = f"is not YAML: {context}{error.problem or 'syntax error'}"
        if "block scalar" in context:
            message += "; a value that starts with `>` or `|` must be quoted"
        return Problem(self._file, line, "", message)


def _is_plain(event: yaml.ScalarEvent) -> bool:
    """Whether a scalar was written bare, not quoted or as a block; PyYAML's two parsers differ here."""
    return event.style in (None, "")


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["unreadable"])[0]


def _problems(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """One problem a place: the members of a union complain separately about the same value."""
    messages: dict[KeyPath, list[str]] = {}
    for detail in error.errors(include_url=False):
        path = _data_path(detail, document.data)
        for place, message in _faults(detail, path, document, model):
            here = messages.setdefault(place, [])
            if message not in here:
                here.append(message)
    problems = [document.problem(path, _joined(texts)) for path, texts in messages.items()]
    return sorted(problems, key=lambda each: (each.line, each.key, each.message))


def _data_path(detail: ErrorDetails, data: Value) -> KeyPath:
    """The part of pydantic's location that exists in the file: without union tags and `[key]` markers."""
    path: list[str | int] = []
    for key in detail["loc"]:
        if isinstance(data, dict) and isinstance(key, str) and key in data:
            data = data[key]
            path.append(key)
        if isinstance(data, list) and isinstance(key, int) and key < len(data):
            data = data[key]
            path.append(key)
    return tuple(path)


def _faults(
    detail: ErrorDetails, path: KeyPath, document: Document, model: type[BaseModel]
) -> list[tuple[KeyPath, str]]:
    kind, message = detail["type"], detail["msg"]
    if kind == "located" and "ctx" in detail:
        return [((*path, *below), text) for below, text in detail["ctx"]["faults"]]
    if kind == "missing":
        return [((*path, detail["loc"][-1]), "this required key is missing")]
    if kind == "extra_forbidden":
        known = keys_at(model, path[:-1], document.data)
        return [(path, f"unknown key `{path[-1]}`{suggestion(str(path[-1]), known)}")]
    if kind == "value_error":
        return [(path, message.removeprefix("Value error, "))]
    return [(path, f"{message.replace('Input should', 'should', 1)}, found {_shown(detail['input'])}")]


def _joined(messages: Sequence[str]) -> str:
    """Several complaints about one value as one sentence: `should be A or B, found C`."""
    ends = {message.rpartition(", found ")[2] for message in messages}
    starts = [message.rpartition(", found ")[0] for message in messages]
    if len(messages) > 1 and len(ends) == 1 and all(start.startswith("should be ") for start in starts):
        wanted = " or ".join(start.removeprefix("should be ") for start in starts)
        return f"should be {wanted}, found {ends.pop()}"
    return "; ".join(messages)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"
