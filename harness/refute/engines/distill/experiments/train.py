"""The KD run as an experiment: in this process, or in several of this machine under torchrun.

The ranks are this module, run as `python -m` with a REQUEST. The first one reports through a named pipe, as an
experiment's process does through its own; whichever fails says why there too, and torchrun ends the others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refute.engines.distill.training.ranks import leave_process_group
from refute.engines.distill.training.trainer import run_training
from refute.errors import ExperimentError, MissingInputsError, NonFiniteError, RefuteError, UsageError
from refute.isolation.command import isolated_command
from refute.isolation.start import compiled_sources, count_compiled
from refute.job import Fact, Job
from refute.spec.experiments.distill import TrainConfig
from refute.spec.experiments.parsing import parse_config

_LOG_LINES = 12
_RANK = "refute.engines.distill.experiments.train"

_KINDS: Mapping[str, type[RefuteError]] = {
    kind.__name__: kind for kind in (NonFiniteError, MissingInputsError, UsageError)
}


def train(job: Job) -> None:
    """The experiment: see `run_training`, and `launch` where several processes share the run."""
    config = parse_config(TrainConfig, job)
    if config.processes == 1:
        run_training(job, config)
    else:
        launch(job, config)


def launch(job: Job, config: TrainConfig) -> None:
    """Runs `config` in `config.processes` processes, passing on what they report.

    Raises what the rank that failed first raised, in its words.
    """
    pipe, log = job.scratch / "events", job.scratch / "ranks.log"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    request = {"name": job.name, "config": job.config, "out": str(job.out), "scratch": str(job.scratch)}
    asked = job.scratch / "request.json"
    asked.write_text(json.dumps(request | {"events": str(pipe)}), encoding="utf-8")
    launching = ("--standalone", "--nproc-per-node", str(config.processes), "--no-python")
    rank = isolated_command(_RANK, str(asked), own_environment=True)
    command = isolated_command("torch.distributed.run", *launching, *rank, own_environment=True)
    # Not blocking, so that opening does not wait for a rank; reading does.
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reading, True)
    with log.open("wb") as stream, os.fdopen(reading, encoding="utf-8") as events:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
        failures = _follow(events, process, job)
    status = process.wait()
    if failures:
        first = failures[0]
        kind = _KINDS.get(first["kind"], ExperimentError)
        raise kind(f"rank {first['rank']}: {first['message']}", hint=first["hint"])
    if status != 0:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])
        raise ExperimentError(f"a rank ended without a word; the log of all of them ends:\n{tail}", hint=f"see {log}")
    _count_compiled(job, config.processes)


def _count_compiled(job: Job, ranks: int) -> None:
    """What the ranks compiled is what this experiment ran. Raises ExperimentError where they are not of one source."""
    for rank in range(ranks):
        said = json.loads(_compiled_by(job.scratch, rank).read_text(encoding="utf-8"))
        if differing := count_compiled(said):
            raise ExperimentError(
                f"rank {rank} ran other sources than the rest: {', '.join(differing)}",
                hint="files of refute changed while the run was under way: run it again",
            )


def _compiled_by(scratch: Path, rank: int) -> Path:
    return scratch / f"compiled-{rank}.json"


def _follow(events: Any, process: subprocess.Popen[bytes], job: Job) -> list[dict[str, Any]]:
    """Pass on progress until every rank has closed its end; returns what failed, in order."""
    failures: list[dict[str, Any]] = []
    while True:
        line = events.readline()
        if line:
            event = json.loads(line)
            if event["event"] == "failed":
                failures.append(event)
            else:
                job.report(event["stage"], event["step"], event["total"], event["facts"])
        elif process.poll() is not None:
            return failures
        else:
            # No rank has opened the pipe yet, or all have closed it and torchrun is about to end.
            try:
                process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue


def main(request_path: str) -> None:
    """One rank."""
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    rank = int(os.environ["RANK"])
    with Path(request["events"]).open("w", encoding="utf-8", buffering=1) as events:

        def report(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
            if rank == 0:
                content = {"event": "progress", "stage": stage, "step": step, "total": total, "facts": dict(facts)}
                events.write(json.dumps(content) + "\n")

        job = Job(request["name"], request["config"], {}, Path(request["out"]), Path(request["scratch"]), report)
        try:
            run_training(job, parse_config(TrainConfig, job))
        except Exception as error:  # noqa: BLE001  # whatever a rank dies of is told
            traceback.print_exc()
            known = isinstance(error, RefuteError)
            failed = {
                "event": "failed",
                "rank": rank,
                "kind": type(error).__name__,
                "message": str(error) if known else f"{type(error).__name__}: {error}",
                "hint": error.hint if isinstance(error, RefuteError) else "",
            }
            events.write(json.dumps(failed) + "\n")
            sys.exit(1)
    _compiled_by(job.scratch, rank).write_text(json.dumps(compiled_sources()), encoding="utf-8")
    leave_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
