"""What code is wrapped in beside Markdown: JSON, tags, an indented block, a console, a diff, numbers of lines.

A wrapping is taken off only where it is one from end to end; between its marks no character of the code is changed.
"""

from __future__ import annotations

import ast
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise

from refute.engines.humaneval.answers.blocks import at_the_margin

_OPENING = re.compile(r"<([a-z][\w:-]*)\b[^<>]*>", re.IGNORECASE)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG = re.compile(r"</?(?:pre|code|span|div|p|b|i|em|strong|font|a)\b[^<>]*>", re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
# Marks of forums and trackers: `[code=python] ... [/code]`, `{code:python} ... {code}`.
_MARK = re.compile(r"\[(?P<forum>[a-z]+)\b[^\[\]\n]*\]|\{(?P<tracker>code|noformat)\b[^{}\n]*\}", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|apos|nbsp|#x?[0-9a-f]+);", re.IGNORECASE)
# YAML's literal text, and a directive of reStructuredText.
_INDENTED = re.compile(
    r"^([ \t]*)(?:(?:- )?[\w.-]+:[ \t]*\|[-+]?|\.\. code(?:-block)?::.*)[ \t]*\n"
    r"((?:\1[ \t]+\S.*(?:\n|\Z)|[ \t]*\n)+)",
    re.MULTILINE,
)
_PROMPT = re.compile(r"[ \t]*(?:>>>|\.\.\.|In \[\d+\]:|[ ]+\.\.\.:)(?: (.*)|[ \t]*)$")
_LEAVES = ("exit", "exit()", "quit", "quit()")
_NUMBERED = re.compile(r"[ \t]*(\d+)(?:[ \t]*[:.|)\u2502\u2192]|(?=\s|$))[ \t]?(.*)$")
_QUOTATION = re.compile(r"(?:^>(?!>>).*(?:\n|\Z))+", re.MULTILINE)
_HUNK = re.compile(r"^(?:@@ .*@@|\+\+\+ |diff --git |\*\*\* Begin Patch)", re.MULTILINE)
_OF_NO_FILE = ("*** ", "+++ ", "--- ", "@@", "-", "diff ", "index ", "new file", "\\")
_SPAN = re.compile(r"(?<!`)(`{1,3})(?:i?py(?:thon)?[0-9.]*[ \t]+)?([^`\n]+)\1(?!`)", re.IGNORECASE)
# So many beginnings of a JSON value, and so many tags, are tried in a text.
_TRIED = 200


def unwrapped(text: str) -> Iterator[tuple[str, str]]:
    """Each text that `text`, or a part of it, is when a wrapping is taken off, with words for that wrapping."""
    for words, inside in _WRAPPINGS:
        for found in inside(text):
            yield words, found


def escaped(code: str) -> bool:
    """Whether every `<`, `>` and `&` is written as HTML's entity for it, and there is one: no code is written so."""
    entities = len(_ENTITY.findall(code))
    return entities > 0 and code.count("&") == entities and not {"<", ">"} & {*code}


def _json(text: str) -> Iterator[str]:
    """The texts within each JSON value that stands in `text`; a notebook's cells as one text in Markdown."""
    # Models write line ends into their texts as they are.
    decoder, end = json.JSONDecoder(strict=False), 0
    for start in [found.start() for found in re.finditer(r'[\[{]|\A\s*(?=")', text)][:_TRIED]:
        if start >= end:
            try:
                value, end = decoder.raw_decode(text, len(text) - len(text[start:].lstrip()))
                found = [*_texts(value)]
            except (ValueError, RecursionError):
                continue
            yield from found
    if end == 0 and text.lstrip().startswith(("{", "[")):
        yield from _texts(_printed(text))


def _printed(text: str) -> object:
    """The value that Python shows as `text`, or None."""
    try:
        return ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        # Arguments of a call are JSON within JSON.
        yield from _json(value) if value.startswith("{") else ()
    elif isinstance(value, dict):
        cells = value.get("cells")
        yield from [_notebook(cells)] if isinstance(cells, list) else []
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        yield from [_joined(value)] if len(value) > 1 else []
        for each in value:
            yield from _texts(each)


def _notebook(cells: Iterable[object]) -> str:
    found = [each for each in cells if isinstance(each, dict) and each.get("cell_type") == "code"]
    return "\n".join(f"````python\n{_joined(each.get('source'))}\n````" for each in found)


def _joined(lines: object) -> str:
    """A text that is kept as a list of its lines."""
    texts = [each for each in lines if isinstance(each, str)] if isinstance(lines, list) else [str(lines)]
    ended = all(each.endswith("\n") for each in texts[:-1])
    return ("" if ended else "\n").join(texts)


def _tagged(text: str) -> Iterator[str]:
    """What stands within tags, HTML's or a tool's."""
    for opening in islice(_OPENING.finditer(text), _TRIED):
        if (end := text.find(f"</{opening[1]}", opening.end())) >= 0:
            inside = _TAG.sub("", _BREAK.sub("\n", text[opening.end() : end]))
            yield _plain(inside) if escaped(inside) else inside


def _marked(text: str) -> Iterator[str]:
    """What stands between marks of a kind that opens and closes, other than tags."""
    for found in islice(_CDATA.finditer(text), _TRIED):
        yield found[1]
    for opening in islice(_MARK.finditer(text), _TRIED):
        closing = f"[/{opening['forum']}]" if opening["forum"] else f"{{{opening['tracker']}}}"
        if (end := text.find(closing, opening.end())) >= 0:
            yield text[opening.end() : end]


def _escaped(text: str) -> Iterator[str]:
    yield from [_plain(text)] if escaped(text) else []


def _plain(text: str) -> str:
    return html.unescape(text.replace("&nbsp;", " ").replace("&#160;", " "))


def _indented(text: str) -> Iterator[str]:
    for block in _INDENTED.finditer(text):
        yield at_the_margin(block[2])


def _console(text: str) -> Iterator[str]:
    """What was typed behind the prompts of Python or IPython, until the console was left."""
    typed = [found[1] or "" for line in text.split("\n") if (found := _PROMPT.match(line))]
    kept = [line for line in typed if line.strip() not in _LEAVES]
    yield from ["\n".join(kept)] if kept else []


def _quoted(text: str) -> Iterator[str]:
    """Lines in a row that are marked as a quotation, or one of a quotation, as a mail's are; a console is none."""
    for lines in _QUOTATION.findall(text):
        yield re.sub(r"^(?:>(?!>>) ?)+", "", lines, flags=re.MULTILINE)


def _diff(text: str) -> Iterator[str]:
    """The new side of a diff: hunks, or lines that are all added, taken away or kept, and some of them changed."""
    lines = [line for line in text.split("\n") if line.strip()]
    marked = all(line[0] in "+- \\" for line in lines) and any(line[0] in "+-" for line in lines)
    if marked or _HUNK.search(text):
        kept = [line for line in text.split("\n") if not line.startswith(_OF_NO_FILE)]
        yield "\n".join(line[1:] for line in kept)


def _numbered(text: str) -> Iterator[str]:
    """Lines that are all numbered, one after the other."""
    found = [_NUMBERED.match(line) for line in text.split("\n") if line.strip()]
    lines = [(int(each[1]), each[2]) for each in found if each]
    if len(lines) == len(found) > 1 and all(after[0] == before[0] + 1 for before, after in pairwise(lines)):
        yield at_the_margin("\n".join(line for _, line in lines))


def _escapes(text: str) -> Iterator[str]:
    """A text in a single line that has the ends of its lines as JSON writes them."""
    if "\\n" in text and "\n" not in text.strip():
        for quoted in (text, re.sub(r'(?<!\\)"', r"\"", text)):
            try:
                yield json.loads(f'"{quoted.strip()}"')
            except ValueError:
                continue


def _spans(text: str) -> Iterator[str]:
    for span in reversed([*_SPAN.finditer(text)]):
        yield span[2]


_WRAPPINGS: tuple[tuple[str, Callable[[str], Iterator[str]]], ...] = (
    ("within JSON", _json),
    ("within tags", _tagged),
    ("between marks", _marked),
    ("with its signs escaped for HTML", _escaped),
    ("in an indented block", _indented),
    ("behind a console's prompts", _console),
    ("in a quotation", _quoted),
    ("the new side of a diff", _diff),
    ("behind numbers of lines", _numbered),
    ("with its line ends escaped", _escapes),
    ("within a line", _spans),
)
