"""The judge process, the trusted side: runs the problem's own `check` against a proxy, and says what came of it.

A fork of the template that `preload` starts under a bare interpreter, so that a check can be killed at its deadline.
It takes jobs of one problem, one after the other: a test meets traces of nothing but itself, and programs leave none,
since all that arrives from them is data. For each job (JSON) it writes `STARTED` once the program's time runs, then one
report (JSON) that repeats the job's token: no token, no pass. At the deadline the report is `timeout`, whatever the
test is doing, and the process ends there.
"""

from __future__ import annotations

import builtins
import json
import os
import random
import resource
import signal
import socket
import sys
from functools import cache
from types import CodeType
from typing import Any

from refute.engines.humaneval.sandbox.template import serve
from refute.engines.humaneval.sandbox.wire import Channel, WireError, pack, take_over

_MEMORY_BYTES = 2 * 1024**3
_TEXT_LIMIT = 500
STARTED = b"+"

# Raised through iteration these would end a loop in the test early and quietly, as if all was well.
_CONTROL_FLOW = (StopIteration, StopAsyncIteration)


class CandidateError(Exception):
    """The program raised something that has no ordinary builtin class."""


class NoAnswer(BaseException):
    """The program ended, or sent something that is not an answer."""


class UnfitProblem(BaseException):
    """The sandbox or the problem itself is at fault, not the program."""


class Reporter:
    """Writes what came of a job, once; at the deadline too, which the kernel's timer keeps, and then the process ends.

    A deadline that were raised in the running code could be swallowed by it, or arrive while it unwinds.
    """

    def __init__(self, descriptor: int, token: str) -> None:
        self._descriptor, self._token = descriptor, token
        self._said = False

    def start(self, seconds: float, outcome: str, detail: str) -> None:
        """From now on: report this `seconds` later and end, unless something else was reported before."""

        def late(_number: int, _frame: object) -> None:
            if not self._said:
                self.report(outcome, detail)
                os._exit(0)

        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def mark(self) -> None:
        """Say that the program's own time begins."""
        os.write(self._descriptor, STARTED)

    def report(self, outcome: str, detail: str) -> None:
        """Write the report."""
        self._said = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        text = json.dumps({"token": self._token, "outcome": outcome, "detail": detail})
        os.write(self._descriptor, text.encode("ascii"))


class Candidate:
    """Stands in for the program's function: each call is one question and one answer over the channel."""

    def __init__(self, channel: Channel, name: str, *, in_place: bool) -> None:
        self.__name__ = name
        self._in_place = in_place
        self.called = False
        # What a program's exception may come back as, beside the builtin classes: those of the problem's own prompt.
        self.own_exceptions: dict[str, type[Exception]] = {}
        self._channel = channel
        self._replies = 0
        self._fault = ""

    def __call__(self, *args: object, **kwargs: object) -> object:
        """The program's answer in builtin types, or its exception as a class of the prompt, or a builtin one."""
        try:
            question = pack((args, kwargs))
        except WireError as error:
            raise UnfitProblem(f"the test passes something that cannot be sent: {error}") from error
        self.called = True
        reply = self.ask(question)
        if len(reply) == 2 + self._in_place and reply[0] == "answer":
            self._replies += 1
            take_over([*args, *kwargs.values()], reply[2] if self._in_place else ())
            return reply[1]
        if len(reply) == 3 and reply[0] == "raised":
            self._replies += 1
            raise _rebuild(reply[1], reply[2], self.own_exceptions)
        self._fault = "the program sent a message that is not an answer"
        raise NoAnswer(self._fault)

    def ask(self, question: bytes) -> tuple[object, ...]:
        """Send a frame, return the tuple that comes back. Raises NoAnswer, for good, if none does."""
        if not self._fault:
            try:
                self._channel.write(question)
                return self.listen()
            except WireError as error:
                self._fault = f"the program gave no answer: {error}"
        raise NoAnswer(self._fault)

    def listen(self) -> tuple[object, ...]:
        """The next message. Raises WireError if it is not a tuple."""
        reply = self._channel.receive()
        if not isinstance(reply, tuple):
            raise WireError("a message that is not a tuple")
        return reply

    def verify(self) -> None:
        """Raise unless at least one answer came and none stayed out, whatever the test swallowed."""
        if self._fault:
            raise NoAnswer(self._fault)
        if not self._replies:
            raise UnfitProblem("the test ended without calling the function")


def _rebuild(names: object, text: object, own: dict[str, type[Exception]]) -> Exception:
    shown = _plain(text)
    for name in names if isinstance(names, list) else ():
        kind = own.get(name) or getattr(builtins, name, None) if isinstance(name, str) else None
        if not (isinstance(kind, type) and issubclass(kind, Exception)) or issubclass(kind, _CONTROL_FLOW):
            continue
        try:
            return kind(shown)
        except TypeError:
            continue
    return CandidateError(f"{names[0] if isinstance(names, list) and names else 'exception'}: {shown}")


