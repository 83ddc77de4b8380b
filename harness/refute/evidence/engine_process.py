"""The process that experiments are forked from: started when first needed, ended with the gate."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

# Speed only, and only where the user has not decided otherwise. Measured on the embedded teacher, 47 tokens, float32:
# OpenMP threads that spin while they wait made its forward 2.1 to 3.1 s on two cores shared with other work, sleeping
# ones 0.58 s. glibc returns large blocks to the kernel and faults every page in again at the next step: a KD step took
# 0.90 to 0.95 CPU seconds, and 0.67 to 0.68 with memory kept.
_TUNING = {
    "OMP_WAIT_POLICY": "passive",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
}


# Nothing is fetched behind the plan's back, hashing does not vary, and asking whether there is a GPU does not start
# CUDA in the process that is about to fork (PyTorch documentation, "CUDA environment variables").
_FIXED = {
    "HF_HUB_OFFLINE": "1",
    "PYTHONHASHSEED": "0",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "TOKENIZERS_PARALLELISM": "true",
}


_PATIENCE_S = 10.0


class Workers:
    """Runs one experiment at a time, in a process group of its own (see `refute.evidence.engine_worker`)."""

    def __init__(self) -> None:
        self._server: _Server | None = None

    def run(self, request: Mapping[str, Any], events: int, log: int) -> Running:
        """Begin `request`; its events arrive at the descriptor `events`, what it prints at `log`."""
        if self._server is None or not self._server.alive:
            self._server = _Server()
        self._server.send(request, events, log)
        return Running(self._server)


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
                # -P: no file of the working folder may stand in for a module that an engine imports.
                [sys.executable, "-P", "-m", "refute.evidence.engine_worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env={**_TUNING, **os.environ, **_FIXED},
            )
        self._finalizer = weakref.finalize(self, _shut, self._process, self._control)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, request: Mapping[str, Any], events: int, log: int) -> None:
        self._heard = b""
        with suppress(BrokenPipeError):  # it has just died: `answers` will say so
            socket.send_fds(self._control, [json.dumps(request).encode() + b"\n"], [events, log])

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
