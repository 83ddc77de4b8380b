"""Where output cannot be written: no command raises for it, and none decides by it."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from refute.output import lossy, readable, refusal


@pytest.mark.slow
def test_a_closed_standard_output_is_nobodys_file(tmp_path: Path) -> None:
    """As under `>&-`: no file that the command opens takes the descriptor, so nothing is printed into it."""
    program = f"exec {sys.executable} -m refute keygen mine --directory keys >&- 2>&-"
    done = subprocess.run(["/bin/sh", "-c", program], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert (tmp_path / "keys/mine.key").read_bytes().startswith(b"-----BEGIN")


# A Ctrl-C at the import of each of these, from the first that refute makes: a process of its own each, but one start.
LOADING = """
import os, signal, sys

class Interrupting:
    def __init__(self, module):
        self.module = module
    def find_spec(self, name, path=None, target=None):
        if name == self.module: os.kill(os.getpid(), signal.SIGINT)

for module in sys.argv[1:]:
    if not os.fork():
        sys.argv = ["refute", "check"]
        from refute.cli.main import main
        sys.meta_path.insert(0, Interrupting(module))
        main()
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


@pytest.mark.slow
def test_ctrl_c_while_a_command_loads_is_one_line(tmp_path: Path) -> None:
    """From the moment that refute itself runs: 130, one line, no traceback."""
    modules = ("refute.cli.run", "refute.errors", "refute.cli.app", "typer", "refute.cli.commands.check", "yaml")
    done = subprocess.run(
        [sys.executable, "-c", LOADING, *modules],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (done.stdout, done.stderr) == ("130\n" * len(modules), "refute: interrupted\n" * len(modules))


def test_before_a_command_loads_nothing_else_does() -> None:
    """All that is imported before a Ctrl-C is answered: packages of refute itself with nothing in them."""
    program = "import sys; before = {*sys.modules}; import refute.cli.main; print(*sorted({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["__future__", "refute", "refute.cli", "refute.cli.main"]


def _streams(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    for number, encoding in enumerate(("ascii", "latin-1", "utf-8")):
        yield tmp_path / str(number), encoding


def test_a_lossy_stream_spells_out_what_its_encoding_lacks(tmp_path: Path) -> None:
    """Our own signs get letters, others escapes; text measured with `readable` is what arrives."""
    text = "\u2713 half \u2026 \u6a21 \u00e9 \udc80\n"
    for path, encoding in _streams(tmp_path):
        with path.open("w", encoding=encoding) as stream:
            written = lossy(stream)
            written.write(text)
            assert refusal(written) is None
        assert path.read_text(encoding=encoding) == readable(text, encoding)
    assert readable(text, "ascii") == "+ half ... \\u6a21 \\xe9 \\udc80\n"


@pytest.mark.parametrize("parts", list(itertools.product(("a", "\u2713", "\n"), repeat=2)))
def test_a_lossy_stream_on_a_full_disk_takes_everything(parts: tuple[str, str]) -> None:
    """Nothing raises, then or when it is flushed, and the first refusal is kept."""
    with Path("/dev/full").open("w", encoding="ascii") as stream:
        written = lossy(stream)
        for part in parts:
            assert written.write(part) == len(part)
        written.flush()
        lost = refusal(written)
    assert lost is not None
    assert lost.strerror == "No space left on device"
