"""Which code of an answer is meant: the last Python block that defines the function, with the imports that it needs."""

from __future__ import annotations

import ast
import builtins
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from refute.engines.humaneval.answers.blocks import Block, Page, at_the_margin, read_page, with_stray_fences
from refute.engines.humaneval.answers.turns import served

RULE = (
    "the last Python block (CommonMark) of the assistant's answer that defines the function with a body, with what it "
    "names and other blocks define or import; where none does, Python lines that do, else a text within JSON, else the "
    "last Python block or the whole answer as its body; drafts in reasoning tags, special tokens and what follows them "
    "are left out"
)

# How code defines the function: with a body, as text that is no Python (any more), as the head that was asked about.
_WHOLE, _BROKEN, _HEAD = 3, 2, 1
# A line of its own that is no list: `[DONE]`, `[/PYTHON]`.
_MARK = re.compile(r"\[(?:/[A-Z_]+|BEGIN|DONE|END|PYTHON|CODE|ANSWER|SOLUTION)\]\s*$")
_PROGRAM_LINE = re.compile(r"(?:from|import|def|class|async def)\s|@\w")


@dataclass(frozen=True, slots=True)
class Extracted:
    """Code of an answer, whether it `defines` the function (else it is a body), where it stood, and what was cut."""

    code: str
    defines: bool
    place: str
    cut: tuple[str, ...]

    @property
    def words(self) -> str:
        """How it was found, for people: `lines without a fence; left out: text`."""
        return f"{self.place}; left out: {', '.join(self.cut) or 'nothing'}"


def extract(answer: str, entry_point: str) -> Extracted:
    """The code of `answer` that RULE names. Syntax decides and nothing else: no code is repaired, none is executed."""
    found = served(answer)
    cut = [word for word, left_out in (("reasoning", found.drafts), ("special tokens", found.tokens)) if left_out]
    choices = [_choice(turn, entry_point) for turn in found.turns] or [_Choice("", False, "no answer")]
    # A text of several turns holds echoes: the first of the assistant's that answers counts.
    chosen = next((each for each in choices if each.defines), None) or _in_json(found.turns, entry_point) or choices[0]
    return Extracted(chosen.code, chosen.defines, chosen.place, (*cut, *chosen.cut))


@dataclass(frozen=True, slots=True)
class _Choice:
    code: str
    defines: bool
    place: str
    cut: tuple[str, ...] = ()


def _in_json(turns: Sequence[str], name: str) -> _Choice | None:
    """A text within JSON that defines the function, where a turn, or a block of it, is JSON."""
    for text in (each for turn in turns for each in (turn, *(block.code for block in read_page(turn).blocks))):
        for said in _texts(text):
            found = _choice(said, name)
            if found.defines:
                return _Choice(found.code, True, f"{found.place}, within JSON", found.cut)
    return None


def _texts(text: str) -> tuple[str, ...]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    return tuple(_leaves(found))


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _leaves(each)


def _choice(text: str, name: str) -> _Choice:
    pages = [read_page(text), read_page(with_stray_fences(text))]
    if (found := _in_blocks(pages, name, _WHOLE)) is not None:
        return found
    if lines := _program_lines(text, name):
        return _Choice(lines, True, "lines without a fence", ("text",) if lines.strip() != text.strip() else ())
    for rank in (_BROKEN, _HEAD):
        if (found := _in_blocks(pages, name, rank)) is not None:
            return found
    fenced = [block for block in pages[0].blocks if block.fenced]
    if python := [block for block in fenced if block.python]:
        return _Choice(python[-1].code, False, "the last Python block, as a body", _left_out(pages[0], len(fenced) - 1))
    return _Choice(text, False, "the whole answer, as a body")


def _in_blocks(pages: Sequence[Page], name: str, rank: int) -> _Choice | None:
    """The last block of a page that is such a definition, Python's own before others'; pages in their order."""
    for page in pages:
        python = [block for block in page.blocks if block.python]
        for among in (python, page.blocks):
            if found := [block for block in among if _rank(at_the_margin(block.code), name) == rank]:
                return _with_needed(found[-1], python, page)
    return None


