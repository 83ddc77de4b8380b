"""Which code of an answer is meant: the last Python block that defines the function, with the imports that it needs."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from refute.engines.humaneval.answers.blocks import Block, Page, at_the_margin, read_page, with_stray_fences
from refute.engines.humaneval.answers.body import body_at_the_margin, body_that_begins
from refute.engines.humaneval.answers.names import free_names, needed_by, without_words
from refute.engines.humaneval.answers.parsing import python_from, statements
from refute.engines.humaneval.answers.turns import served
from refute.engines.humaneval.answers.wrappings import escaped, unwrapped

RULE = (
    "the last Python block (CommonMark) of the assistant's answer that defines the function with a body, with what it "
    "names and other blocks define or import; where none does, the last Python lines that do, without words that name "
    "nothing; else a text that does within JSON, tags or marks, an indented block, a quotation, a diff, a console, "
    "numbered lines or a line's ticks; else a body that returns, moved to the function's indentation, with its imports "
    "and helpers; else the last Python block or the whole answer as it stands; drafts in reasoning tags, special "
    "tokens, and what follows them or a user's turn are left out"
)

# How code defines the function: with a body, as text that is no Python (any more), as the head that was asked about.
_WHOLE, _BROKEN, _HEAD = 3, 2, 1
# So many lines are tried as the first of a program.
_TRIED = 100
# `a &lt; b` is Python, too.
_ENTITY_NAMES = frozenset({"lt", "gt", "amp", "quot", "apos", "nbsp"})
# A line of its own that is a mark, and no list that anybody writes: `[DONE]`, `[/PYTHON]`. No program goes on there.
_MARK, _NO_PYTHON = re.compile(r"\[/?[A-Z][A-Z_ ]+\]\s*$"), "$"
# `Answer: def f(n):`; no keyword begins with a capital before a colon.
_LABEL = re.compile(
    r"^(?:\*{0,2}[A-Z][A-Za-z ]{0,30}:\*{0,2}|i?py(?:thon)?3?)[ \t]+(?=(?:from|import|def|class|async def)\s)"
)
# Of something that was opened before the text: no code ends so.
_CLOSING_TAG = re.compile(r"</[\w:.-]+>")
_PROGRAM_LINE = re.compile(r"(?:from|import|def|class|async def)\s|@\w|\w+(?:[ \t]*:[^=\n]+)?[ \t]*=[^=]")


@dataclass(frozen=True, slots=True)
class Extracted:
    """Code of an answer, what it is, where it stood, and what was cut.

    It defines the `function`, is its `body` at the margin, or neither: then it is `text`, as it stands.
    """

    code: str
    kind: Literal["function", "body", "text"]
    place: str
    cut: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """How it was found, for people: `lines without a fence; left out: text`."""
        return f"{self.place}; left out: {', '.join(self.cut) or 'nothing'}"


def extract(answer: str, entry_point: str) -> Extracted:
    """The code of `answer` that RULE names. Syntax decides and nothing else: no code is repaired, none is executed."""
    found = served(answer)
    cut = [word for word, left_out in (("reasoning", found.drafts), ("special tokens", found.tokens)) if left_out]
    choices = [_choice(turn, entry_point) for turn in found.turns] or [Extracted("", "text", "no answer")]
    # A text of several turns holds echoes: the first of the assistant's that answers counts.
    chosen = next((each for each in choices if each.kind == "function"), choices[0])
    return replace(chosen, cut=(*cut, *chosen.cut))


def _choice(text: str, name: str) -> Extracted:
    pages = [read_page(text), read_page(with_stray_fences(text))]
    texts = [text, *(block.code for block in reversed(pages[0].blocks))]
    return (
        _whole(text, pages, name)
        or _within(texts, lambda inside: _whole(inside, [read_page(inside)], name))
        or _broken(text, pages, name)
        or _body(text, pages)
        or _within(texts, lambda inside: _body(inside, [read_page(inside)]))
        or _in_blocks(pages, name, _HEAD)
        or _as_it_stands(text, pages[0])
    )


def _within(texts: Sequence[str], read: Callable[[str], Extracted | None]) -> Extracted | None:
    """What is read in the first of `texts` that holds it in a wrapping of some kind."""
    for text in texts:
        for wrapping, inside in unwrapped(text):
            if (found := read(inside)) is not None:
                return replace(found, place=f"{found.place}, {wrapping}")
    return None


def _whole(text: str, pages: Sequence[Page], name: str) -> Extracted | None:
    """The function with its body: in a block, else in lines."""
    return _in_blocks(pages, name, _WHOLE) or _in_lines(_program_lines(text, name), text)


def _broken(text: str, pages: Sequence[Page], name: str) -> Extracted | None:
    """What begins the function and is no Python."""
    return _in_lines(_unfenced_rest(text, name), text) or _in_blocks(pages, name, _BROKEN)


def _in_lines(code: str, text: str) -> Extracted | None:
    if not code:
        return None
    return Extracted(code, "function", "lines without a fence", ("text",) if code.strip() != text.strip() else ())


def _body(text: str, pages: Sequence[Page]) -> Extracted | None:
    """What returns: the text's first lines with the helpers behind them, else the last block that does."""
    if (code := body_that_begins(text)) is not None:
        cut: tuple[str, ...] = ("text",) if len(code) < len(text.strip()) else ()
        return Extracted(f"{_helpers(code, text)}{code}", "body", "the first lines, as a body", cut)
    for page in pages:
        python = [block for block in page.blocks if block.python]
        for block in reversed(python):
            if (code := body_at_the_margin(block.code)) is not None:
                needed, others = _of_others(code, block, python, page)
                place = "the last Python block that is a body"
                return Extracted(f"{needed}{code}", "body", place, _left_out(page, others))
    return None


