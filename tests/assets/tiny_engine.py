"""Experiments for tests of the laboratory: one that works, and one for each way to end otherwise."""

from __future__ import annotations

import atexit
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from refute.errors import ExperimentError, MissingInputsError, NonFiniteError
from refute.job import Job


def _count(job: Job) -> None:
    """One byte a call, beside the store: how often an experiment really ran."""
    with Path(json.loads(job.config)["calls"]).open("a", encoding="utf-8") as stream:
        stream.write("x")


_SEEN: list[str] = []


def whereabouts(job: Job) -> None:
    """Who runs this, who was its parent, and which experiments this module has seen."""
    _SEEN.append(job.name)
    facts = {"pid": os.getpid(), "parent": os.getppid(), "seen": _SEEN}
    (job.out / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def work(job: Job) -> None:
    """Write down what it was given."""
    _count(job)
    job.progress("work", 1, 2, loss=0.5, note="half")
    inputs = {name: sorted(path.name for path in each.folder.iterdir()) for name, each in job.inputs.items()}
    content = {"config": json.loads(job.config), "inputs": inputs}
    (job.out / "deep").mkdir()
    (job.out / "deep" / "result.json").write_text(json.dumps(content), encoding="utf-8")
    job.progress("work", 2, 2)


def look_around(job: Job) -> None:
    """Write down what surrounds it."""
    environment = [os.environ[name] for name in ("HF_HUB_OFFLINE", "PYTHONHASHSEED")]
    seen = {"stdin": sys.stdin.read(), "env": environment, "out": sorted(path.name for path in job.out.iterdir())}
    (job.out / "seen.json").write_text(json.dumps(seen), encoding="utf-8")


def raise_value_error(job: Job) -> None:
    """Fail as a bug does, half-way, with a message that is no text."""
    _count(job)
    (job.out / "half").write_text("written", encoding="utf-8")
    sys.stdout.write("working on it\n")
    sys.stdout.flush()
    raise ValueError("boom \udcff")


def raise_known(job: Job) -> None:
    """Fail on purpose, with a hint."""
    raise ExperimentError("the corpus is empty", hint="name another folder")


def raise_missing(job: Job) -> None:
    """Fail on purpose, as another kind, without a hint."""
    raise MissingInputsError("no tokenizer")


def raise_nan(job: Job) -> None:
    """Stop at a loss that is none."""
    raise NonFiniteError("loss is nan at step 7", hint="look at batch.json")


def be_killed(job: Job) -> None:
    """End as when memory runs out."""
    sys.stdout.write("".join(f"line {number}\n" for number in range(50)))
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def leave_quietly(job: Job) -> None:
    """Look like a success to whoever trusts an exit status."""
    (job.out / "result").write_text("x", encoding="utf-8")
    os._exit(0)


def exit_zero(job: Job) -> None:
    """The same, politely."""
    (job.out / "result").write_text("x", encoding="utf-8")
    sys.exit(0)


def exit_three_after_done(job: Job) -> None:
    """Return, and crash while cleaning up."""
    (job.out / "result").write_text("x", encoding="utf-8")
    atexit.register(os._exit, 3)


def write_among_events(job: Job) -> None:
    """As something does that holds every descriptor of the process that it was forked from."""
    for number in range(3, 64):
        with suppress(OSError):
            os.write(number, b'{"event": "progress"}{}\n')


def write_nothing(job: Job) -> None:
    """Return, and leave nothing."""


def hang_with_a_child(job: Job) -> None:
    """Start another process and wait for ever."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (job.scratch / "pids").write_text(f"{os.getpid()} {child.pid}", encoding="utf-8")
    job.progress("hanging", 0, 1)
    time.sleep(600)


def chatter(job: Job) -> None:
    """Always have something to say."""
    while True:
        job.progress("talk", 0, 1)


def leave_a_child_with_the_pipe(job: Job) -> None:
    """Return, while a forked child keeps the pipe of events open."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
    (job.out / "pid").write_text(str(child), encoding="utf-8")


def straight(job: Job) -> None:
    """What `resume` does when nothing stops it."""
    _ten_steps(job, killed_at=None)


def resume(job: Job) -> None:
    """Ten steps; the first attempt is killed at the sixth, after a checkpoint."""
    _ten_steps(job, killed_at=5)


def _ten_steps(job: Job, killed_at: int | None) -> None:
    _count(job)
    checkpoint = job.scratch / "checkpoint"
    done = checkpoint.read_bytes() if checkpoint.exists() else b""
    for step in range(len(done), 10):
        done += bytes([step])
        if step == killed_at and not checkpoint.exists():
            checkpoint.write_bytes(done[:5])
            (job.out / "stale").write_text("of the first attempt", encoding="utf-8")
            os.kill(os.getpid(), signal.SIGKILL)
    (job.out / "result").write_bytes(done)


def slowly(job: Job) -> None:
    """Work for half a second."""
    _count(job)
    job.progress("work", 0, 1)
    time.sleep(0.5)
    (job.out / "result").write_text("x", encoding="utf-8")


def find_random(job: Job) -> None:
    """Write down which `random` was imported."""
    (job.out / "file").write_text(random.__file__, encoding="utf-8")
