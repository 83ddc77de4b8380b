"""The console must show verdict, reasons and gaps, in colour and boxes only where they can be seen."""

from __future__ import annotations

import io
import re
import subprocess
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from refute.judge.predicate.model import Predicate
from refute.report import render_terminal

# Lines that part the sections of a report, and end its boxes and tables.
MOST_BLANK = 14


def _printed(
    predicate: Predicate,
    payload: str,
    *,
    terminal: bool,
    no_color: bool = False,
    width: int = 80,
    encoding: str = "utf-8",
) -> str:
    """What a stream of that encoding gets; it raises for a character that it lacks."""
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding, write_through=True)
    console = Console(
        file=stream,
        width=width,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
        no_color=no_color,
    )
    render_terminal(predicate, payload, console)
    return written.getvalue().decode(encoding)


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


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("width", [20, 40, 69, 70, 80, 200])
def test_terminal_keeps_within_its_width(
    predicate: Predicate, payload: str, terminal: bool, width: int, encoding: str
) -> None:
    """No line is wider than the console, whatever its encoding; blank lines only part what is said."""
    lines = _bare(_printed(predicate, payload, terminal=terminal, width=width, encoding=encoding)).splitlines()
    assert [line for line in lines if cell_len(line) > width] == []
    assert sum(not line.strip() for line in lines) <= MOST_BLANK
    text = re.sub(r"\s", "", "".join(lines))
    assert [one.criterion for one in predicate.verdict.criteria if one.criterion not in text] == []


def test_wide_characters_count_as_two_cells(predicate: Predicate, payload: str) -> None:
    """A reason in Chinese is as wide as it looks."""
    verdict = replace(predicate.verdict, reasons=("\u6a21\u578b" * 100,))
    shown = _printed(predicate.model_copy(update={"verdict": verdict}), payload, terminal=False, width=40)
    assert [line for line in shown.splitlines() if cell_len(line) > 40] == []


def test_a_command_in_several_lines_can_be_pasted(predicate: Predicate, payload: str) -> None:
    """In a narrow console, a shell that reads what is printed gets the words of the command."""
    shown = _printed(predicate, payload, terminal=False, width=40)
    command = shown[shown.index("  refute verify") :]
    assert command.count("\n") > 1
    said = subprocess.run(["/bin/sh", "-c", f"echo {command}"], capture_output=True, text=True, check=True).stdout
    assert said == "refute verify verdict.intoto.json --key PUB --model DIR\n"


def test_terminal_begins_with_the_verdict_on_plain_output(predicate: Predicate, payload: str) -> None:
    """The first line of a log is the verdict."""
    assert _printed(predicate, payload, terminal=False).startswith("NO-GO: 1 of 18 controls misbehaved")


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
