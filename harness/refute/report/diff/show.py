"""A difference for people and programs: terminal, Markdown, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from refute.escaping import clip, markdown
from refute.report.diff.difference import Difference
from refute.report.diff.tables import Table, headline, tables_of
from refute.report.layout import Layout
from refute.report.page.fitting import fit

SCHEMA_VERSION = 1
_LONGEST_CELL = 300
_MOST_ROWS = 200


def diff_terminal(difference: Difference, console: Console) -> None:
    """Print the headline, the regressions, and what differs: in tables, or in lines where tables do not fit."""
    layout = Layout(console)
    console.print(layout.text(headline(difference), "bold red" if difference.regressions else "bold green"))
    for sentence in difference.regressions:
        _print_lines(console, layout.wrapped(f"  regression: {clip(sentence, _LONGEST_CELL)}", "    "))
    for table in tables_of(difference):
        if layout.is_wide:
            _print_table(console, layout, table)
        else:
            _print_lines(console, _listed(layout, table))
        if len(table.rows) > _MOST_ROWS:
            _print_lines(console, layout.wrapped(_more(table)))


def _print_table(console: Console, layout: Layout, table: Table) -> None:
    shown = RichTable(*table.columns, title=table.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in shown.columns:
        column.overflow = "fold"
    for row in table.rows[:_MOST_ROWS]:
        shown.add_row(*(layout.text(clip(cell, _LONGEST_CELL)) for cell in row))
    console.print(shown)


def _listed(layout: Layout, table: Table) -> Iterator[str]:
    """A row a paragraph: its first cell, and below it the others behind their columns' names."""
    yield from ("", *layout.wrapped(table.title))
    for first, *others in table.rows[:_MOST_ROWS]:
        yield from layout.wrapped(f"  {clip(first, _LONGEST_CELL)}", "    ")
        for name, cell in zip(table.columns[1:], others, strict=True):
            yield from layout.wrapped(f"    {name}: {clip(cell, _LONGEST_CELL)}", "      ")


def _print_lines(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def diff_markdown(difference: Difference) -> str:
    """GitHub-flavoured Markdown within the limit of a comment; whole tables are left out, and named, beyond it."""
    regressions = [f"- {markdown(clip(sentence, _LONGEST_CELL))}" for sentence in difference.regressions]
    parts = [f"# {markdown(headline(difference))}"]
    if regressions:
        parts.append("\n".join(["## Regressions", "", *_some(regressions)]))
    return fit([*parts, *map(_markdown_table, tables_of(difference))])


def diff_json(difference: Difference) -> str:
    """Everything, with every digit; keys are sorted, and `schema_version` changes when a field changes its meaning."""
    document = {"schema_version": SCHEMA_VERSION, **asdict(difference)}
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False)
    return text.replace("<", "\\u003c") + "\n"


def _markdown_table(table: Table) -> str:
    rows = ["| " + " | ".join(markdown(clip(cell, _LONGEST_CELL)) for cell in row) + " |" for row in table.rows]
    lines = ["| " + " | ".join(table.columns) + " |", "| " + " | ".join("---" for _ in table.columns) + " |"]
    after = ["", _more(table)] if len(rows) > _MOST_ROWS else []
    return "\n".join([f"## {table.title}", "", *lines, *rows[:_MOST_ROWS], *after])


def _more(table: Table) -> str:
    return f"{len(table.rows) - _MOST_ROWS} more rows; --json has them all."


def _some(lines: Sequence[str]) -> list[str]:
    rest = len(lines) - _MOST_ROWS
    return [*lines[:_MOST_ROWS], *([f"- {rest} more"] if rest > 0 else [])]
