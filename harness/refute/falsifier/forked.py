"""Functions in forked children: they may raise, hang, crash or print; only the line that each returns comes back."""

from __future__ import annotations

import faulthandler
import gc
import importlib
import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

# Of the time that a child has: then it writes down where it is, while it still can.
_WRITES_DOWN_AT = 0.9

# A fork costs the parent as much as the child, and two cores are common.
_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Reply:
    """What a child answered: one line, or a fault that says why there is none."""

    line: str = ""
    fault: str = ""
    timed_out: bool = False


def replies_of(works: Sequence[Callable[[], str]], timeout_s: float, log: Path) -> list[Reply]:
    """What each of `works` returns, text without a line break, in a child that is given `timeout_s` seconds.

    Two at a time: on two cores they take half as long. A child's output goes to `log`, and where it was when its time
    was nearly over. Nothing that it started in its process group outlives the call. A child that ends without answering
    is a fault, whatever its status.
    """
    return list(each_reply(works, timeout_s, log))


def each_reply(works: Iterable[Callable[[], str]], timeout_s: float, log: Path) -> Iterator[Reply]:
    """The same, in the order of `works`, which are begun as others end: a slow one keeps nobody waiting but itself."""
    waiting, running, ended, shown = enumerate(works), dict[int, _Child](), dict[int, Reply](), 0
    try:
        while True:
            for number, work in islice(waiting, _AT_ONCE - len(running)):
                running[number] = _Child(work, timeout_s, log)
            if not running:
                return
            for number, answers in _first_to_end(running):
                ended[number] = running.pop(number).reply(answers=answers)
            while shown in ended:
                yield ended.pop(shown)
                shown += 1
    finally:
        for child in running.values():
            child.end()


def _first_to_end(running: Mapping[int, _Child]) -> list[tuple[int, bool]]:
    """Waits for the first to do so: the numbers of those that answer or are gone, or else of one whose time is over."""
    with selectors.DefaultSelector() as selector:
        for number, child in running.items():
            selector.register(child.reading, selectors.EVENT_READ, number)
        left = min(child.deadline for child in running.values()) - time.monotonic()
        answering = [(int(key.data), True) for key, _ in selector.select(max(left, 0.0))]
    return answering or [(min(running, key=lambda number: running[number].deadline), False)]


class _Child:
    """A process that works, from its fork to its end."""

    def __init__(self, work: Callable[[], str], timeout_s: float, log: Path) -> None:
        self._timeout_s, self._log = timeout_s, log
        self.reading, writing = os.pipe()
        _flush()
        # A collection in the child would write to, and so copy, every page of the parent's objects: 50 ms each time.
        gc.freeze()
        self.deadline = time.monotonic() + timeout_s
        # A Ctrl-C in the middle would be raised in one of the hooks that the interpreter runs at a fork, and be lost.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self.reading)
            _answer_and_exit(work, writing, log, timeout_s)
        gc.unfreeze()
        os.close(writing)
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        except BaseException:
            self.end()
            raise

    def reply(self, *, answers: bool) -> Reply:
        """What it answers, if it `answers` already; then nothing of it runs any more."""
        # A long answer may have waited in the pipe for whoever asks for replies one by one.
        deadline = time.monotonic() + (self._timeout_s / 2 if answers else 0.0)
        try:
            data = _read_until(self.reading, deadline)
        finally:
            status = self.end()
        if data is None:
            fault = f"gave no answer within {self._timeout_s:g} s; see {self._log.name} for where it was by then"
            return Reply(fault=fault, timed_out=True)
        if not data.endswith(b"\n"):
            code = os.waitstatus_to_exitcode(status)
            how = f"signal {-code}" if code < 0 else f"exit status {code}"
            return Reply(fault=f"its process ended with {how} before it answered; see {self._log.name}")
        return Reply(data.decode("utf-8", "replace"))

    def end(self) -> int:
        """Kill it and what it started, once; its status as os.waitpid gives it."""
        if self.reading < 0:
            return 0
        os.close(self.reading)
        self.reading = -1
        os.kill(self._pid, signal.SIGKILL)  # first the child itself: it may not lead its own group yet
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        return os.waitpid(self._pid, 0)[1]


def _answer_and_exit(work: Callable[[], str], writing: int, log: Path, timeout_s: float) -> None:
    """In the child: work, write the answer, and leave without running any handler of the parent's."""
    status = 1
    try:
        _detach(log)
        # To the descriptor: sys.stderr may be anything by then.
        faulthandler.dump_traceback_later(_WRITES_DOWN_AT * timeout_s, file=2)
        answer = work() + "\n"
        _flush()  # before the answer: the parent ends this process as soon as it has one
        with os.fdopen(writing, "w", encoding="utf-8") as out:
            out.write(answer)
        status = 0
    except BaseException:  # noqa: BLE001  # the child must never return into the parent's stack
        traceback.print_exc()
    finally:
        try:
            _flush()
        finally:
            os._exit(status)


def _detach(log: Path) -> None:
    """Own session, no input, output into `log`: under pytest or rich, sys.stdout is not what descriptor 1 is."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    with log.open("ab") as stream, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    # Left open when these objects go, as they do where a child has children of its own.
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
        for number in (1, 2)
    )


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _read_until(reading: int, deadline: float) -> bytes | None:
    """One line, or what came before the end of file; None once the deadline has passed."""
    data = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(reading, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and selector.select(left):
            chunk = os.read(reading, 1 << 16)
            data += chunk
            # Not the end of file alone: a process that the work left behind may hold the pipe open.
            if not chunk or chunk.endswith(b"\n"):
                return bytes(data)
    return None


_THREADS = "OPENBLAS_NUM_THREADS"


def warm_up() -> None:
    """A quarter of a second, saved in every fork.

    numpy and scipy each start a thread per core when they are imported. A process that forks is to have one: what
    another thread holds at that moment stays held in the child for ever.
    """
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        importlib.import_module("scipy.special")
        importlib.import_module("safetensors.numpy")
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
