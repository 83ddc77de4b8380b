"""Untrusted text must come out of every escape as text."""

from __future__ import annotations

import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from refute.escaping import clip, markdown, markdown_code, markdown_fence, one_line, visible

_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_SYNTAX = st.text(
    st.one_of(st.sampled_from(list("\\`*_{}[]()<>#+-.!|~$&;:@=\"' \t\n\r19aw")), st.characters(codec="utf-8")),
    max_size=60,
)


def _flat(tokens: list[Token]) -> list[Token]:
    return [leaf for token in tokens for leaf in [token, *_flat(token.children or [])]]


def _text(tokens: list[Token]) -> str:
    return "".join(token.content for token in _flat(tokens) if token.type == "text").replace("\u200b", "")


@given(_SYNTAX)
@example("<table x")
@example("<!-- x")
@example("<b>&lt;</b>")
@example("http&#58;//a [b](c) ![d](e) <http://f>")
@example("1) a")
@example("---")
def test_markdown_renders_as_the_text_itself(text: str) -> None:
    """Whatever the text, a paragraph holds nothing but that text: no link, tag, code, heading or list."""
    tokens = _PARSER.parse(markdown(text))
    kinds = {token.type for token in _flat(tokens)}
    assert kinds <= {"paragraph_open", "inline", "text", "text_special", "paragraph_close"}
    assert _text(tokens) == one_line(text)


@given(_SYNTAX)
@example("a | b \\| c \n| d |")
def test_markdown_stays_in_its_table_cell(text: str) -> None:
    """A cell with any text leaves the table with its two columns and one body row."""
    tokens = _flat(_PARSER.parse(f"| a | b |\n| --- | --- |\n| {markdown(text)} | end |\n"))
    cells = [token for token in tokens if token.type == "td_open"]
    inline = [token.content for token in tokens if token.type == "inline"]
    assert len(cells) == 2
    assert inline[-1] == "end"


@given(_SYNTAX)
@example("a\n```\n# b")
@example("a\r````\r\n# b")
def test_markdown_fence_cannot_be_closed_from_within(text: str) -> None:
    """The fenced text is one block followed by nothing, however many backticks it holds."""
    tokens = _PARSER.parse(markdown_fence(text) + "\n\nafter")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]


@given(_SYNTAX)
def test_markdown_code_is_one_span(text: str) -> None:
    """An inline code span holds the whole text, whatever backticks are in it."""
    kinds = [token.type for token in _flat(_PARSER.parse(f"x {markdown_code(text)} y")) if token.type == "code_inline"]
    assert len(kinds) == (1 if one_line(text) else 0)


@given(st.text())
def test_visible_leaves_no_control_or_invisible_character(text: str) -> None:
    """Only newline and tab survive of all control characters, and the result can be written as UTF-8."""
    shown = visible(text)
    assert {unicodedata.category(char) for char in shown if char not in "\n\t"} & {"Cc", "Cf", "Cs"} == set()
    assert not set(shown) & {"\x1b", "\x9b", "\r", "\f", "\u202e", "\u2066", "\u200b", "\u2028"}
    shown.encode("utf-8")


def test_visible_writes_a_terminal_escape_out() -> None:
    """A reader sees that there was an escape sequence, and which."""
    assert visible("\x1b[31m\u202e") == "\\x1b[31m\\u202e"


def test_markdown_breaks_addresses_mentions_and_issue_numbers() -> None:
    """GitHub links none of them, because a zero-width space stands within."""
    assert markdown("http://a www.b @c #1 GH-2") == ("http:&#8203;//a www&#8203;.b @&#8203;c #&#8203;1 GH-&#8203;2")


def test_markdown_leaves_plain_numbers_and_names_readable() -> None:
    """Identifiers and decimals are not cluttered with backslashes."""
    assert markdown("-0.41") == "-0.41"
    assert markdown("3.1 heldout_ce AC-DISTILL-001") == "3.1 heldout_ce AC-DISTILL-001"


def test_clip_cuts_at_the_limit_and_says_so() -> None:
    """The cut text ends in an ellipsis and is no longer than asked; a short one is unchanged."""
    assert clip("abcdef", 4) == "abc…"
    assert clip("abcd", 4) == "abcd"