def _with_needed(block: Block, python: Sequence[Block], page: Page) -> _Choice:
    code = at_the_margin(block.code)
    needed, others = "", len(page.blocks) - 1
    for each in reversed([each for each in python if each is not block]):
        before = needed
        for node in reversed(_statements(at_the_margin(each.code))):
            if _needed_by(f"{needed}{code}", node):
                needed = f"{ast.unparse(node)}\n{needed}"
        others -= needed != before
    place = "the last Python block that defines the function"
    return _Choice(f"{needed}{code}", True, place, _left_out(page, others))


def _left_out(page: Page, others: int) -> tuple[str, ...]:
    return (*(("text",) if page.prose else ()), *(("other blocks",) if others else ()))


def _rank(code: str, name: str) -> int:
    """How the code defines the function; 0 where it does not."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _BROKEN if re.search(rf"^(?:async )?def {re.escape(name)}\b", code, re.MULTILINE) else 0
    return max((_definition(node, name) for node in body), default=0)


def _definition(node: ast.stmt, name: str) -> int:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
        return _HEAD if all(_says_nothing(each) for each in node.body) else _WHOLE
    if isinstance(node, ast.Assign):
        return _WHOLE * any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    return 0


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise):
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return isinstance(raised, ast.Name) and raised.id == NotImplementedError.__name__
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _statements(code: str) -> list[ast.stmt]:
    try:
        return ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _needed_by(user: str, node: ast.stmt) -> bool:
    """Whether an import, a definition or a constant binds what `user` names and does not bind itself.

    One that names what `user` defines is a use of it.
    """
    using = _statements(user)
    bound, free = {*_bound(node)}, _free_names(using)
    if bound:
        return "*" in bound or bool(bound & free)
    defined = {name for each in using for name in _defined(each)}
    return bool(free & {*_defined(node)}) and not defined & set(re.findall(r"\w+", ast.unparse(node)))


def _free_names(code: Sequence[ast.stmt]) -> set[str]:
    """The names that code reads and never binds, and that are not Python's own."""
    nodes = [node for statement in code for node in ast.walk(statement)]
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {name for node in nodes if isinstance(node, ast.stmt) for name in (*_defined(node), *_bound(node))}
    return read - bound - {*dir(builtins)}


def _defined(node: ast.stmt) -> tuple[str, ...]:
    """The names of a definition, or of a constant that is assigned."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return (node.name,)
    if isinstance(node, ast.Assign):
        return tuple(target.id for target in node.targets if isinstance(target, ast.Name))
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return (node.target.id,)
    return ()


def _bound(node: ast.stmt) -> Iterator[str]:
    for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        yield "*" if future else (alias.asname or alias.name).partition(".")[0]


def _program_lines(text: str, name: str) -> str:
    """The first lines in a row, as many as possible, that are Python and define the function; "" where none do.

    Where no fence stands, lines that begin the function and break off in it are its definition, too: it won't compile.
    """
    lines = [line for line in text.split("\n") if not _MARK.match(line)]
    starts = [place for place, line in enumerate(lines) if _PROGRAM_LINE.match(line)]
    for start in starts:
        if _rank(code := _python_from(lines[start:]), name) == _WHOLE:
            return code
    rest = "\n".join(lines[starts[0] :]) if starts and "```" not in text else ""
    return rest if _rank(rest, name) else ""


def _python_from(lines: Sequence[str]) -> str:
    """As many of the first lines as are Python and end where a line at the margin begins, or with the last."""
    end = len(lines)
    while end > 0:
        code = "\n".join(lines[:end])
        try:
            ast.parse(code)
        except SyntaxError as error:
            # What stands before the error may be whole; it says less where a string is never closed.
            end = min(end - 1, max((error.lineno or end) - 1, 0))
        except (ValueError, RecursionError, MemoryError):
            return ""
        else:
            behind = next((line for line in lines[end:] if line.strip()), "x")
            return "" if behind[0].isspace() else code
    return ""
