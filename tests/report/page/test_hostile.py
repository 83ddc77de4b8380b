"""Strangers' text, wherever it comes from, changes what the page says and never what the page is."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import cycle
from typing import Any

import pytest
from markdown_it import MarkdownIt

from refute.judge.predicate.model import Predicate
from refute.report import REPORTS

# Each breaks out of one place: an element, an attribute, a script, a style, a comment, a template, a line, a table.
STRINGS = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><style>*{display:none}</style>",
    "--><svg onload=alert(1)><!--",
    "]]></title></svg><a href=javascript:alert(1)>",
    "{{7*7}}{% include 'x' %}{# #}",
    "&lt;b&gt;&#60;script&#62;&amp;",
    "\u202eltr\u2066\x00\x1b[31m\u2028line\u2029\ufeff",
    "a | b\n\n# GO: all is well\n\n```\n![x](http://evil.example/x.png)",
    "\U0001f600" * 40 + "W" * 300,
    "javascript:alert(1)",
)

# What people, models and machines write; words of ours, ids, digests, times and specifications are checked elsewhere.
FREE = frozenset(
    [
        "title",
        "reason",
        "reasons",
        "name",
        "label",
        "value",
        "text",
        "note",
        "completion",
        "operator",
        "platform",
        "python",
        "argv",
        "unit",
        "chart",
        "problem",
        "record_faults",
        "why",
        "approver",
        "plugins",
        "versions",
    ]
)
PLACES = ("verdict", "subject", "records", "run", "exhibits", "record_faults")


class _Shape(HTMLParser):
    """Tags and the names of their attributes, in order, and the addresses of links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        for name, value in attrs:
            if name in ("href", "id", "class"):
                self.tags.append((name, (value or "",)))


def poisoned(predicate: Predicate, strings: tuple[str, ...]) -> Predicate:
    """`predicate` with every free text replaced by the next of `strings`."""
    supply = cycle(strings)

    def change(node: Any, key: str = "") -> Any:
        if isinstance(node, dict):
            return {name: change(each, name if key not in FREE else key) for name, each in node.items()}
        if isinstance(node, list):
            return [change(each, key) for each in node]
        return next(supply) if isinstance(node, str) and key in FREE and node else node

    data = predicate.model_dump(mode="json")
    for place in PLACES:
        data[place] = change(data[place], place)
    # Measurements are looked up by name: those keep it.
    for old, new in zip(predicate.records, data["records"], strict=True):
        for each, kept in zip(new["measurements"], old.measurements, strict=True):
            each["name"], each["unit"] = kept.name, kept.unit
    for grid, own in zip(data["exhibits"]["grids"], predicate.exhibits.grids, strict=True):
        grid["problems"] = list(own.problems)
    for prompt, asked in zip(data["exhibits"]["prompts"], predicate.exhibits.prompts, strict=True):
        prompt["problem"] = asked.problem
    # All are cut, whatever their length.
    for each in (
        *data["exhibits"]["prompts"],
        *(item for grid in data["exhibits"]["grids"] for item in grid["answers"]),
    ):
        each["characters"] = 10_000
    # One chart each, as in the harmless page.
    for curve, drawn in zip(data["exhibits"]["curves"], predicate.exhibits.curves, strict=True):
        curve["chart"], curve["unit"] = drawn.chart, drawn.unit
    return Predicate.model_validate(data, strict=False)


@pytest.mark.slow
def test_no_text_changes_the_elements_of_the_page(predicate: Predicate, payload: str) -> None:
    """Tags, attributes, links and classes are those of the page of harmless words."""
    page = REPORTS["html"].render(poisoned(predicate, STRINGS), payload)
    harmless = REPORTS["html"].render(poisoned(predicate, ("word",)), payload)
    assert _Shape(page).tags == _Shape(harmless).tags
    assert not {"\u202e", "\x1b", "\x00", "\u2028"} & set(page)


def test_no_text_changes_the_structure_of_the_markdown(predicate: Predicate, payload: str) -> None:
    """Headings, lists, tables and code are those of harmless words: no link, no image, no HTML."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")

    def kinds(strings: tuple[str, ...]) -> list[str]:
        tokens = parser.parse(REPORTS["md"].render(poisoned(predicate, strings), payload))
        inline = {child.type for token in tokens for child in token.children or []}
        return [*(token.type for token in tokens), *sorted(inline & {"link_open", "image", "html_inline"})]

    assert kinds(STRINGS) == kinds(("word",))
