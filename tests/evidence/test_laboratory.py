"""Experiments in processes of their own: each way to end has its error, and evidence appears whole or not at all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from free_config import free
from processes import is_running
from refute.errors import EvidenceError, ExperimentError, ExperimentTimeoutError, NonFiniteError, RefuteError
from refute.evidence.experiment import Experiment, FromEvidence
from refute.evidence.laboratory import Laboratory
from refute.evidence.process.environment import EXTRA_PATH
from refute.evidence.store import Store
from refute.job import Fact

# How long the tiny engine's children sleep: whoever waits for one is told apart from a machine that is busy.
HANGS_S = 600
ENGINE = Path(__file__).parents[1] / "assets" / "tiny_engine.py"


@dataclass(slots=True)
class Watch:
    """Remembers what it is told; may stop the run as Ctrl-C does, or be slower than what it watches."""

    said: list[str] = field(default_factory=list)
    facts: list[Mapping[str, Fact]] = field(default_factory=list)
    interrupt: bool = False
    busy: bool = False

    def started(self, experiment: Experiment, step: int, total: int) -> None:
        self.said.append(f"started {experiment.name} {step}/{total}")

    def waiting(self, experiment: Experiment) -> None:
        self.said.append(f"waiting {experiment.name}")

    def progressed(self, stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        self.facts.append(facts)
        if self.busy:
            sum(range(20_000))
        if self.interrupt and stage == "hanging":
            raise KeyboardInterrupt

    def finished(self, experiment: Experiment, seconds: float) -> None:
        self.said.append(f"finished {experiment.name}")

    def reused(self, experiment: Experiment) -> None:
        self.said.append(f"reused {experiment.name}")

    def failed(self, experiment: Experiment, error: RefuteError) -> None:
        self.said.append(f"failed {experiment.name}")


@dataclass(slots=True)
class Bench:
    """A folder with a store, the tiny engine on the path of experiments, and a count of calls."""

    root: Path
    watch: Watch = field(default_factory=Watch)

    def experiment(
        self, function: str, name: str = "it", needs: tuple[str, ...] = (), limit_s: float = 60
    ) -> Experiment:
        return Experiment(name, name, f"tiny_engine:{function}", free(calls=str(self.root / "calls")), needs, limit_s)

    def laboratory(self, *experiments: Experiment) -> Laboratory:
        plan = {experiment.name: experiment for experiment in experiments}
        return Laboratory(plan, Store(self.root / "store"), self.watch, tuple(plan))

    @property
    def calls(self) -> int:
        path = self.root / "calls"
        return len(path.read_text(encoding="utf-8")) if path.exists() else 0

    def scratch(self) -> Path:
        """The scratch folder of the one unfinished experiment."""
        (work,) = (self.root / "store" / "work").iterdir()
        return work / "scratch"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Ready to run the functions of tests/assets/tiny_engine.py."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "tiny_engine.py").write_bytes(ENGINE.read_bytes())
    monkeypatch.setenv(EXTRA_PATH, str(tmp_path / "lib"))
    return Bench(tmp_path)


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether `condition` comes true within a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.slow
def test_an_experiment_becomes_evidence(bench: Bench) -> None:
    """Its files are filed, its inputs were those of its needs, progress arrived, and its scratch is gone."""
    experiment = bench.experiment("work", "second", ("first",))
    laboratory = bench.laboratory(bench.experiment("work", "first"), experiment)
    evidence = laboratory.obtain("second")
    assert evidence.json("deep/result.json") == {
        "config": {"calls": str(bench.root / "calls")},
        "inputs": {"first": ["deep"]},
    }
    assert bench.watch.said == ["started first 1/2", "finished first", "started second 2/2", "finished second"]
    assert {"loss": 0.5, "note": "half"} in bench.watch.facts
    assert sorted(laboratory.evidence()) == ["first", "second"]
    assert not list((bench.root / "store" / "work").iterdir())


@pytest.mark.slow
def test_evidence_is_made_once(bench: Bench) -> None:
    """Not again in this run, nor in another over the same store; another configuration is another experiment."""
    first = bench.laboratory(bench.experiment("work"))
    assert first.obtain("it") is first.obtain("it")
    assert bench.laboratory(bench.experiment("work")).obtain("it") == first.obtain("it")
    assert (bench.calls, bench.watch.said[-1]) == (1, "reused it")
    bench.laboratory(bench.experiment("slowly")).obtain("it")
    assert bench.calls == 2


@pytest.mark.slow
def test_an_experiment_is_alone_with_its_job(bench: Bench) -> None:
    """No input to wait for, no hub, no random hash seed, an empty output folder; what it prints goes to its log."""
    seen = bench.laboratory(bench.experiment("look_around")).obtain("it").json("seen.json")
    assert seen == {"stdin": "", "env": ["1", "0"], "out": []}


@pytest.mark.parametrize(
    ("function", "kind", "message", "hint"),
    [
        ("raise_value_error", ExperimentError, r"'it' failed: ValueError: boom", r"its log is .*log\.txt"),
        ("raise_known", ExperimentError, "'it' failed: the corpus is empty", "name another folder"),
        ("raise_missing", ExperimentError, "'it' failed: no tokenizer", "its log is"),
        ("raise_nan", NonFiniteError, "'it' failed: loss is nan at step 7", r"look at batch\.json"),
        ("be_killed", ExperimentError, r"(?s)signal 9 \(often: out of memory\).*line 38\n.*line 49", "log.txt"),
        ("leave_quietly", ExperimentError, "exit status 0 before it was done", "last checkpoint"),
        ("exit_zero", ExperimentError, "exit status 0 before it was done", "last checkpoint"),
        ("exit_three_after_done", ExperimentError, "exit status 3 before it was done", "last checkpoint"),
        ("write_among_events", ExperimentError, "'it' wrote .* among its events, expected one JSON", "descriptor"),
        ("write_nothing", EvidenceError, "wrote no files: nothing is not evidence", "^$"),
        ("no_such_function", ExperimentError, "AttributeError", "its log is"),
    ],
)
def test_each_way_to_fail_has_its_error(
    bench: Bench, function: str, kind: type[RefuteError], message: str, hint: str
) -> None:
    """Kind, cause, the end of the log and what to do; half-written files are no evidence; the watcher knows."""
    laboratory = bench.laboratory(bench.experiment(function))
    with pytest.raises(kind, match=message) as caught:
        laboratory.obtain("it")
    assert type(caught.value) is kind
    assert "line 37\n" not in str(caught.value)
    assert re.search(hint, caught.value.hint)
    assert bench.watch.said[-1] == "failed it"
    assert not list((bench.root / "store" / "keys").iterdir())
    assert laboratory.evidence() == {}


@pytest.mark.slow
def test_the_log_keeps_the_traceback(bench: Bench) -> None:
    """What an engine printed before it failed, and where it failed, can be read afterwards."""
    with pytest.raises(ExperimentError, match="boom"):
        bench.laboratory(bench.experiment("raise_value_error")).obtain("it")
    log = (bench.scratch().parent / "log.txt").read_text(encoding="utf-8")
    assert log.startswith("working on it\n")
    assert 'tiny_engine.py", line' in log


def test_a_failed_experiment_is_tried_once_a_run(bench: Bench) -> None:
    """Ten falsifiers that need it get the same error; the next run tries again."""
    laboratory = bench.laboratory(bench.experiment("raise_value_error"))
    errors = set()
    for _ in range(3):
        with pytest.raises(ExperimentError, match="boom") as caught:
            laboratory.obtain("it")
        errors.add(caught.value)
    assert (len(errors), bench.calls) == (1, 1)
    with pytest.raises(ExperimentError, match="boom"):
        bench.laboratory(bench.experiment("raise_value_error")).obtain("it")
    assert bench.calls == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "kind", "cause"),
    [
        ("raise_nan", NonFiniteError, "loss is nan"),
        ("hang_with_a_child", ExperimentTimeoutError, "stopped at its limit"),
        ("write_nothing", ExperimentError, "wrote no files"),
    ],
)
def test_a_need_that_failed_fails_what_needs_it(
    bench: Bench, function: str, kind: type[RefuteError], cause: str
) -> None:
    """Through two levels: the kind is kept, the chain is told, nothing that builds on it is started."""
    chain = [
        # Of the others none may meet its limit, however busy the machine is.
        bench.experiment(function, "bottom", limit_s=0.7 if kind is ExperimentTimeoutError else 120.0),
        bench.experiment("work", "middle", ("bottom",)),
        bench.experiment("work", "top", ("middle",)),
    ]
    with pytest.raises(kind, match=f"'top' needs 'middle'.*'middle' needs 'bottom', which failed.*{cause}"):
        bench.laboratory(*chain).obtain("top")
    assert bench.calls == 0
    assert bench.watch.said == ["started bottom 1/3", "failed bottom"]


@pytest.mark.slow
def test_at_its_limit_an_experiment_and_its_children_end(bench: Bench) -> None:
    """The whole process group is gone when the error is raised; what it had in scratch is kept."""
    laboratory = bench.laboratory(bench.experiment("work", "first"), bench.experiment("hang_with_a_child", limit_s=3))
    laboratory.obtain("first")  # the process that experiments are forked from has started: that may take any time
    began = time.monotonic()
    with pytest.raises(ExperimentTimeoutError, match=r"'it' was stopped at its limit of 3 s") as caught:
        laboratory.obtain("it")
    assert time.monotonic() - began < HANGS_S / 2
    assert "last checkpoint" in caught.value.hint
    pids = list(map(int, (bench.scratch() / "pids").read_text(encoding="utf-8").split()))
    assert len(pids) == 2
    assert wait_until(lambda: not any(map(is_running, pids)))


@pytest.mark.slow
def test_progress_without_end_does_not_outlast_the_limit(bench: Bench) -> None:
    """An experiment that always has something to say, and more than is listened to, is stopped like a silent one."""
    bench.watch.busy = True
    began = time.monotonic()
    with pytest.raises(ExperimentTimeoutError, match="stopped at its limit"):
        bench.laboratory(bench.experiment("chatter", limit_s=1)).obtain("it")
    assert time.monotonic() - began < HANGS_S / 2


@pytest.mark.slow
def test_a_child_left_behind_does_not_hold_up_the_end(bench: Bench) -> None:
    """A forked child keeps the pipe open: done is done, and the child does not outlive its experiment."""
    evidence = bench.laboratory(bench.experiment("leave_a_child_with_the_pipe", limit_s=30)).obtain("it")
    pid = int(evidence.path("pid").read_text(encoding="utf-8"))
    assert wait_until(lambda: not is_running(pid))


def test_ctrl_c_ends_the_experiment_and_is_not_an_outcome(bench: Bench) -> None:
    """KeyboardInterrupt passes through, and what ran is gone."""
    bench.watch.interrupt = True
    laboratory = bench.laboratory(bench.experiment("hang_with_a_child"))
    with pytest.raises(KeyboardInterrupt):
        laboratory.obtain("it")
    pids = list(map(int, (bench.scratch() / "pids").read_text(encoding="utf-8").split()))
    assert wait_until(lambda: not any(map(is_running, pids)))
    assert laboratory.evidence() == {}


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_evidence(bench: Bench) -> None:
    """A second run finds the checkpoint in scratch, none of the half-written output, and files the same bytes."""
    with pytest.raises(ExperimentError, match="signal 9"):
        bench.laboratory(bench.experiment("resume")).obtain("it")
    resumed = bench.laboratory(bench.experiment("resume")).obtain("it")
    straight = bench.laboratory(bench.experiment("straight")).obtain("it")
    assert resumed.path("result").read_bytes() == bytes(range(10))
    assert (resumed.digest, dict(resumed.files)) == (straight.digest, dict(straight.files))
    assert list(resumed.files) == ["result"]
    assert bench.calls == 3


RUN = """
import sys
from pathlib import Path
from refute.evidence.store import Store
from refute.evidence.experiment import Experiment
from refute.evidence.laboratory import Laboratory
from refute.spec.fields import Closed

