"""What lets others redo a run: its trace, whole states where segments begin, and every resumption with what it loaded.

Places are drawn once, by the first process of a run, and kept with its checkpoints: a run that is resumed goes on with
them, and stays bitwise the run that it was.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from refute.disk import link_or_copy
from refute.engines.distill.logs import write_json
from refute.engines.distill.training.build import Run
from refute.engines.distill.training.checkpoint import checkpoints, save_state
from refute.engines.distill.training.trace import Trace
from refute.errors import ExperimentError
from refute.spec.experiments.custody import STATES, Custody, Resumption, segment_starts
from refute.spec.experiments.evidence_files import CUSTODY


class AuditTrail:
    """Follows one run, step by step; every rank must call it, the main one writes."""

    def __init__(self, scratch: Path, run: Run, custody: Custody, trace: Trace) -> None:
        self._scratch, self._run, self._custody, self._trace = scratch, run, custody, trace
        self._kept = set(segment_starts(custody.entropy, run.config.training.steps)) - {0}

    def keeps(self, step: int) -> bool:
        """Whether the state after `step` is kept whole, so that others can score it: the run does, too."""
        return step in self._kept

    def after(self, step: int) -> None:
        """Writes down what `step`, from 1, has left, and all of it where a segment begins."""
        self._trace.append()
        if self.keeps(step):
            run = self._run
            save_state(self._scratch / STATES, step, run.student, run.optimizer, run.identity, run.ranks)

    def sync(self) -> None:
        """Returns once all of it is on the disk."""
        self._trace.sync()

    def save(self, out: Path) -> None:
        """Puts everything into `out`; states are linked, not copied."""
        write_json(out / CUSTODY.name, self._custody.as_json())
        self._trace.save(out)
        for file in sorted((self._scratch / STATES).rglob("*.safetensors")):
            target = out / file.relative_to(self._scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(file, target)


@contextmanager
def audit_trail(scratch: Path, run: Run, done: int) -> Iterator[AuditTrail]:
    """The trail of `run`, whose checkpoint after `done` steps has just been loaded, or that begins (0)."""
    custody = run.ranks.all_gather(_custody(scratch, done) if run.ranks.is_main else None)[0]
    if custody is None:
        raise ExperimentError("the main rank has no custody of the run")
    with closing(Trace(scratch / "trace.f32", run, custody.entropy, done)) as trace:
        yield AuditTrail(scratch, run, custody, trace)


def _custody(scratch: Path, done: int) -> Custody:
    """Read and added to by a run that goes on, drawn by one that begins."""
    path, states = scratch / CUSTODY.name, scratch / STATES
    if done == 0:
        shutil.rmtree(states, ignore_errors=True)
        custody = Custody(entropy=secrets.token_hex(16))
    else:
        custody = _resumed(path, scratch / "checkpoints", states, done)
    write_json(path, custody.as_json())
    return custody


def _resumed(path: Path, folder: Path, states: Path, done: int) -> Custody:
    """With one resumption more; keeps the checkpoint that was loaded, and the one before it."""
    try:
        custody = Custody.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ExperimentError(
            f"{path} cannot be read: {error}", hint="delete the folder to start this run again from step 0"
        ) from error
    for step in _steps_of(states):
        if step > done:
            shutil.rmtree(states / f"step-{step:08d}")
    for checkpoint in checkpoints(folder):
        target = states / checkpoint.name
        target.mkdir(parents=True, exist_ok=True)
        for file in checkpoint.iterdir():
            link_or_copy(file, target / file.name)
    since = max([step for step in _steps_of(folder) if step < done], default=0)
    return custody.model_copy(update={"resumed": (*custody.resumed, Resumption(since=since, at=done))})


def _steps_of(folder: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in folder.glob("step-*")]