def _plain(text: object) -> str:
    shown = str(text)[:_TEXT_LIMIT]
    return "".join(letter if letter.isprintable() else " " for letter in shown)


def _await_ready(candidate: Candidate) -> None:
    try:
        reply = candidate.listen()
    except WireError as error:
        raise UnfitProblem(f"the sandbox did not start: {error}") from error
    if reply != ("ready",):
        raise UnfitProblem(f"the sandbox could not confine itself: {_plain(reply[1:])}")


def _check(job: dict[str, Any], candidate: Candidate) -> None:
    namespace: dict[str, object] = {"__name__": "problem"}
    random.seed(job["seed"])
    try:
        exec(_compiled(job["prompt"], "<prompt>"), namespace)  # noqa: S102 - the problem is trusted
        test = _compiled(job["test"], "<test>")
    except Exception as error:
        raise UnfitProblem(f"the problem's own code fails: {_named(error)}") from error
    candidate.own_exceptions = {
        name: kind for name, kind in namespace.items() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    _load(job, candidate)
    namespace[job["entry_point"]] = candidate
    try:
        _put(test, namespace, candidate)
    except Exception as error:
        if candidate.called:
            raise
        # Whatever the program is, its function was not asked: nothing here speaks about it.
        raise UnfitProblem(f"the test fails before it calls the function: {_explain(error, job['test'])}") from error
    candidate.verify()


def _load(job: dict[str, Any], candidate: Candidate) -> None:
    """Have the program executed, up to the definition of its function. Raises NoAnswer where it raises."""
    reply = candidate.ask(_question(job))
    if len(reply) == 3 and reply[0] == "raised":
        raise NoAnswer(_named(_rebuild(reply[1], reply[2], candidate.own_exceptions)))


def _put(test: CodeType, namespace: dict[str, object], candidate: Candidate) -> None:
    exec(test, namespace)  # noqa: S102 - the problem is trusted
    check = namespace.get("check")
    if not callable(check):
        raise UnfitProblem("the test defines no function `check`")
    check(candidate)


@cache
def _compiled(source: str, name: str) -> CodeType:
    return compile(source, name, "exec", dont_inherit=True)


def _question(job: dict[str, Any]) -> bytes:
    try:
        return pack((job["program"], job["entry_point"], job["seed"], job["in_place"]))
    except WireError as error:
        raise NoAnswer(f"the program cannot be sent: {error}") from error


def _attempt(job: dict[str, Any], candidate: Candidate) -> tuple[str, str]:
    try:
        _check(job, candidate)
    except NoAnswer as error:
        return "failed", str(error)
    except UnfitProblem as error:
        return "error", str(error)
    except Exception as error:  # noqa: BLE001 - a failed assertion, or what the program raised
        return "failed", _explain(error, job["test"])
    return "passed", ""


def _judge(job: dict[str, Any], start_s: float, timeout_s: float, descriptor: int, reporter: Reporter) -> None:
    candidate = Candidate(Channel(descriptor), job["entry_point"], in_place=job["in_place"])
    reporter.start(start_s, "error", f"the sandbox did not start within {start_s:g} s")
    try:
        _await_ready(candidate)
    except UnfitProblem as error:
        reporter.report("error", str(error))
        return
    reporter.start(timeout_s, "timeout", f"no verdict within {timeout_s:g} s")
    reporter.mark()
    reporter.report(*_attempt(job, candidate))


def _explain(error: Exception, test: str) -> str:
    shown = _named(error)
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<test>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{shown} at: {_plain(test.splitlines()[line - 1].strip())}" if line else shown


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {_plain(error)}".rstrip(": ")


def main() -> None:
    """Be the template that `sys.argv[1]` describes: each fork judges jobs of one problem."""
    settings = json.loads(sys.argv[1])
    if sys.platform.startswith("linux"):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    serve(settings["control"], _work, ())


def _work(descriptors: list[int]) -> None:
    """Judge what arrives on the socket: a byte with three descriptors, the channel, the job, and where to report."""
    with socket.socket(fileno=descriptors[0]) as jobs:
        while True:
            word, handed, _, _ = socket.recv_fds(jobs, 1, 3)
            if not word:
                return
            channel, request, report = handed
            with os.fdopen(request, "rb") as stream:
                job = json.loads(stream.read())
            _judge(job["problem"], job["start_s"], job["timeout_s"], channel, Reporter(report, job["token"]))
            os.close(channel)
            os.close(report)
