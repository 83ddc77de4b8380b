"""The processes that experiments are forked from: each started when first needed, ended with the gate."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
import weakref
from contextlib import suppress

from refute.evidence.process.environment import extra_folders, process_environment
from refute.evidence.process.request import Request
from refute.isolation.command import isolated_command

_PATIENCE_S = 10.0
_WORKER = "refute.evidence.process.engine_worker"
_AUDITORS = "refute.auditors."


class Workers:
    """Runs one experiment at a time, in a process group of its own (see `refute.evidence.process.engine_worker`).

    Auditors are forked from a process in which no engine was ever imported: what one does to torch when it is imported
    would be done to them, too, and both loops would share that fault.
    """

    def __init__(self) -> None:
        self._servers: dict[bool, _Server] = {}

    def run(self, request: Request, events: int, log: int) -> Running:
        """Begin `request`; its events arrive at the descriptor `events`, what it prints at `log`."""
        audits = request.entry.startswith(_AUDITORS)
        server = self._servers.get(audits)
        if server is None or not server.alive:
            server = self._servers[audits] = _Server()
        server.send(request, events, log)
        return Running(server)


class Running:
    """An experiment that was begun."""

    def __init__(self, server: _Server) -> None:
        self._server = server

    def end(self) -> int:
        """Its exit status, negative for a signal, once nothing of it runs any more.

        Waits briefly for an orderly end, or not at all when an exception is under way.
        """
        answers = self._server.answers(0.0 if sys.exc_info()[0] else _PATIENCE_S)
        if answers:
            with suppress(ProcessLookupError):
                os.killpg(answers[0], signal.SIGKILL)
            answers = self._server.answers(_PATIENCE_S)
        # Without both answers it died, or hangs in an import: the next experiment gets another server.
        return answers[1] if len(answers) == 2 else self._server.end()


class _Server:
    """The process, and what it answered to the last request: a pid, then an exit status."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._heard = b""
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                isolated_command(_WORKER, str(theirs.fileno()), own_environment=True, extra=extra_folders(os.environ)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=process_environment(os.environ),
            )
        self._finalizer = weakref.finalize(self, _shut, self._process, self._control)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, request: Request, events: int, log: int) -> None:
        self._heard = b""
        with suppress(BrokenPipeError):  # it has just died: `answers` will say so
            socket.send_fds(self._control, [request.to_line()], [events, log])

    def answers(self, seconds: float) -> list[int]:
        """Both answers, or those that came before the time was over or the process ended."""
        deadline = time.monotonic() + seconds
        while self._heard.count(b"\n") < 2:
            ready, _, _ = select.select([self._control], [], [], max(deadline - time.monotonic(), 0.0))
            chunk = self._control.recv(1 << 10) if ready else b""
            if not chunk:
                break
            self._heard += chunk
        return [int(line) for line in self._heard.splitlines()]

    def end(self) -> int:
        """Kill it; returns the exit status that it had, or has now."""
        self._finalizer()
        return self._process.wait()


def _shut(process: subprocess.Popen[bytes], control: socket.socket) -> None:
    control.close()
    with suppress(ProcessLookupError):
        process.kill()
    process.wait()
