"""A slot: a sandboxed program and its judge, joined by a socket, both gone when the slot ends.

Both are forks of templates, which a `Station` keeps for one slot after the other.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from refute.humaneval.jail import Jail, visible_folders
from refute.humaneval.preload import Worker, worker_command, worker_environment

Verdict = Literal["passed", "failed", "timeout", "error"]
# Starting takes some 100 ms; the allowance is for a busy machine and not part of the program's time.
START_LIMIT_S = 30.0
_GRACE_S = 5.0
# For a judge on a busy machine; whatever it says in that time is late anyway.
_LATE_S = 1.0
_REPORT_BYTES = 1 << 16
_STARTED = b"+"
_PROCESSES = 64
_HEADROOM = 1024


@dataclass(frozen=True, slots=True)
class Task:
    """What a judge needs: the problem's own `prompt` and `test`, the untrusted `program`, the seed's text."""

    prompt: str
    test: str
    entry_point: str
    program: str
    seed: str


@dataclass(frozen=True, slots=True)
class Report:
    """A judge's word on one task, and why."""

    outcome: Verdict
    detail: str


class Station:
    """Runs one task at a time in `jail`. Its templates are started when first needed and replaced when lost.

    `timeout_s` is wall time from the moment the sandbox is ready, `memory_mib` the program's address space.
    """

    def __init__(self, jail: Jail, *, timeout_s: float, memory_mib: int) -> None:
        self._jail, self._timeout_s, self._memory_mib = jail, timeout_s, memory_mib
        self._sandbox: _Template | None = None
        self._judge: _Template | None = None
        # bubblewrap ends with the thread that started it, and whoever calls `run` may end before the station does.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="station")

    def run(self, task: Task) -> Report:
        """Judge `task`. Never hangs: past every allowance both processes are killed, a timeout."""
        try:
            return self._run(task)
        except OSError:
            self._drop()  # a template was lost while it waited
        try:
            return self._run(task)
        except OSError as error:
            self._drop()
            return Report("error", f"the sandbox did not start: {error}")

    def _run(self, task: Task) -> Report:
        sandbox, judge = self._ready()
        token = secrets.token_hex(16)
        ours, theirs = socket.socketpair()
        request, asked = socket.socketpair()
        reading, writing = os.pipe()
        with ours, theirs, request, asked, os.fdopen(reading, "rb") as report:
            try:
                sandbox.begin([theirs.fileno()])
                judge.begin([ours.fileno(), asked.fileno(), writing])
            finally:
                os.close(writing)
            for end in (ours, theirs, asked):
                end.close()
            request.settimeout(START_LIMIT_S)
            request.sendall(self._job(task, token))
            request.close()
            started = _read(report.fileno(), START_LIMIT_S + _GRACE_S, 1)
            # The judge ends by itself when the program's time is up; one that is kept from it is ended from here.
            written = _read(report.fileno(), self._timeout_s + _LATE_S, _REPORT_BYTES) if started else b""
        # The judge first: it must not see the program vanish and call that a failure.
        if not (judge.end() and sandbox.end()):
            self._drop()
        if written is None:
            return Report("timeout", f"the judge gave no verdict within {self._timeout_s:g} s and was stopped")
        return _parse((started or b"").removeprefix(_STARTED) + written, token)

    def close(self) -> None:
        """End the station, and whatever runs at it."""
        self._drop()
        self._starter.shutdown()

    def _drop(self) -> None:
        """End both templates; the next task gets others."""
        for template in (self._judge, self._sandbox):
            if template is not None:
                template.close()
        self._judge = self._sandbox = None

    def _ready(self) -> tuple[_Template, _Template]:
        if self._sandbox is None or self._judge is None:
            start = self._starter.submit
            self._sandbox = start(_sandbox_template, self._jail, self._timeout_s, self._memory_mib).result()
            self._judge = start(_Template, [], "judge_worker", {}, "/", None).result()
        return self._sandbox, self._judge

    def _job(self, task: Task, token: str) -> bytes:
        job = {
            "token": token,
            "start_s": START_LIMIT_S,
            "timeout_s": self._timeout_s,
            "problem": {name: getattr(task, name) for name in Task.__slots__},
        }
        return json.dumps(job).encode("ascii")


def run_slot(task: Task, jail: Jail, *, timeout_s: float, memory_mib: int) -> Report:
    """One task at a station of its own."""
    station = Station(jail, timeout_s=timeout_s, memory_mib=memory_mib)
    try:
        return station.run(task)
    finally:
        station.close()


class _Template:
    """A running template (see `refute.humaneval.template`) and our end of its control socket."""

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
        self._control.settimeout(_GRACE_S)
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
        self._finish = weakref.finalize(self, _finish, process, self._control, temporary)

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


def _sandbox_template(jail: Jail, timeout_s: float, memory_mib: int) -> _Template:
    temporary = None if jail.wrapped else tempfile.mkdtemp(prefix="refute-slot-")
    folder = "/" if temporary is None else _working_folder(temporary, jail.uid)
    writable = ["/tmp", "/dev/shm"] if temporary is None else [folder]  # noqa: S108 - in the sandbox
    confinement = {
        "tier": jail.tier,
        "cpu_s": math.ceil(timeout_s) + 1,
        "memory_mib": memory_mib,
        "processes": _process_limit(jail),
        "uid": None if jail.wrapped else jail.uid,
        "readable": visible_folders(),
        "writable": [] if temporary is None else writable,
    }
    # On the other tiers a program can start none.
    most_processes = _PROCESSES if jail.tier == "rlimits" and sys.platform.startswith("linux") else None
    settings = {"confinement": confinement, "writable": writable, "most_processes": most_processes}
    uid = jail.uid if jail.wrapped else None
    return _Template(jail.wrapper, "sandbox_worker", settings, folder, temporary, uid)


def _working_folder(temporary: str, uid: int | None) -> str:
    """A folder of the program's in one of ours: were the outer one its own, it could put a link in its place."""
    Path(temporary).chmod(0o711)
    folder = Path(temporary) / "work"
    folder.mkdir(0o700)
    if uid is not None:
        os.chown(folder, uid, uid)
    return str(folder)


def _process_limit(jail: Jail) -> int | None:
    """RLIMIT_NPROC of a program; None where it could start no process anyway."""
    if not sys.platform.startswith("linux"):
        return 1  # where threads are not counted
    if jail.wrapped:
        return _PROCESSES  # counted in the sandbox's own user namespace
    if jail.tier != "rlimits":
        return None
    # It counts all that the user runs, here and elsewhere: far enough from that to fail no honest program.
    return _tasks_of(os.geteuid() if jail.uid is None else jail.uid) + _HEADROOM


def _tasks_of(uid: int) -> int:
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


def _read(descriptor: int, seconds: float, most: int) -> bytes | None:
    """Everything up to the end of the file or `most` bytes; None when that has not come within `seconds`."""
    deadline, found = time.monotonic() + seconds, b""
    while True:
        ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0.0))
        if not ready:
            return None
        chunk = os.read(descriptor, most - len(found))
        found += chunk
        if not chunk or len(found) == most:
            return found


def _parse(written: bytes, token: str) -> Report:
    try:
        report = json.loads(written)
        outcome, detail, seen = report["outcome"], report["detail"], report["token"]
    except (ValueError, KeyError, TypeError):
        return Report("error", "the judge ended without a verdict")
    if seen != token or outcome not in ("passed", "failed", "timeout", "error"):
        return Report("error", "the judge's verdict does not carry this task's token")
    return Report(outcome, detail)
