"""Falsifiers in a forked child: whatever they do, measurements or a fault come of it, and the parent is untouched."""

from __future__ import annotations

import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refute import Bench, Context, Control, Interval, Measurement, known_bad, known_good
from refute.context import Evidence, Parameter
from refute.errors import EvidenceError
from refute.registry import Falsifier
from refute.trial import Answer, Trial, try_falsifier

Measure = Callable[[Context], Iterable[Any]]
GOOD = Measurement("count", 3.0, "files", n=4, evidence=("e" * 64,))


NOTHING: Any = None


def broken(**changes: Any) -> Measurement:
    """A measurement as a careless author writes it."""
    return replace(GOOD, **changes)


def lay_out(bench: Bench) -> None:
    """One file, so that a control has something to be read."""
    bench.put("corpus", "a.json", {"count": 7})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where children print."""
    return tmp_path / "falsifiers.log"


@pytest.fixture
def evidence(tmp_path: Path) -> dict[str, Evidence]:
    """Real evidence of one file."""
    (tmp_path / "a.json").write_text('{"count": 3}', encoding="utf-8")
    return {"corpus": Evidence("corpus", "d" * 64, tmp_path, {"a.json": "f" * 64})}


def declared(measure: Measure, controls: tuple[Control, ...] = ()) -> Falsifier:
    """A falsifier that measures `count` in files, past the checks of its declaration."""
    return Falsifier("a-count", measure, ("corpus",), {"count": "files"}, {}, controls, "", Path())


def attempt(
    measure: Measure,
    log: Path,
    evidence: dict[str, Evidence] | None = None,
    *,
    timeout_s: float = 20.0,
    controls: tuple[Control, ...] = (),
    parameters: dict[str, Parameter] | None = None,
) -> Trial:
    """One trial of `measure`."""
    return try_falsifier(declared(measure, controls), parameters or {}, evidence or {}, timeout_s=timeout_s, log=log)


def giving(*found: Any) -> Measure:
    """A falsifier that gives `found`."""

    def measure(context: Context) -> Iterator[Any]:
        yield from found

    return measure


def test_measurements_come_back_as_they_were_given(log: Path) -> None:
    """Value, unit, n, interval and evidence survive the way out of the child."""
    found = replace(GOOD, value=1 / 3, interval=Interval(0.1, 0.9, 0.95, "Wilson"))
    assert attempt(giving(found), log) == Trial({}, Answer((found,)))


def test_files_that_were_read_become_the_evidence(log: Path, evidence: dict[str, Evidence]) -> None:
    """A measurement rests on what was read before it, and on nothing when nothing was read."""

    def measure(context: Context) -> Iterator[Measurement]:
        """Reads, then measures."""
        count = context.evidence("corpus").json("a.json")["count"]
        yield Measurement("count", count, "files", n=1)

    assert attempt(measure, log, evidence).real.measurements[0].evidence == ("f" * 64,)
    assert attempt(giving(replace(GOOD, evidence=())), log, evidence).real.measurements[0].evidence == ()
    assert evidence["corpus"]._read == set(), "the parent's evidence takes no note of what a child reads"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3.0), (np.float32(0.5), 0.5), (np.int64(7), 7.0), (np.float64(0.1), 0.1), (Fraction(1, 4), 0.25)],
)
def test_numbers_of_every_kind_are_accepted(log: Path, value: Any, expected: float) -> None:
    """Integers, numpy's scalars and fractions, in the value, n and the interval's ends."""
    level: Any = np.float32(0.5)
    given = broken(value=value, n=np.int64(4), interval=Interval(value, value, level, "exact"))
    (found,) = attempt(giving(given), log).real.measurements
    assert (found.value, found.n, found.interval) == (expected, 4, Interval(expected, expected, 0.5, "exact"))
    assert (type(found.value), type(found.n)) == (float, int)


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (broken(value=float("nan")), "'count' = nan, which is not finite"),
        (broken(value=float("-inf")), "'count' = -inf, which is not finite"),
        (broken(value=np.float32("nan")), "which is not finite"),
        (broken(value=True), "'count' = True, which is not a number"),
        (broken(value=np.True_), "which is not a number"),
        (broken(value="3"), "'count' = '3', which is not a number"),
        (broken(value=None), "'count' = None, which is not a number"),
        (broken(value=3 + 0j), "which is not a number"),
        (broken(value=np.array([1.0, 2.0])), "which is not a number"),
        (broken(value=10**400), "OverflowError"),
        (broken(unit="lines"), "'count' in 'lines', but declares 'files'"),
        (broken(name="total"), "'total', which it does not declare in `measures`"),
        (broken(n=2.5), "raised TypeError"),
        (broken(n=float("nan")), "raised TypeError"),
        (broken(n=None), "raised TypeError"),
        (broken(evidence="abc"), "a measurement that is not one: .*evidence"),
        (broken(evidence=(1, 2)), "a measurement that is not one: .*evidence"),
        (broken(interval=(0.0, 1.0)), "an interval that is a tuple"),
        (broken(interval=Interval(float("nan"), 1.0, 0.95, "x")), "which is not finite"),
        (broken(interval=Interval(0.0, float("inf"), 0.95, "x")), "which is not finite"),
        (broken(interval=Interval(0.0, 1.0, 0.95, NOTHING)), "a measurement that is not one: .*method"),
        (3.0, "must give Measurements, gave float"),
        (("count", 3.0), "must give Measurements, gave tuple"),
        (None, "must give Measurements, gave NoneType"),
    ],
)
def test_what_is_no_measurement_is_a_fault(log: Path, found: Any, fault: str) -> None:
    """Not finite, not a number, another unit, an undeclared name, a broken interval: each says what it was."""
    answer = attempt(giving(found), log).real
    assert answer.measurements == ()
    assert not answer.timed_out
    assert re.search(fault, answer.fault), answer.fault


def test_a_measurement_twice_is_a_fault(log: Path) -> None:
    """Also without end: the second of one name ends it."""

    def measure(context: Context) -> Iterator[Measurement]:
        """Never stops."""
        while True:
            yield GOOD

    assert "gave 'count' twice" in attempt(measure, log).real.fault


@pytest.mark.parametrize("result", [None, (), [], iter(())])
def test_no_measurement_is_no_fault_of_its_own(log: Path, result: Any) -> None:
    """The thresholds say what is missing; nothing is made up here."""
    assert attempt(lambda _: result, log).real == Answer()


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
    assert (answer.measurements, answer.timed_out) == ((), False)


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


@pytest.mark.parametrize("measure", [sleep, ignore_signals])
def test_a_falsifier_that_hangs_is_stopped(log: Path, measure: Measure) -> None:
    """At its limit, as a timeout and nothing else."""
    began = time.monotonic()
    answer = attempt(measure, log, timeout_s=0.3).real
    assert answer == Answer(fault="gave no answer within 0.3 s", timed_out=True)
    assert time.monotonic() - began < 10


def test_writing_without_end_does_not_outlast_the_limit(log: Path) -> None:
    """A pipe that always has something to read is no answer, and no reason to go on reading."""
    began = time.monotonic()
    assert attempt(writing_into_its_pipe(b"x", without_end=True), log, timeout_s=0.3).real.timed_out
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "data", [b"nonsense\n", b"[1]\n", b"null\n", b"{}\n", b'{"measurements": 1}\n', b"[" * 9999 + b"\n"]
)
def test_a_forged_answer_is_a_fault(log: Path, data: bytes) -> None:
    """What came over the pipe and is no answer says so; it neither counts nor raises."""
    answer = attempt(writing_into_its_pipe(data), log).real
    assert "gave a measurement that is not one" in answer.fault
    assert answer.measurements == ()


def is_running(pid: int) -> bool:
    """Whether a process still runs; a zombie that nobody reaps does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


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

    answer = attempt(measure, log, timeout_s=1.5).real
    assert answer.timed_out == hangs
    assert answer.measurements == (() if hangs else (GOOD,))
    pids = list(map(int, (tmp_path / "pids").read_text(encoding="utf-8").split()))
    deadline = time.monotonic() + 10
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

    assert attempt(measure, log).real.measurements[0].value == 0.0


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
        return Path.cwd(), dict(os.environ), random.getstate(), sys.stdout, set(sys.modules), descriptors

    attempt(measure, log, evidence, parameters=parameters)  # imports what it needs
    before = state()
    trial = attempt(measure, log, evidence, parameters=parameters)
    assert trial.real.fault or trial.real.measurements
    assert state() == before
    assert (parameters, dict(evidence["corpus"].files)) == ({"step": 100}, {"a.json": "f" * 64})
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_log_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    """The child ends all the same: it must never come back into the parent's stack and run its tests a second time."""
    before = os.getpid()
    answer = attempt(giving(GOOD), tmp_path / "gone" / "falsifiers.log").real
    assert os.getpid() == before
    assert "exit status 1 before it answered" in answer.fault


