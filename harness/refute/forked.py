"""One function in a forked child: it may raise, hang, crash or print; only the line that it returns comes back."""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reply:
    """What a child answered: one line, or a fault that says why there is none."""

    line: str = ""
    fault: str = ""
    timed_out: bool = False


def reply_of(work: Callable[[], str], timeout_s: float, log: Path) -> Reply:
    """What `work` returns, which must be text without a line break, in a child that is given `timeout_s` seconds.

    The child's output goes to `log`. Nothing that it started in its process group outlives the call. A child that
    ends without answering is a fault, whatever its status.
    """
    reading, writing = os.pipe()
    _flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _answer_and_exit(work, writing, log)
    os.close(writing)
    try:
        data = _read_until(reading, time.monotonic() + timeout_s)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)  # first the child itself: it may not lead its own group yet
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if data is None:
        return Reply(fault=f"gave no answer within {timeout_s:g} s", timed_out=True)
    if not data.endswith(b"\n"):
        code = os.waitstatus_to_exitcode(status)
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return Reply(fault=f"its process ended with {how} before it answered; see {log.name}")
    return Reply(data.decode("utf-8", "replace"))


def _answer_and_exit(work: Callable[[], str], writing: int, log: Path) -> None:
    """In the child: work, write the answer, and leave without running any handler of the parent's."""
    status = 1
    try:
        _detach(log)
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
    with log.open("ab") as stream, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    sys.stdin = os.fdopen(0, encoding="utf-8")
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace", buffering=1) for number in (1, 2)
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
