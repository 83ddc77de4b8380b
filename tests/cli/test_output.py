"""Where output cannot be written: no command raises for it, and none decides by it."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from refute.cli.commands.init import scaffold
from refute.output import lossy, readable, refusal

# Commands that need no run, with the status that their work earns.
COMMANDS = (
    (("--help",), 0),
    (("check",), 0),
    (("check", "--json"), 0),
    (("controls",), 0),
    (("status",), 2),
    (("verify", "absent.json"), 2),
)
# Every encoding, width and refusal of colour once, not each with each.
CONSOLES = (
    {"PYTHONIOENCODING": "ascii", "COLUMNS": "20"},
    {"PYTHONIOENCODING": "latin-1", "COLUMNS": "40", "TERM": "dumb"},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "COLUMNS": "69"},
    {"PYTHONIOENCODING": "ascii", "COLUMNS": "80", "NO_COLOR": "1"},
    {"PYTHONIOENCODING": "utf-8", "COLUMNS": "200"},
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What `refute init` makes, with characters in it that few encodings have."""
    scaffold(tmp_path / "here")
    spec = tmp_path / "here/specs/example.yaml"
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("title: ", "title: \u6a21\u578b \u2713 ", 1), encoding="utf-8")
    return tmp_path / "here"


def started(
    command: tuple[str, ...],
    here: Path,
    stdout: int,
    *,
    before: Callable[[], None] | None = None,
    settings: Mapping[str, str] = {},
) -> subprocess.Popen[bytes]:
    """`refute COMMAND` in a process and a session of its own, which answers Ctrl-C."""
    return subprocess.Popen(
        [sys.executable, "-m", "refute", *command],
        cwd=here,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=before,
    )


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str, bytes]:
    """Its status, what it said on standard error, and on standard output where that was asked for."""
    out, error = process.communicate(timeout=60)
    return process.returncode, error.decode(), out or b""


@pytest.mark.slow
@pytest.mark.parametrize("settings", CONSOLES, ids=str)
def test_every_encoding_and_width(repository: Path, settings: dict[str, str]) -> None:
    """All that is printed can be: the status is what it always is, and nobody sees a traceback."""
    for command, status in COMMANDS:
        found, said, out = ended(started(command, repository, subprocess.PIPE, settings=settings))
        assert (found, "Traceback" in said) == (status, False), (command, said)
        assert b"Traceback" not in out


@pytest.mark.slow
@pytest.mark.parametrize(("command", "status"), COMMANDS)
def test_a_reader_that_went_away(repository: Path, command: tuple[str, ...], status: int) -> None:
    """As under `| head -1`: what was worked out keeps its status, and nothing is said of the pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    found, said, _ = ended(started(command, repository, writing))
    os.close(writing)
    assert (found, "Traceback" in said, "output" in said) == (status, False, False), said


@pytest.mark.slow
@pytest.mark.parametrize(("command", "status"), COMMANDS)
def test_a_full_disk_behind_standard_output(repository: Path, command: tuple[str, ...], status: int) -> None:
    """What is lost is said on standard error; only JSON, which a program would read in half, ends in 7."""
    full = os.open("/dev/full", os.O_WRONLY)
    found, said, _ = ended(started(command, repository, full))
    os.close(full)
    assert (found, "Traceback" in said) == (7 if "--json" in command else status, False), said
    assert (status == 2) or "No space left on device" in said


@pytest.mark.slow
def test_a_closed_standard_output_is_nobodys_file(repository: Path) -> None:
    """As under `>&-`: no file that the command opens takes the descriptor, so nothing is printed into it."""
    program = f"exec {sys.executable} -m refute keygen mine --directory keys >&- 2>&-"
    done = subprocess.run(["/bin/sh", "-c", program], cwd=repository, check=False)
    assert done.returncode == 0
    assert (repository / "keys/mine.key").read_bytes().startswith(b"-----BEGIN")


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


def test_ctrl_c_while_a_command_loads_is_one_line(repository: Path) -> None:
    """From the moment that refute itself runs: 130, one line, no traceback."""
    modules = ("refute.cli.run", "refute.errors", "refute.cli.app", "typer", "refute.cli.commands.check", "yaml")
    done = subprocess.run(
        [sys.executable, "-c", LOADING, *modules],
        cwd=repository,
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


def _limit_files_to(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 100, 1500])
def test_init_on_a_full_disk_leaves_nothing(tmp_path: Path, size: int) -> None:
    """Wherever the disk ends: status 7, the path, and not one file or folder of the example."""
    found, said, _ = ended(started(("init", "new/one"), tmp_path, subprocess.DEVNULL, before=_limit_files_to(size)))
    assert (found, "Traceback" in said, list(tmp_path.iterdir())) == (7, False, []), said
    assert "refute: cannot write new/one/" in said


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
