"""A run that was killed, or asked to stop, goes on to the very end that it would have had."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from json_lines import read_rows
from refute.engines.distill.experiments.train import train
from refute.engines.distill.logs import StepLog
from refute.errors import ExperimentError, StoppedError
from refute.job import Job, Stop
from training_runs import KilledError, asked_for, each_step, kill_at, run, same, summary, untimed, weights

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("stop", [2, 4, 7, 12])
def test_a_killed_run_resumes_bitwise(start: Callable[..., Job], straight: Job, stop: int) -> None:
    """Stopped before, at and after a checkpoint or at the end, a rerun has the straight run's weights and logs."""
    killed = start("killed", report=each_step(kill_at(stop)))
    with pytest.raises(KilledError):
        train(killed)
    train(start("killed"))
    assert same(weights(straight.out), weights(killed.out))
    for log in ("metrics.jsonl", "heldout_windows.jsonl"):
        assert untimed(straight.out / log) == untimed(killed.out / log)
    assert asked_for(straight.out) == asked_for(killed.out)


def test_resuming_does_not_start_again(start: Callable[..., Job]) -> None:
    """The second attempt takes only the steps after the last checkpoint."""
    taken: list[int] = []
    with pytest.raises(KilledError):
        train(start(report=each_step(taken.append, kill_at(6))))
    train(start(report=each_step(taken.append)))
    assert taken == [1, 2, 3, 4, 5, 6, *range(5, 13)]


def test_checkpoint_of_other_settings_is_refused(start: Callable[..., Job]) -> None:
    """A scratch folder that holds another run's state stops this one."""
    train(start())
    with pytest.raises(
        ExperimentError, match=r"another configuration: training\.learning_rate was 0\.01, is 0\.02"
    ) as caught:
        train(start(learning_rate=0.02, checkpoint_every=3))
    assert "what may change is training.checkpoint_every" in caught.value.hint


def test_settings_that_decide_no_number_may_change(start: Callable[..., Job], straight: Job) -> None:
    """More patience, other checkpoints and answers made ahead: the run goes on, to the weights of the straight one; so
    many checkpoints are kept as it then asks for."""
    with pytest.raises(KilledError):
        train(start("killed", report=each_step(kill_at(6))))
    changed = {"checkpoint_every": 2, "keep_checkpoints": 3, "prefetch": 1, "teacher_patience_s": 1200.0}
    again = start("killed", **changed)
    train(again)
    assert same(weights(straight.out), weights(again.out))
    kept = sorted(path.name for path in (again.scratch / "checkpoints").iterdir())
    assert kept == ["step-00000008", "step-00000010", "step-00000012"]


def test_log_is_cut_back_to_its_checkpoint(tmp_path: Path) -> None:
    """Rows after the step, and a line that a kill cut short, are gone; NaN is never written."""
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st', encoding="utf-8")
    log = StepLog(path, keep_until=2)
    log.append({"step": 3, "ce": 1.0})
    with pytest.raises(ValueError, match="JSON compliant"):
        log.append({"step": 4, "ce": float("nan")})
    log.close()
    assert read_rows(path) == [{"step": 1}, {"step": 2}, {"step": 3, "ce": 1.0}]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_after_the_step_with_a_checkpoint(start: Callable[..., Job], straight: Job, number: int) -> None:
    """Asked during step 3's report, the run ends after step 4 saying so, and continues to the straight run's end."""
    stop, taken = Stop(), list[int]()

    def ask(step: int) -> None:
        if step == 3:
            stop.signal = number

    job = start("stopped", checkpoint_every=100, report=each_step(taken.append, ask))
    with pytest.raises(StoppedError, match=r"stopped after step 4 of 12; its checkpoint is in") as caught:
        run(job, stop=stop)
    assert caught.value.signal == number
    assert taken == [1, 2, 3, 4]
    assert [path.name for path in (job.scratch / "checkpoints").iterdir()] == ["step-00000004"]
    again = start("stopped", checkpoint_every=100)
    run(again)
    assert same(weights(straight.out), weights(again.out))


def test_a_stop_in_the_last_step_is_a_finished_run(start: Callable[..., Job]) -> None:
    """Nothing is left to be continued, so the model is written."""
    stop = Stop()

    def ask(step: int) -> None:
        if step == 11:
            stop.signal = signal.SIGTERM

    job = start(report=each_step(ask))
    run(job, stop=stop)
    assert summary(job.out)["steps"] == 12