def read_count(context: Context) -> Iterator[Measurement]:
    """Measures what the file says."""
    yield Measurement("count", context.evidence("corpus").json("a.json")["count"], "files", n=1)


def test_controls_are_shown_their_own_evidence(log: Path, evidence: dict[str, Evidence]) -> None:
    """Each control on its own bench, then the real evidence; answers are kept by name."""

    def forged(bench: Bench) -> None:
        """From the run's own evidence, with a change."""
        count = bench.real["corpus"].json("a.json")["count"]
        bench.put("corpus", "a.json", {"count": 100 * count + int(bench.parameters["step"])})

    controls = (known_good(lay_out), known_bad(forged))
    trial = attempt(read_count, log, evidence, controls=controls, parameters={"step": 5})
    values = {name: answer.measurements[0].value for name, answer in trial.controls.items()}
    assert values == {"lay out": 7.0, "forged": 305.0}
    assert trial.real.measurements[0].value == 3.0


def test_a_control_that_fails_to_build_is_a_fault_of_that_control(log: Path, evidence: dict[str, Evidence]) -> None:
    """The other controls and the real evidence are tried nevertheless."""

    def broken(bench: Bench) -> None:
        """A bug in the control."""
        raise ZeroDivisionError

    def endless(bench: Bench) -> None:
        """A control that hangs."""
        time.sleep(600)

    controls = (known_good(lay_out), known_bad(broken), known_bad(endless))
    trial = attempt(read_count, log, evidence, controls=controls, timeout_s=1.0)
    assert "raised ZeroDivisionError" in trial.controls["broken"].fault
    assert trial.controls["endless"].timed_out
    assert trial.controls["lay out"].measurements
    assert trial.real.measurements


def test_a_control_that_tampers_with_real_evidence_does_not_reach_the_falsifier(
    log: Path, evidence: dict[str, Evidence]
) -> None:
    """What a control does to its copy of the evidence ends with the control's process."""

    def vandal(bench: Bench) -> None:
        """Takes the real files away."""
        bench.put("corpus", "a.json", {"count": 1})
        bench.real["corpus"].files.clear()  # type: ignore[attr-defined]  # vandalism

    trial = attempt(read_count, log, evidence, controls=(known_bad(vandal),))
    assert trial.controls["vandal"].measurements[0].value == 1.0
    assert trial.real.measurements[0].value == 3.0


def test_benches_are_thrown_away(log: Path, evidence: dict[str, Evidence], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a trial stays in the temporary folder."""
    place = log.parent / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    attempt(read_count, log, evidence, controls=(known_good(lay_out),))
    assert list(place.iterdir()) == []