class Watch:
    def __getattr__(self, name):
        return lambda *_: print(name, flush=True)

root, function = Path(sys.argv[1]), sys.argv[2]

class Calls(Closed):
    calls: str

config = Calls(calls=str(root / "calls"))
plan = {"it": Experiment("it", "it", f"tiny_engine:{function}", lambda _at: config, (), 60)}
Laboratory(plan, Store(root / "store"), Watch()).obtain("it")
"""


def start(bench: Bench, function: str) -> subprocess.Popen[str]:
    """Another run over the same store."""
    command = [sys.executable, "-c", RUN, str(bench.root), function]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_runs_at_once_do_the_work_once(bench: Bench) -> None:
    """One works, the other waits and says so, and both have the evidence."""
    runs = [start(bench, "slowly") for _ in range(2)]
    said = sorted(run.communicate(timeout=30)[0].split() for run in runs)
    assert [run.returncode for run in runs] == [0, 0]
    assert bench.calls == 1
    assert said[0][0] == "started"
    assert said[1] in (["waiting", "reused"], ["reused"])


@pytest.mark.slow
def test_a_killed_run_takes_its_experiment_along(bench: Bench) -> None:
    """Its lock is free then, and the next run must not share scratch with a survivor of the last."""
    run = start(bench, "hang_with_a_child")
    with run:
        assert wait_until(lambda: any((bench.root / "store" / "work").glob("*/scratch/pids")))
        pids = bench.scratch() / "pids"
        assert wait_until(lambda: len(pids.read_text(encoding="utf-8").split()) == 2)
        worker, child = map(int, pids.read_text(encoding="utf-8").split())
        run.kill()
    assert wait_until(lambda: not is_running(worker))
    os.kill(child, signal.SIGKILL)


@pytest.mark.slow
def test_a_file_of_the_working_folder_replaces_no_module(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository may hold a `random.py`: engines still get the standard library's."""
    (bench.root / "random.py").write_text("raise SystemExit('shadowed')", encoding="utf-8")
    monkeypatch.chdir(bench.root)
    evidence = bench.laboratory(bench.experiment("find_random")).obtain("it")
    assert not evidence.path("file").read_text(encoding="utf-8").startswith(str(bench.root))


