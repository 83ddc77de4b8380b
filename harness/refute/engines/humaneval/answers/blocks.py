"""The code blocks of an answer, found by a parser of CommonMark (markdown-it-py), wherever and however they stand."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from markdown_it import MarkdownIt
from markdown_it.token import Token

# Answers are no HTML: a line of a tag alone would hide the fence behind it. Inline text is nobody's code.
_PARSER = MarkdownIt("commonmark").disable(["html_block", "inline"])
_PYTHON = re.compile(r"(?<![a-z])i?py(?:thon)?[0-9.]*w?(?![a-z])", re.IGNORECASE)
_NO_LANGUAGE = ("", "text", "txt", "plain", "plaintext", "code", "none")
_MARKDOWN = re.compile(r"^\W*(?:markdown|md)\b", re.IGNORECASE)

_BEGUN = re.compile(r"(?:i?py(?:thon)?[0-9.]*\s+)?((?:(?:def|from|import|class|async def)\s|@\w).*)", re.IGNORECASE)
_HEREDOC = re.compile(r"<<-?[ \t]*(['\"]?)(\w+)\1[^\n]*\n")
# So many are looked for in a block.
_TRIED = 20

# A file's name, in a line of its own above its code.
_FILE = re.compile(r"[\w./-]+\.pyw?:?")

# A fence behind other text in its line, or deeper than CommonMark lets one stand.
_STRAY_FENCE = re.compile(r"^([^\n`~]*?)[ \t]*(`{3,}|~{3,})[ \t]*([^`~\n]*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its info string, whatever its shape (`python`, `{.py}`, `Python3 title="x"`), and its lines."""

    info: str
    code: str
    fenced: bool

    @property
    def python(self) -> bool:
        """Whether it is said to be Python, or nothing is said."""
        said = self.info.strip().lower()
        return said in _NO_LANGUAGE or _PYTHON.search(said) is not None


@dataclass(frozen=True, slots=True)
class Page:
    """A text as CommonMark reads it: its blocks in their order, without their containers, and whether it says more."""

    blocks: tuple[Block, ...]
    prose: bool


def read_page(text: str) -> Page:
    """The fenced and indented blocks of `text`."""
    tokens = _PARSER.parse(text)
    prose = any(token.type == "inline" and token.content.strip() for token in tokens)
    return Page(tuple(_found(tokens)), prose)


def with_stray_fences(text: str) -> str:
    """`text` with every fence at the margin, in a line of its own: those behind a word, and too deep in a list."""
    inside = False

    def moved(fence: re.Match[str]) -> str:
        nonlocal inside
        before, ticks, info = fence.groups()
        # Behind code a fence closes, whatever follows it.
        behind = f"\n{info}" if inside and before.strip() and info.strip() else info
        inside = not inside
        return f"{before}\n{ticks}{behind}" if before.strip() else f"{ticks}{behind}"

    return _STRAY_FENCE.sub(moved, text)


def _found(tokens: Sequence[Token]) -> Iterator[Block]:
    for token in tokens:
        if token.type in ("fence", "code_block"):
            if _MARKDOWN.match(token.info):
                yield from read_page(token.content).blocks
            yield _block(token)
            yield from _given_to_a_shell(token.content)


def _given_to_a_shell(script: str) -> Iterator[Block]:
    for opening in islice(_HEREDOC.finditer(script), _TRIED):
        if closing := re.compile(rf"^[ \t]*{opening[2]}[ \t]*$", re.MULTILINE).search(script, opening.end()):
            yield Block("python", script[opening.end() : closing.start()], fenced=True)


def _block(token: Token) -> Block:
    content = token.content.removeprefix("\ufeff").lstrip("\n")
    first, _, rest = content.partition("\n")
    # Some write the language below the fence, or the file.
    if token.type == "fence" and not token.info.strip() and _PYTHON.fullmatch(first.strip()):
        return Block(first.strip(), rest, fenced=True)
    if token.type == "fence" and _FILE.fullmatch(first.strip()):
        return Block(token.info, rest, fenced=True)
    # And some begin the code beside it.
    if begun := _BEGUN.match(token.info):
        return Block("", f"{begun[1]}\n{content}", fenced=True)
    return Block(token.info, content, token.type == "fence")


def at_the_margin(code: str) -> str:
    """`code` without the indentation that all of its lines share."""
    return textwrap.dedent(code).strip("\n")
