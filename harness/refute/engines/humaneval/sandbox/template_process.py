"""Template processes (template.py) as seen from outside: how they are started, asked for forks and ended."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from refute.engines.humaneval.sandbox.jail import Jail, visible_folders
from refute.engines.humaneval.sandbox.preload import Worker, worker_command, worker_environment

GRACE_S = 5.0
_PROCESSES = 64
_HEADROOM = 1024


class TemplateProcess:
    """A running template (see `refute.engines.humaneval.sandbox.template`) and our end of its control socket."""

    def __init__(
        self,
        wrapper: Sequence[str],
        worker: Worker,
        settings: dict[str, Any],
        folder: str,
        temporary: str | None,
        uid: int | None = None,
    ) -> None:
        self._control, theirs = socket.socketpair()
        self._control.settimeout(GRACE_S)
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own command
                [*wrapper, *worker_command(worker), json.dumps({"control": theirs.fileno(), **settings})],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                cwd=folder,
                env=worker_environment(),
                start_new_session=True,
                user=uid,
                group=uid,
                extra_groups=None if uid is None else [],
            )
        self._process = process
        self._finish = weakref.finalize(self, _finish, process, self._control, temporary)

    @property
    def ended(self) -> bool:
        """Whether its process is gone."""
        return self._process.poll() is not None

    def begin(self, descriptors: Sequence[int]) -> None:
        """Have a fork work with `descriptors`. Raises OSError when the template is gone."""
        socket.send_fds(self._control, [b"!"], list(descriptors))

    def end(self) -> bool:
        """Have the fork killed and its traces removed; False when the template is lost, or cannot say so in time."""
        try:
            self._control.send(b"!")
            return self._control.recv(1) == b"."
        except OSError:
            return False

    def close(self) -> None:
        """End it, with its forks and their folder."""
        self._finish()


def judge_template() -> TemplateProcess:
    """One whose forks judge."""
    return TemplateProcess([], "judge_worker", {}, "/", None)


def sandbox_template(jail: Jail, timeout_s: float, memory_mib: int) -> TemplateProcess:
    """One whose forks execute programs, in `jail` and within these limits."""
    temporary = None if jail.wrapped else tempfile.mkdtemp(prefix="refute-sandbox-")
    folder = "/" if temporary is None else working_folder(temporary, jail.uid)
    writable = ["/tmp", "/dev/shm"] if temporary is None else [folder]  # noqa: S108 - in the sandbox
    confinement = {
        "tier": jail.tier,
        "cpu_s": math.ceil(timeout_s) + 1,
        "memory_mib": memory_mib,
        "processes": process_limit(jail),
        "uid": None if jail.wrapped else jail.uid,
        "readable": visible_folders(),
        "writable": [] if temporary is None else writable,
    }
    # On the other tiers a program can start none.
    most_processes = _PROCESSES if jail.tier == "rlimits" and sys.platform.startswith("linux") else None
    settings = {"confinement": confinement, "writable": writable, "most_processes": most_processes}
    uid = jail.uid if jail.wrapped else None
    return TemplateProcess(jail.wrapper, "sandbox_worker", settings, folder, temporary, uid)


def working_folder(temporary: str, uid: int | None) -> str:
    """A folder of the program's in one of ours: were the outer one its own, it could put a link in its place."""
    Path(temporary).chmod(0o711)
    folder = Path(temporary) / "work"
    folder.mkdir(0o700)
    if uid is not None:
        os.chown(folder, uid, uid)
    return str(folder)


def process_limit(jail: Jail) -> int | None:
    """RLIMIT_NPROC of a program; None where it could start no process anyway."""
    if not sys.platform.startswith("linux"):
        return 1  # where threads are not counted
    if jail.wrapped:
        return _PROCESSES  # counted in the sandbox's own user namespace
    if jail.tier != "rlimits":
        return None
    # It counts all that the user runs, here and elsewhere: far enough from that to fail no honest program.
    return tasks_of(os.geteuid() if jail.uid is None else jail.uid) + _HEADROOM


def tasks_of(uid: int) -> int:
    """How many threads of all processes a user has now."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.stat().st_uid == uid:
                found += sum(1 for _ in (process / "task").iterdir())
    return found


def _finish(process: subprocess.Popen[bytes], control: socket.socket, temporary: str | None) -> None:
    control.close()
    if process.returncode is None:  # once waited for, its number may belong to another
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if temporary is not None:
        with contextlib.suppress(RecursionError):
            shutil.rmtree(temporary, ignore_errors=True)
        if Path(temporary).exists():
            # Folders nested beyond Python's recursion limit, which rm does not share.
            subprocess.run(["/bin/rm", "-rf", "--", temporary], check=False, stderr=subprocess.DEVNULL)  # noqa: S603
