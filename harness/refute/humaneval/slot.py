"""One problem's slot: a sandboxed worker and its judge, joined by a socket, both gone when the slot ends."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from refute.humaneval.jail import Jail, visible_folders
from refute.humaneval.preload import worker_command, worker_environment

Verdict = Literal["passed", "failed", "timeout", "error"]
# Starting takes some 30 ms; the allowance is for a busy machine and not part of the program's time.
START_LIMIT_S = 30.0
_GRACE_S = 5.0


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


def run_slot(task: Task, jail: Jail, *, timeout_s: float, memory_mib: int) -> Report:
    """Judge `task` in `jail`. Never hangs: past every allowance both processes are killed, a timeout.

    `timeout_s` is wall time from the moment the sandbox is ready, `memory_mib` the worker's address space.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs, _worker(jail, theirs, timeout_s=timeout_s, memory_mib=memory_mib):
        theirs.close()
        return _consult_judge(task, ours, timeout_s)


@contextlib.contextmanager
def _worker(jail: Jail, end: socket.socket, *, timeout_s: float, memory_mib: int) -> Iterator[None]:
    folder = "/" if jail.wrapped else tempfile.mkdtemp(prefix="refute-slot-")
    try:
        if not jail.wrapped and jail.uid is not None:
            os.chown(folder, jail.uid, jail.uid)
        confinement = {
            "tier": jail.tier,
            "cpu_s": math.ceil(timeout_s) + 1,
            "memory_mib": memory_mib,
            "uid": jail.uid,
            "readable": visible_folders(),
            "writable": [] if jail.wrapped else [folder],
        }
        settings = json.dumps({"descriptor": end.fileno(), "confinement": confinement})
        process = _start([*jail.wrapper, *worker_command("sandbox_worker"), settings], end, folder)
        try:
            yield
        finally:
            _kill_group(process)
    finally:
        if not jail.wrapped:
            shutil.rmtree(folder, ignore_errors=True)


def _consult_judge(task: Task, end: socket.socket, timeout_s: float) -> Report:
    token = secrets.token_hex(16)
    job = {
        "token": token,
        "descriptor": end.fileno(),
        "start_s": START_LIMIT_S,
        "timeout_s": timeout_s,
        "problem": {name: getattr(task, name) for name in Task.__slots__},
    }
    process = _start(worker_command("judge_worker"), end, "/", interactive=True)
    try:
        written, _ = process.communicate(json.dumps(job).encode("ascii"), timeout=START_LIMIT_S + timeout_s + _GRACE_S)
    except subprocess.TimeoutExpired:
        return Report("timeout", f"the judge gave no verdict within {timeout_s:g} s and was stopped")
    finally:
        _kill_group(process)
    return _read_report(written, token)


def _read_report(written: bytes, token: str) -> Report:
    try:
        report = json.loads(written)
        outcome, detail, seen = report["outcome"], report["detail"], report["token"]
    except (ValueError, KeyError, TypeError):
        return Report("error", "the judge ended without a verdict")
    if seen != token or outcome not in ("passed", "failed", "timeout", "error"):
        return Report("error", "the judge's verdict does not carry this task's token")
    return Report(outcome, detail)


def _start(
    command: list[str], end: socket.socket, folder: str, *, interactive: bool = False
) -> subprocess.Popen[bytes]:
    stream = subprocess.PIPE if interactive else subprocess.DEVNULL
    return subprocess.Popen(  # noqa: S603 - our own command
        command,
        stdin=stream,
        stdout=stream,
        stderr=subprocess.DEVNULL,
        pass_fds=(end.fileno(),),
        cwd=folder,
        env=worker_environment(),
        start_new_session=True,
    )


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and whatever it started in its group, and wait for it."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    if process.returncode is None:  # once waited for, its number may belong to another
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