def _helpers(body: str, text: str) -> str:
    """The definitions at the margin of `text` that its body needs, to stand within the function."""
    lines = text.split("\n")
    behind = next((place for place, line in enumerate(lines) if _PROGRAM_LINE.match(line)), len(lines))
    return _needed(body, python_from(lines[behind:]))


def _as_it_stands(text: str, page: Page) -> Extracted:
    fenced = [block for block in page.blocks if block.fenced]
    if python := [block for block in fenced if block.python]:
        return Extracted(python[-1].code, "text", "the last Python block, as a body", _left_out(page, len(fenced) - 1))
    return Extracted(text, "text", "the whole answer, as a body")


def _in_blocks(pages: Sequence[Page], name: str, rank: int) -> Extracted | None:
    """The last block of a page that is such a definition, Python's own before others'; pages in their order."""
    for page in pages:
        python = [block for block in page.blocks if block.python]
        for among in (python, page.blocks):
            if found := [block for block in among if _rank(at_the_margin(block.code), name) == rank]:
                return _with_needed(found[_last([block.code for block in found])], python, page)
    return None


def _last(codes: Sequence[str]) -> int:
    """The place of the last that says more than the beginning of one before it: an answer in a loop is cut anywhere."""
    return max(
        place for place, code in enumerate(codes) if not any(each.startswith(code.rstrip()) for each in codes[:place])
    )


def _with_needed(block: Block, python: Sequence[Block], page: Page) -> Extracted:
    code = at_the_margin(block.code)
    needed, others = _of_others(code, block, python, page)
    place = "the last Python block that defines the function"
    return Extracted(f"{needed}{code}", "function", place, _left_out(page, others))


def _of_others(code: str, block: Block, python: Sequence[Block], page: Page) -> tuple[str, int]:
    """What `code` of `block` needs of the other blocks, and how many of the page's it needs nothing of."""
    needed, others = "", len(page.blocks) - 1
    for each in reversed([each for each in python if each is not block]):
        before = needed
        needed = f"{_needed(f'{needed}{code}', at_the_margin(each.code))}{needed}"
        others -= needed != before
    return needed, others


def _needed(code: str, other: str) -> str:
    """The statements of `other` that `code` needs, and those that these need."""
    needed = ""
    for node in reversed(statements(other)):
        if needed_by(f"{needed}{code}", node):
            needed = f"{ast.unparse(node)}\n{needed}"
    return needed


def _left_out(page: Page, others: int) -> tuple[str, ...]:
    return (*(("text",) if page.prose else ()), *(("other blocks",) if others else ()))


def _rank(code: str, name: str) -> int:
    """How the code defines the function; 0 where it does not."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _BROKEN if re.search(rf"^(?:async )?def {re.escape(name)}\b", code, re.MULTILINE) else 0
    if escaped(code) and free_names(body) & _ENTITY_NAMES:
        return _BROKEN
    return max((_definition(node, name) for node in body), default=0)


def _definition(node: ast.stmt, name: str) -> int:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
        return _HEAD if all(_says_nothing(each) for each in node.body) else _WHOLE
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return _WHOLE * any(isinstance(target, ast.Name) and target.id == name for target in targets)
    return 0


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise):
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return isinstance(raised, ast.Name) and raised.id == NotImplementedError.__name__
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _lines_and_starts(text: str) -> tuple[list[str], list[int]]:
    """The lines, those that are marks of few-shot prompts as no Python, and where among them a program may begin."""
    plain = at_the_margin(_without_closing_tags(text)).split("\n")
    lines = [_NO_PYTHON if _MARK.match(line) else _LABEL.sub("", line) for line in plain]
    return lines, [place for place, line in enumerate(lines) if _PROGRAM_LINE.match(line)]


def _without_closing_tags(text: str) -> str:
    while (tag := (text := text.rstrip()).rfind("</")) >= 0 and _CLOSING_TAG.fullmatch(text, tag):
        text = text[:tag]
    return text


def _program_lines(text: str, name: str) -> str:
    """The last lines in a row, as many as possible, that are Python and define the function; "" where none do."""
    if name not in text:
        return ""
    lines, starts = _lines_and_starts(text)
    found, end = list[str](), 0
    for start in starts[:_TRIED]:
        if start >= end and _rank(code := python_from(lines[start:]), name) == _WHOLE:
            found, end = [*found, without_words(code)], start + len(code.split("\n"))
    return found[_last(found)] if found else ""


def _unfenced_rest(text: str, name: str) -> str:
    """Where no fence stands, lines that begin the function and break off in it are its definition: it won't compile."""
    lines, starts = _lines_and_starts(text)
    begun = lines[starts[0] :] if starts and "```" not in text else []
    rest = "\n".join(line for line in begun if line != _NO_PYTHON)
    return rest if _rank(rest, name) else ""
