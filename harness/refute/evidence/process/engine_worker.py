"""Runs experiments one after the other, each in a fork of this process, which `engine_process` starts isolated.

What an experiment imports stays imported here, so torch and transformers (5 s on two cores) are loaded once a run.
A request is a JSON line with two descriptors: where events go, and the log. Two JSON lines answer it: the pid of the
experiment's process when it starts, its exit status when it has ended.

Events are JSON lines. The last one is `{"event": "done", "ran": …}`, written only after the experiment returned:
a process that ends without it has failed, whatever its exit status. It says what the process had loaded.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from refute.errors import RefuteError
from refute.evidence.process.environment import numeric_variables
from refute.evidence.process.loaded import loaded
from refute.evidence.process.request import Request
from refute.job import Fact, Inputs, Job, ProgressCallback

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def serve(control: socket.socket) -> None:
    """Answer requests until the gate closes its end."""
    _die_with_parent()
    variables = numeric_variables(os.environ)
    while True:
        line, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 2)
        while line and not line.endswith(b"\n"):
            line += control.recv(1 << 16)
        if not line:
            return
        events, log = descriptors
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
        request = Request.from_line(line)
        # Only to have it loaded: the experiment imports it again, and reports what is wrong with it.
        with suppress(Exception):
            importlib.import_module(request.entry.split(":")[0])
        gc.freeze()  # a collection in the child would touch, and so copy, every object of these modules: 0.3 s each
        pid = os.fork()
        if pid == 0:
            control.close()
            os.setsid()
            _die_with_parent()
            _leave(_run(request, events, variables))
        os.close(events)
        control.sendall(b"%d\n" % pid)
        control.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _leave(status: int) -> NoReturn:
    """End as `sys.exit` does, less the taking apart of every module: with torch in memory that alone took 1.2 s."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _run(request: Request, events_fd: int, variables: Mapping[str, str]) -> int:
    """Call the experiment's function, and say how it ended."""
    with os.fdopen(events_fd, "w", encoding="utf-8", buffering=1) as events:

        def send(event: str, **content: object) -> None:
            events.write(json.dumps({"event": event, **content}) + "\n")

        def report(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
            send("progress", stage=stage, step=step, total=total, facts=dict(facts))

        module, function = request.entry.split(":")
        os.environ.update(request.secrets)
        try:
            getattr(importlib.import_module(module), function)(_job(request, report))
        except RefuteError as error:
            send("failed", kind=type(error).__name__, message=str(error), hint=error.hint)
            return 1
        except Exception as error:  # noqa: BLE001  # whatever an engine raises is this experiment's outcome
            traceback.print_exc()
            send("failed", kind=type(error).__name__, message=f"{type(error).__name__}: {error}", hint="")
            return 1
        send("done", ran=loaded(variables))
        return 0


def _job(request: Request, report: ProgressCallback) -> Job:
    return Job(
        name=request.name,
        config=request.config,
        inputs={name: Inputs(name, Path(folder)) for name, folder in request.inputs.items()},
        out=Path(request.out),
        scratch=Path(request.scratch),
        report=report,
    )


def _die_with_parent() -> None:
    """Linux: end when the gate does. Killed, it loses its lock, and the next run works in the same folders."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(ctypes.c_int(_PR_SET_PDEATHSIG), ctypes.c_ulong(signal.SIGKILL))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
