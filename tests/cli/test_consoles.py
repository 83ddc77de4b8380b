"""Every command on every console: what cannot be shown or written changes no status, no file and no JSON."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

import pytest

from every_command import COMMANDS, Place, Words
from refute.cli.exit_statuses import Status
from refute.cli.main import main
from refute.engines.distill.threads import one_thread

pytestmark = pytest.mark.exhaustive

JSON = [name for name, command in COMMANDS.items() if any("--json" in each.opts for each in command.params)]


@dataclass(frozen=True)
class Console:
    """Where a command prints: `opened(path)` is its standard output, whose file is `path` where it is one."""

    opened: Callable[[Path], TextIO | None]
    columns: int = 80
    as_json: bool = False


def file_in(encoding: str) -> Callable[[Path], TextIO]:
    """A file, as of `refute … > path` under a locale of this encoding."""
    return lambda path: path.open("w", encoding=encoding)


def gone(_: Path) -> TextIO:
    """A pipe whose reader went away, as under `| head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    return TextIOWrapper(os.fdopen(writing, "wb", buffering=0), "utf-8", write_through=True)


def full(_: Path) -> TextIO:
    """A file on a full disk."""
    return TextIOWrapper(Path("/dev/full").open("wb", buffering=0), "utf-8", write_through=True)


def closed(_: Path) -> None:
    """As under `>&-`."""


# What the others are held against.
PLAIN, PLAIN_JSON = Console(file_in("utf-8"), 69), Console(file_in("ascii"), 20, as_json=True)
CONSOLES = {
    "ascii, 20 columns": Console(file_in("ascii"), 20),
    "latin-1, 40 columns": Console(file_in("latin-1"), 40),
    "closed": Console(closed),
    "reader gone": Console(gone),
    "disk full": Console(full),
    "disk full, JSON": Console(full, as_json=True),
}


@dataclass(frozen=True)
class Ended:
    """How a command ended: its status, what it printed and said, and the files that it made."""

    status: int
    out: bytes
    said: str
    files: tuple[str, ...]


Run = Callable[..., Ended]


@pytest.fixture
def ended(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """ended(name, console): the command in this process, its results in a folder that is the same, and empty, each
    time."""
    monkeypatch.chdir(place.root)

    def run(name: Words, console: Console, asked: list[object] | None = None) -> Ended:
        out, printed, said = (tmp_path / each for each in ("out", "printed", "said"))
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        printed.write_bytes(b"")
        asked = place.calls(out)[name] if asked is None else asked
        words = [*name, *asked, *(["--json"] if console.as_json else [])]
        monkeypatch.setattr(sys, "argv", ["refute", *map(str, words)])
        monkeypatch.setenv("COLUMNS", str(console.columns))
        with standard_output(console.opened(printed), said), pytest.raises(SystemExit) as exited:
            main()
        files = sorted(str(path.relative_to(out)) for path in out.rglob("*"))
        assert isinstance(exited.value.code, int)
        return Ended(exited.value.code, printed.read_bytes(), said.read_text(encoding="utf-8"), tuple(files))

    with one_thread():
        yield run


@contextmanager
def standard_output(stream: TextIO | None, said: Path) -> Iterator[None]:
    """`stream` in the place of standard output, and a file in that of standard error."""
    before = sys.stdout, sys.stderr
    with said.open("w", encoding="utf-8") as error:
        sys.stdout, sys.stderr = stream, error  # None is what Python has where it is closed
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
            if stream is not None:
                stream.close()


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_a_console_decides_nothing(ended: Run, name: Words) -> None:
    """No traceback; status and files of a call that works, whatever the encoding and width, a reader that went away, a
    disk that is full. Only JSON that did not arrive in full, which a program would believe, ends in 7."""
    plain = {as_json: ended(name, PLAIN_JSON if as_json else PLAIN) for as_json in {False, name in JSON}}
    for found in plain.values():
        assert (found.status, found.files) == (plain[False].status, plain[False].files)
        assert "Traceback" not in found.said
    if name in JSON:
        json.loads(plain[True].out)
    for label, console in CONSOLES.items():
        if console.as_json not in plain:
            continue
        found, expected = ended(name, console), plain[console.as_json]
        lost = console.opened is full and bool(expected.out)
        # Nobody takes half of a refusal for all of an answer: its status says already that there is none.
        believed = lost and console.as_json and expected.status != Status.USAGE
        assert found.status == (Status.COULD_NOT_RUN if believed else expected.status), (label, found)
        assert found.files == expected.files, label
        assert ("No space left on device" in found.said) == lost, (label, found.said)
        assert "Traceback" not in found.said, (label, found.said)
        assert b"\n\n\n\n" not in found.out, label


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_help_is_shown_anywhere(ended: Run, name: Words) -> None:
    """There is a spelling for every character, and a line for every word."""
    for console in (CONSOLES["ascii, 20 columns"], CONSOLES["latin-1, 40 columns"], CONSOLES["disk full"]):
        found = ended(name, console, ["--help"])
        assert (found.status, "Traceback" in found.said) == (0, False)
        assert bool(found.out) == (console.opened is not full)
