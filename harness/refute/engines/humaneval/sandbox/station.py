"""Runs one program at a time: in a sandboxed process, joined by a socket to a judge process that holds the tests.

Both are forks of templates, which a `Station` keeps from one program to the next: the program's fork is ended after
each, the judge's stays for the next program of the same problem. Neither is trusted with the other's secrets: the
sandboxed side never sees the tests, and the judge's message counts only with the token that this process gave it.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import socket
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from refute.engines.humaneval.sandbox.jail import Jail
from refute.engines.humaneval.sandbox.template_process import GRACE_S, TemplateProcess, judge_template, sandbox_template

ProgramOutcome = Literal["passed", "failed", "timeout", "error"]

# Starting takes some 100 ms; the allowance is for a busy machine and not part of the program's time.
START_LIMIT_S = 30.0

# For a judge on a busy machine; whatever it says in that time is late anyway.
_LATE_S = 1.0
_REPORT_BYTES = 1 << 16
_STARTED = b"+"

# What a judge says that is as good as new: it came to an end in time, and it was not at fault.
_KEPT = ("passed", "failed")


@dataclass(frozen=True, slots=True)
class Task:
    """What a judge needs: the problem's own `prompt` and `test`, the untrusted `program`, the seed's text.

    `in_place`: what the program changes of its arguments reaches the test.
    """

    prompt: str
    test: str
    entry_point: str
    program: str
    seed: str
    in_place: bool = False


@dataclass(frozen=True, slots=True)
class JudgeMessage:
    """What a judge says of one task: how it came out, and why."""

    outcome: ProgramOutcome
    detail: str


class Station:
    """Runs one task at a time in `jail`. Its templates are started when first needed and replaced when lost.

    `timeout_s` is wall time from the moment the sandbox is ready, `memory_mib` the program's address space.
    """

    def __init__(self, jail: Jail, *, timeout_s: float, memory_mib: int) -> None:
        self._jail, self._timeout_s, self._memory_mib = jail, timeout_s, memory_mib
        self._sandbox: TemplateProcess | None = None
        self._judge: TemplateProcess | None = None
        self._jobs: socket.socket | None = None
        self._judged = ("", "", "")
        # bubblewrap ends with the thread that started it, and whoever calls `run` may end before the station does.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="station")

    def run(self, task: Task) -> JudgeMessage:
        """Judge `task`. Never hangs: past every allowance both processes are killed, a timeout."""
        # Twice: a template that was killed between two tasks is the machine's fault and not the program's.
        try:
            return self._run(task)
        except OSError:
            self._drop()  # a template, or a judge, was lost while it waited
        try:
            return self._run(task)
        except OSError as error:
            self._drop()
            return JudgeMessage("error", f"the sandbox did not start: {error}")

    def _run(self, task: Task) -> JudgeMessage:
        sandbox, judge = self._ready()
        jobs = self._jobs_of(task, judge)
        token = secrets.token_hex(16)  # unknown to the program: without it no message of the judge counts
        ours, theirs = socket.socketpair()
        request, asked = socket.socketpair()
        reading, writing = os.pipe()
        with ours, theirs, request, asked, os.fdopen(reading, "rb") as report:
            try:
                # The program's side of the channel goes to the sandbox, ours to the judge: from here on the two speak
                # to each other alone, and this process only waits for the judge's message on the pipe.
                sandbox.begin([theirs.fileno()])
                socket.send_fds(jobs, [b"!"], [ours.fileno(), asked.fileno(), writing])
            finally:
                os.close(writing)
            for end in (ours, theirs, asked):
                end.close()
            # A job may be larger than the socket's buffer, and the judge may never read it.
            request.settimeout(START_LIMIT_S)
            request.sendall(self._job(task, token))
            request.close()
            started = _read(report.fileno(), START_LIMIT_S + GRACE_S, 1)
            if started == b"":
                raise OSError("a judge was lost while it waited")
            # The judge ends by itself when the program's time is up; one that is kept from it is ended from here.
            written = _read(report.fileno(), self._timeout_s + _LATE_S, _REPORT_BYTES) if started else b""
        found = self._report(started, written, token)
        # The judge first: it must not see the program vanish and call that a failure.
        if not (found.outcome in _KEPT or self._dismiss(judge)) or not sandbox.end():
            self._drop()
        return found

    def _report(self, started: bytes | None, written: bytes | None, token: str) -> JudgeMessage:
        if written is None:
            return JudgeMessage("timeout", f"the judge gave no verdict within {self._timeout_s:g} s and was stopped")
        return _parse((started or b"").removeprefix(_STARTED) + written, token)

    def _jobs_of(self, task: Task, judge: TemplateProcess) -> socket.socket:
        """Where a judge takes jobs of this problem: the last one again if it had the same, for a fork costs 1.5 ms."""
        problem = (task.prompt, task.test, task.entry_point)
        if self._jobs is not None and self._judged == problem:
            return self._jobs
        if self._jobs is not None and not self._dismiss(judge):
            raise OSError("a judge could not be ended")
        self._jobs, theirs = socket.socketpair()
        self._close_jobs = weakref.finalize(self, self._jobs.close)
        with theirs:
            judge.begin([theirs.fileno()])
        self._judged = problem
        return self._jobs

    def _dismiss(self, judge: TemplateProcess) -> bool:
        """End the fork that judges; whether that is certain."""
        self._hang_up()
        return judge.end()

    def _hang_up(self) -> None:
        if self._jobs is not None:
            self._close_jobs()
            self._jobs = None

    def close(self) -> None:
        """End the station, and whatever runs at it."""
        self._drop()
        self._starter.shutdown()

    def _drop(self) -> None:
        """End both templates; the next task gets others."""
        self._hang_up()
        for template in (self._judge, self._sandbox):
            if template is not None:
                template.close()
        self._judge = self._sandbox = None

    def _ready(self) -> tuple[TemplateProcess, TemplateProcess]:
        if any(each is not None and each.ended for each in (self._sandbox, self._judge)):
            self._drop()
        if self._sandbox is None or self._judge is None:
            start = self._starter.submit
            self._sandbox = start(sandbox_template, self._jail, self._timeout_s, self._memory_mib).result()
            self._judge = start(judge_template).result()
        return self._sandbox, self._judge

    def _job(self, task: Task, token: str) -> bytes:
        job = {
            "token": token,
            "start_s": START_LIMIT_S,
            "timeout_s": self._timeout_s,
            "problem": {name: getattr(task, name) for name in Task.__slots__},
        }
        return json.dumps(job).encode("ascii")


def run_once(task: Task, jail: Jail, *, timeout_s: float, memory_mib: int) -> JudgeMessage:
    """One task at a station of its own."""
    station = Station(jail, timeout_s=timeout_s, memory_mib=memory_mib)
    try:
        return station.run(task)
    finally:
        station.close()


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


def _parse(written: bytes, token: str) -> JudgeMessage:
    try:
        report = json.loads(written)
        outcome, detail, seen = report["outcome"], report["detail"], report["token"]
    except (ValueError, KeyError, TypeError):
        return JudgeMessage("error", "the judge ended without a verdict")
    if seen != token or outcome not in ("passed", "failed", "timeout", "error"):
        return JudgeMessage("error", "the judge's verdict does not carry this task's token")
    return JudgeMessage(outcome, detail)
