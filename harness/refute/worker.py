"""python -m refute.worker REQUEST EVENTS_FD: run one experiment in this process and report over a pipe.

Events are JSON lines. The last one is `{"event": "done"}`, written only after the experiment returned:
a process that ends without it has failed, whatever its exit status.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from refute.errors import RefuteError
from refute.job import Fact, Inputs, Job

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(request_path: str, events_fd: str) -> None:
    """Read the request, call the experiment's function, and say how it ended."""
    _die_with_parent()
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    with os.fdopen(int(events_fd), "w", encoding="utf-8", buffering=1) as events:

        def send(event: str, **content: object) -> None:
            events.write(json.dumps({"event": event, **content}) + "\n")

        def report(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
            send("progress", stage=stage, step=step, total=total, facts=dict(facts))

        job = Job(
            name=request["name"],
            config=json.dumps(request["config"]),
            inputs={name: Inputs(name, Path(folder)) for name, folder in request["inputs"].items()},
            out=Path(request["out"]),
            scratch=Path(request["scratch"]),
            report=report,
        )
        module, function = request["entry"].split(":")
        try:
            getattr(importlib.import_module(module), function)(job)
        except RefuteError as error:
            send("failed", kind=type(error).__name__, message=str(error), hint=error.hint)
            sys.exit(1)
        except Exception as error:  # noqa: BLE001  # whatever an engine raises is this experiment's outcome
            traceback.print_exc()
            send("failed", kind=type(error).__name__, message=f"{type(error).__name__}: {error}", hint="")
            sys.exit(1)
        send("done")


def _die_with_parent() -> None:
    """Linux: end when the gate does. Killed, it loses its lock, and the next run works in the same folders."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(ctypes.c_int(_PR_SET_PDEATHSIG), ctypes.c_ulong(signal.SIGKILL))


if __name__ == "__main__":
    main(*sys.argv[1:])
