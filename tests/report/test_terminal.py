"""The console must show verdict, reasons and gaps, in colour and boxes only where they can be seen."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from refute.judge.predicate.model import Predicate
from refute.report import render_terminal


def _printed(predicate: Predicate, payload: str, *, terminal: bool, no_color: bool = False, width: int = 80) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
        no_color=no_color,
    )
    render_terminal(predicate, payload, console)
    return stream.getvalue()


def _bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("terminal", [True, False])
def test_terminal_shows_verdict_reasons_and_gaps(predicate: Predicate, payload: str, terminal: bool) -> None:
    """Verdict word, every criterion id, what was not run, the payload digest and the command are printed."""
    text = _bare(_printed(predicate, payload, terminal=terminal))
    ids = [ruling.criterion for ruling in predicate.verdict.criteria]
    wanted = ["NO-GO", "Why:", "Not run:", "dogfood sections 1, 3, 4, 5, 6, 7, 9", "known bad 2", payload]
    wanted += ["refute verify verdict.intoto.json --key PUB --model DIR", "development key"]
    assert [one for one in (*ids, *wanted) if one not in text] == []


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("width", [60, 80, 132])
def test_terminal_keeps_within_its_width(predicate: Predicate, payload: str, terminal: bool, width: int) -> None:
    """No line is wider than the console, but for digest and commands, which must stay whole to be copied."""
    lines = _bare(_printed(predicate, payload, terminal=terminal, width=width)).splitlines()
    whole = ("payload sha256", "report.html,", "  refute verify")
    assert [line for line in lines if cell_len(line) > width and not line.startswith(whole)] == []


def test_terminal_begins_with_the_verdict_on_plain_output(predicate: Predicate, payload: str) -> None:
    """The first line of a log is the verdict."""
    assert _printed(predicate, payload, terminal=False).startswith("NO-GO: 5 of 7 blocking criteria do not hold")


@pytest.mark.parametrize(("terminal", "no_color"), [(False, False), (True, True)])
def test_terminal_prints_plain_lines_when_asked(
    predicate: Predicate, payload: str, terminal: bool, no_color: bool
) -> None:
    """Without a terminal, or with NO_COLOR, there are no boxes and no escape sequences."""
    text = _printed(predicate, payload, terminal=terminal, no_color=no_color)
    assert not re.search(r"[\u2500-\u257f\x1b]", text)


def test_terminal_never_passes_on_escapes_or_markup(predicate: Predicate, payload: str) -> None:
    """A model's escape sequence is written out, and its square brackets are not styles."""
    text = _printed(predicate, payload, terminal=True)
    assert "\\x1b[31mred\\x1b[0m" in _bare(text)
    assert "\u202e" not in text
    assert "[click](javascript:alert(1))" in _bare(text).replace("\n", "")
    assert set(re.findall(r"\x1b.", text)) == {"\x1b["}
