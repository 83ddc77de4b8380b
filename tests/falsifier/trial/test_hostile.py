"""Falsifiers that break, hang, forge and vandalise: a fault with a name comes of it, and the parent is untouched."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from processes import is_running
from refute import Bench, Context, known_good
from refute.errors import EvidenceError
from refute.falsifier.context import Evidence, Parameter
from refute.falsifier.trial import FaultKind, TrialResult
from trials import GOOD, NOTHING, Measure, attempt, giving


def raise_value_error(context: Context) -> Iterable[Any]:
    """A bug."""
    raise ValueError("boom")


def raise_half_way(context: Context) -> Iterator[Any]:
    """A bug after the first number."""
    yield GOOD
    raise KeyError("later")


def raise_known(context: Context) -> Iterable[Any]:
    """One of ours, with a hint."""
    raise EvidenceError("no such file", hint="look there")


def exit_zero(context: Context) -> Iterable[Any]:
    """What a test runner might take for success."""
    sys.exit(0)


def skip(context: Context) -> Iterable[Any]:
    """A falsifier does not skip."""
    pytest.skip("not today")


def interrupt(context: Context) -> Iterable[Any]:
    """Looks like Ctrl-C."""
    raise KeyboardInterrupt


def leave(context: Context) -> Iterable[Any]:
    """Gone without a word, successfully."""
    os._exit(0)


def leave_after_the_fact(context: Context) -> Iterator[Any]:
    """Gone in the middle of giving."""
    yield GOOD
    os._exit(0)


def kill_itself(context: Context) -> Iterable[Any]:
    """As the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ()


def close_everything(context: Context) -> Iterable[Any]:
    """Closes the pipe that its answer would take."""
    os.closerange(3, 256)
    return [GOOD]


def writing_into_its_pipe(data: bytes, *, without_end: bool = False) -> Measure:
    """A falsifier that finds the pipe of its answer, which was not open before, and writes into it first."""
    before = {int(each.name) for each in Path("/proc/self/fd").iterdir()}

    def measure(context: Context) -> Iterable[Any]:
        """Forges."""
        for number in {int(each.name) for each in Path("/proc/self/fd").iterdir()} - before:
            while os.fstat(number).st_mode & stat.S_IFIFO and os.write(number, data) and without_end:
                pass
        return [GOOD]

    return measure


def recurse(context: Context) -> Iterable[Any]:
    """Never comes back."""
    return recurse(context)


class UnprintableError(Exception):
    """Even its message fails."""

    def __str__(self) -> str:
        raise RuntimeError


def raise_unprintable(context: Context) -> Iterable[Any]:
    """An error that cannot be told."""
    raise UnprintableError


@pytest.mark.parametrize(
    ("measure", "fault"),
    [
        (raise_value_error, "raised ValueError: boom"),
        (raise_half_way, "raised KeyError: 'later'"),
        (raise_known, "no such file (look there)"),
        (exit_zero, "raised SystemExit: 0"),
        (skip, "raised Skipped: not today"),
        (interrupt, "raised KeyboardInterrupt"),
        (leave, "ended with exit status 0 before it answered"),
        (leave_after_the_fact, "ended with exit status 0 before it answered"),
        (kill_itself, "ended with signal 9 before it answered"),
        (close_everything, "before it answered"),
        (recurse, "raised RecursionError"),
        (raise_unprintable, "ended with exit status 1 before it answered"),
    ],
)
def test_each_way_to_break_is_a_fault(log: Path, measure: Measure, fault: str) -> None:
    """No exception, exit or signal of a falsifier reaches the run, and half an answer is none."""
    answer = attempt(measure, log).real
    assert fault in answer.fault
    assert (answer.measurements, answer.kind) == ((), FaultKind.FAILED)


def sleep(context: Context) -> Iterable[Any]:
    """Hangs."""
    time.sleep(600)
    return ()