@pytest.mark.slow
def test_experiments_share_imports_and_nothing_else(bench: Bench) -> None:
    """Forks of one process: what one leaves in a module is not there for the next."""
    laboratory = bench.laboratory(bench.experiment("whereabouts", "first"), bench.experiment("whereabouts", "second"))
    first, second = (laboratory.obtain(name).json("facts.json") for name in ("first", "second"))
    assert first["parent"] == second["parent"] != os.getpid()
    assert first["pid"] != second["pid"]
    assert (first["seen"], second["seen"]) == (["first"], ["second"])


@pytest.mark.slow
def test_a_lost_parent_of_experiments_is_replaced(bench: Bench) -> None:
    """The kernel may choose it when memory is short: the next experiment starts another."""
    laboratory = bench.laboratory(bench.experiment("whereabouts", "first"), bench.experiment("whereabouts", "second"))
    parent = laboratory.obtain("first").json("facts.json")["parent"]
    os.kill(parent, signal.SIGKILL)
    assert wait_until(lambda: not is_running(parent))
    assert laboratory.obtain("second").json("facts.json")["parent"] != parent


def test_evidence_that_nothing_produces_is_named(bench: Bench) -> None:
    """The message lists what the release provides, the hint how to add it."""
    with pytest.raises(EvidenceError, match="provides no evidence 'logits'; it provides: it") as caught:
        bench.laboratory(bench.experiment("work")).obtain("logits")
    assert "`evidence: {logits: …}`" in caught.value.hint


@pytest.mark.parametrize("folder", ["work", "keys", "objects", "locks"])
def test_a_store_that_fails_is_an_evidence_error(bench: Bench, folder: str) -> None:
    """A full or read-only disk in the middle of a run: an error with a hint, for this evidence and no crash."""
    laboratory = bench.laboratory(bench.experiment("work"))
    (bench.root / "store" / folder).rmdir()
    (bench.root / "store" / folder).write_bytes(b"")
    with pytest.raises(EvidenceError) as caught:
        laboratory.obtain("it")
    assert caught.value.hint
    assert laboratory.evidence() == {}


@pytest.mark.slow
def test_paths_into_other_evidence_reach_the_job(bench: Bench) -> None:
    """The job's configuration holds the place of a need's file, not the words that stand in the key."""
    calls = str(bench.root / "calls")
    second = Experiment(
        "second", "second", "tiny_engine:work", free(calls=calls, m=FromEvidence("first", "deep")), ("first",)
    )
    laboratory = bench.laboratory(bench.experiment("work", "first"), second)
    place = Path(laboratory.obtain("second").json("deep/result.json")["config"]["m"])
    assert (place / "result.json").is_file()
    assert place.parent == laboratory.obtain("first").folder
