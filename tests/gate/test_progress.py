"""What a person sees while experiments run: rewritten lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import time

import pytest

from free_config import free
from refute.errors import ExperimentError
from refute.evidence.experiment import Experiment
from refute.gate.progress import Progress

TRAIN = Experiment("student", "distil the student", None, free())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that Progress sees, in its only element."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_are_complete_and_rare(clock: list[float]) -> None:
    """Off a terminal every line ends, no control character is written, and a stage speaks every ten seconds."""
    out = io.StringIO()
    shown = Progress(out, live=False)
    shown.started(TRAIN, 2, 5)
    for step in range(1, 101):
        clock[0] += 0.5
        shown.progressed("train", step, 100, {"loss": 2.34567, "tokens": 12})
    shown.finished(TRAIN, 50.4)
    shown.close()
    lines = out.getvalue().splitlines()
    assert not {"\r", "\x1b"} & set(out.getvalue())
    assert lines[0] == "[2/5] distil the student …"
    assert lines[1].startswith("  train 1/100  loss 2.346  tokens 12")
    assert 5 <= len([line for line in lines if "train " in line]) <= 7
    assert lines[-2].startswith("  train 100/100")
    assert lines[-1] == "  done in 50 s: distil the student"


def test_a_live_line_is_rewritten_within_the_width(clock: list[float]) -> None:
    """On a terminal one line is rewritten, never wider than the terminal, and cleared before the next line."""
    out = io.StringIO()
    shown = Progress(out, live=True, width=40)
    for step in (1, 2, 3):
        clock[0] += 1.0
        shown.progressed("train", step, 3, {"a long name of a fact": 1.0, "another": 2.0})
    shown.finished(TRAIN, 3.0)
    pieces = out.getvalue().split("\r")
    assert [len(piece) for piece in pieces[1:5]] == [39, 39, 39, 39]
    assert pieces[3].startswith("  ####################")
    assert pieces[4].strip() == ""
    assert pieces[5] == "  done in 3 s: distil the student\n"


def test_time_left_is_the_pace_of_the_stage(clock: list[float]) -> None:
    """Two seconds a step and 45 steps to go: a minute and a half, counted from where the stage was taken up."""
    out = io.StringIO()
    shown = Progress(out, live=True, width=200)
    shown.progressed("train", 50, 100, {})
    clock[0] += 10.0
    shown.progressed("train", 55, 100, {})
    assert out.getvalue().rstrip().endswith("train 55/100  1:30 left")
    assert "left" not in out.getvalue().split("\r")[1]


def test_a_failure_shows_message_and_hint() -> None:
    """What ended an experiment and what to do about it are both on the console."""
    out = io.StringIO()
    Progress(out, live=False).failed(TRAIN, ExperimentError("loss became NaN", hint="look at step 7"))
    assert out.getvalue() == "  FAILED: distil the student: loss became NaN\n  look at step 7\n"


def test_close_leaves_the_last_live_line_behind(clock: list[float]) -> None:
    """Whoever writes next starts on a fresh line, and closing twice adds nothing."""
    out = io.StringIO()
    shown = Progress(out, live=True)
    shown.progressed("train", 1, 2, {})
    shown.close()
    shown.close()
    assert out.getvalue().count("\n") == 1


def test_waiting_and_reuse_are_told() -> None:
    """Evidence that another run is making, or that is there already, is said in a line each."""
    out = io.StringIO()
    shown = Progress(out, live=False)
    shown.waiting(TRAIN)
    shown.reused(TRAIN)
    assert out.getvalue().splitlines() == [
        "waiting for another run that is busy with: distil the student",
        "cached: distil the student",
    ]