def ignore_signals(context: Context) -> Iterable[Any]:
    """Hangs, and does not want to go."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(600)


@pytest.mark.slow
@pytest.mark.parametrize("measure", [sleep, ignore_signals])
def test_a_falsifier_that_hangs_is_stopped(log: Path, measure: Measure) -> None:
    """At its limit, as a timeout and nothing else."""
    began = time.monotonic()
    answer = attempt(measure, log, timeout_s=3.0).real
    fault = "gave no answer within 3 s; see falsifiers.log for where it was by then"
    assert answer == TrialResult(fault=fault, kind=FaultKind.TIMED_OUT)
    assert time.monotonic() - began < 300  # it would have slept for 600
    assert f"in {measure.__name__}" in log.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_control_that_hangs_costs_its_neighbour_nothing(log: Path) -> None:
    """The one beside it answered long before; the one after it answers, too."""

    def measure(context: Context) -> Iterable[Any]:
        if context.evidence("corpus").json("a.json")["count"] == 0:
            time.sleep(600)
        yield GOOD

    def laid_out(count: int) -> Callable[[Bench], None]:
        return lambda bench: bench.put("corpus", "a.json", {"count": count})

    controls = tuple(
        known_good(laid_out(count), name=name) for name, count in (("hangs", 0), ("beside", 1), ("after", 2))
    )
    answers = attempt(measure, log, timeout_s=4.0, controls=controls).controls
    assert [(name, answer.kind is FaultKind.TIMED_OUT) for name, answer in answers.items()] == [
        ("hangs", True),
        ("beside", False),
        ("after", False),
    ]


def test_writing_without_end_does_not_outlast_the_limit(log: Path) -> None:
    """A pipe that always has something to read is no answer, and no reason to go on reading."""
    began = time.monotonic()
    assert attempt(writing_into_its_pipe(b"x", without_end=True), log, timeout_s=0.3).real.kind is FaultKind.TIMED_OUT
    assert time.monotonic() - began < 300


@pytest.mark.parametrize(
    "data", [b"nonsense\n", b"[1]\n", b"null\n", b"{}\n", b'{"measurements": 1}\n', b"[" * 9999 + b"\n"]
)
def test_a_forged_answer_is_a_fault(log: Path, data: bytes) -> None:
    """What came over the pipe and is no answer says so; it neither counts nor raises."""
    answer = attempt(writing_into_its_pipe(data), log).real
    assert "gave a measurement that is not one" in answer.fault
    assert answer.measurements == ()


@pytest.mark.slow
@pytest.mark.parametrize("hangs", [False, True])
def test_processes_left_behind_end_with_the_falsifier(log: Path, tmp_path: Path, hangs: bool) -> None:
    """A forked child that holds the pipe neither delays the answer nor outlives it; nor does a program."""

    def measure(context: Context) -> Iterable[Any]:
        """Starts two others."""
        program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        forked = os.fork()
        if forked == 0:
            time.sleep(600)
        (tmp_path / "pids").write_text(f"{program.pid} {forked}", encoding="utf-8")
        if hangs:
            time.sleep(600)
        return [GOOD]

    answer = attempt(measure, log, timeout_s=4.0 if hangs else 60.0).real
    assert (answer.kind is FaultKind.TIMED_OUT) == hangs
    assert answer.measurements == (() if hangs else (GOOD,))
    pids = list(map(int, (tmp_path / "pids").read_text(encoding="utf-8").split()))
    deadline = time.monotonic() + 60
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline


def test_output_goes_to_the_log_and_nowhere_else(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Prints, warnings on stderr, raw writes and programs, in order, and also where sys.stdout is not descriptor 1."""

    def measure(context: Context) -> Iterable[Any]:
        """Talks."""
        print("one")  # noqa: T201  # what authors do
        print("two \udcff", file=sys.stderr)  # noqa: T201  # what authors do
        os.write(1, b"three\n")
        subprocess.run(["echo", "four"], check=True)  # noqa: S607  # whichever echo there is
        sys.stdout.write("five, without an end of line")
        return [GOOD]

    assert attempt(measure, log).real.measurements == (GOOD,)
    assert attempt(raise_value_error, log).real.fault
    text = log.read_text(encoding="utf-8")
    assert text.startswith("one\ntwo \\udcff\nthree\nfour\nfive, without an end of line")
    assert "ValueError: boom" in text
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_huge_output_neither_blocks_nor_reaches_the_answer(log: Path) -> None:
    """Thirty megabytes printed and a long answer: both arrive where they belong."""

    def measure(context: Context) -> Iterable[Any]:
        """Talks a lot."""
        for _ in range(30):
            print("x" * 1_000_000)  # noqa: T201  # what authors do
        return [replace(GOOD, evidence=tuple(f"{n:064d}" for n in range(20_000)))]

    answer = attempt(measure, log).real
    assert len(answer.measurements[0].evidence) == 20_000
    assert log.stat().st_size == 30 * 1_000_001


def test_a_falsifier_reads_no_input(log: Path) -> None:
    """It cannot wait for a person, whatever the terminal of the run is."""

    def measure(context: Context) -> Iterable[Any]:
        """Asks."""
        return [replace(GOOD, value=len(os.read(0, 10)) + len(sys.stdin.read()))]

    typed, typing = os.pipe()
    os.write(typing, b"yes\n")
    kept = os.dup(0)
    os.dup2(typed, 0)
    try:
        assert attempt(measure, log).real.measurements[0].value == 0.0
    finally:
        os.dup2(kept, 0)
        for number in (typed, typing, kept):
            os.close(number)


def test_the_parent_is_untouched(log: Path, tmp_path: Path, evidence: dict[str, Evidence]) -> None:
    """Working folder, environment, modules, random state, parameters, evidence and descriptors stay what they were."""
    parameters: dict[str, Parameter] = {"step": 100}

    def measure(context: Context) -> Iterable[Any]:
        """A vandal."""
        os.chdir("/")
        os.environ["VANDAL"] = "1"
        sys.modules["json"] = NOTHING
        sys.stdout = NOTHING
        random.seed(1)
        context.parameters["step"] = 0  # type: ignore[index]  # vandalism
        context._evidence["corpus"].files.clear()  # type: ignore[attr-defined]  # vandalism
        return [GOOD]

    def state() -> tuple[object, ...]:
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        # Those of this process that other tests keep are there before and after.
        children = sorted(path.read_text(encoding="utf-8") for path in Path("/proc/self/task").glob("*/children"))
        return Path.cwd(), dict(os.environ), random.getstate(), sys.stdout, set(sys.modules), descriptors, children

    attempt(measure, log, evidence, parameters=parameters)  # imports what it needs
    before = state()
    trial = attempt(measure, log, evidence, parameters=parameters)
    assert trial.real.fault or trial.real.measurements
    assert state() == before
    assert (parameters, dict(evidence["corpus"].files)) == ({"step": 100}, {"a.json": "f" * 64})


def test_a_log_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    """The child ends all the same: it must never come back into the parent's stack and run its tests a second time."""
    came_back = tmp_path / "came back"
    try:
        answer = attempt(giving(GOOD), tmp_path / "gone" / "falsifiers.log").real
    finally:
        with came_back.open("a", encoding="utf-8") as stream:
            stream.write(f"{os.getpid()}\n")
    assert "exit status 1 before it answered" in answer.fault
    assert came_back.read_text(encoding="utf-8") == f"{os.getpid()}\n"
