"""Calls of refute, each in a fork of its own, in a copy of the folder that it is about."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Final

Words = tuple[str, ...]
Plant = Callable[[], None]

_SIDE_BY_SIDE: Final = 2
# For what hangs: a nested gate on a machine that has much else to do takes minutes.
_LIMIT_S: Final = 600
# When a call that says nothing has begun with what it is for, and how often one looks.
_BEGUN_S, _GLANCE_S = 3.0, 0.05
_MOST_DESCRIPTORS: Final = 1 << 16
# Where a command looks for keys and caches: those of whoever runs this are not its business.
_HOMES: Final = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
_RUN: Final = "refute.cli.run"


@dataclass(frozen=True, slots=True)
class Called:
    """How a call ended: its status (negative for a signal), what it wrote to both streams, and the files it changed.

    `files` holds SHA-256 by path below the folder; a file that it deleted has none.
    """

    words: Words
    status: int
    out: str
    err: str
    files: Mapping[str, str]


def as_it_is() -> None:
    """Plants nothing."""


@dataclass(slots=True)
class Build:
    """refute as it is, or with something planted into each process that is called; every call is made once.

    `place` is the folder that commands are called in, each in a copy of its own below `scratch`.
    """

    place: Path
    scratch: Path
    name: str = ""
    plant: Plant = as_it_is
    _known: dict[Words, Called] = field(default_factory=dict)
    _number: Iterator[int] = field(default_factory=count)

    def call(self, *words: str) -> Called:
        """What `refute WORDS` comes to."""
        self.call_all([words])
        return self._known[words]

    def call_all(self, calls: Sequence[Words]) -> list[Called]:
        """The same for several, some side by side."""
        waiting = [words for words in dict.fromkeys(calls) if words not in self._known]
        running: dict[int, tuple[Words, Path]] = {}
        while waiting or running:
            while waiting and len(running) < _SIDE_BY_SIDE:
                words, folder = waiting.pop(0), self._copy()
                running[_start(words, folder / "place", folder, self.plant)] = words, folder
            words, ended = _wait(running)
            self._known[words] = self._ended(words, *ended)
        return [self._known[words] for words in calls]

    def again(self, *words: str) -> Called:
        """`call` once more: what no two calls have in common is nobody's doing."""
        folder = self._copy()
        _, ended = _wait({_start(words, folder / "place", folder, self.plant): (words, folder)})
        return self._ended(words, *ended)

    def interrupted(self, *words: str) -> tuple[Called, float]:
        """The call, and the seconds in which it ended after a Ctrl-C, given once it has said something or _BEGUN_S."""
        folder = self._copy()
        pid = _start(words, folder / "place", folder, self.plant)
        latest = time.monotonic() + _BEGUN_S
        while time.monotonic() < latest and not any((folder / name).stat().st_size for name in _said(folder)):
            time.sleep(_GLANCE_S)
        asked = time.monotonic()
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGINT)  # as a terminal does: to whatever it has started, too
        _, ended = _wait({pid: (words, folder)})
        return self._ended(words, *ended), time.monotonic() - asked

    @contextmanager
    def kept(self) -> Iterator[tuple[Callable[..., Called], Path]]:
        """Calls that build on each other: all of them in one copy of the folder, and `files` since it was made."""
        folder = self._copy()

        def call(*words: str, plant: Plant = self.plant) -> Called:
            ended = _wait({_start(words, folder / "place", folder, plant): (words, folder)})[1]
            return _read(words, *ended, _changed(folder / "place", self.place))

        yield call, folder / "place"
        shutil.rmtree(folder, ignore_errors=True)

    def in_place(self, *words: str) -> Called:
        """What it comes to in the folder itself, for whoever makes it."""
        folder = self.scratch / "made"
        folder.mkdir(parents=True, exist_ok=True)
        _, (status, _folder) = _wait({_start(words, self.place, folder, self.plant): (words, folder)})
        return _read(words, status, folder, {})

    def _copy(self) -> Path:
        folder = self.scratch / f"{self.name or 'as-it-is'}-{next(self._number)}"
        shutil.copytree(self.place, folder / "place", symlinks=True)
        return folder

    def _ended(self, words: Words, status: int, folder: Path) -> Called:
        called = _read(words, status, folder, _changed(folder / "place", self.place))
        shutil.rmtree(folder, ignore_errors=True)
        return called


def _start(words: Words, place: Path, folder: Path, plant: Plant) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            status = _called(words, place, folder, plant)
        except BaseException:  # noqa: BLE001  # nothing of this fork may return into its parent's code
            traceback.print_exc()
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status & 0xFF)
    return pid


def _called(words: Words, place: Path, folder: Path, plant: Plant) -> int:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.alarm(_LIMIT_S)
    streams = [os.open("/dev/null", os.O_RDONLY), *(_open(folder / name) for name in ("out", "err"))]
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    # What else the parent holds is no call's to write to: `judge --answer-fd 3` answered among the parent's events.
    os.closerange(len(streams), _MOST_DESCRIPTORS)
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(n, "w", closefd=False), "utf-8") for n in (1, 2))
    os.environ.update({name: str(folder / "home") for name in _HOMES}, COLUMNS="100")
    os.chdir(place)
    sys.argv = ["refute", *words]
    plant()
    return int(import_module(_RUN).run(list(words)))


def _said(folder: Path) -> list[str]:
    return [name for name in ("out", "err") if (folder / name).exists()]


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)


def _wait(running: dict[int, tuple[Words, Path]]) -> tuple[Words, tuple[int, Path]]:
    """The next of `running` to end, which it is taken out of; what it has started ends with it."""
    while True:
        pid, ended = os.wait()
        if pid in running:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            words, folder = running.pop(pid)
            return words, (os.waitstatus_to_exitcode(ended), folder)


def _read(words: Words, status: int, folder: Path, files: Mapping[str, str]) -> Called:
    out, err = ((folder / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err"))
    return Called(words, status, out, err, files)


def _changed(place: Path, before: Path) -> dict[str, str]:
    now, then = _files(place), _known_files(before)
    return {name: now.get(name, "") for name in sorted(now.keys() | then.keys()) if now.get(name) != then.get(name)}


@cache
def _known_files(folder: Path) -> dict[str, str]:
    """Of a folder that nobody changes while calls are made in copies of it."""
    return _files(folder)


def _files(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in found}
