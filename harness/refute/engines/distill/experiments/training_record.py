"""Experiment: what somebody else's trainer says of its run, taken in as a claim."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from refute.engines.distill.logs import write_json, write_rows
from refute.engines.distill.records.event_files import read_events
from refute.engines.distill.records.wandb_run import read_wandb
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.evidence.finished import ClaimedRun, ClaimedStep
from refute.spec.experiments.evidence_files import CLAIMED_RUN, CLAIMED_STEPS
from refute.spec.experiments.finished import RecordConfig
from refute.spec.experiments.parsing import parse_config
from refute.spec.release import RecordFormat

# How trainers call what they log: Hugging Face's, TRL's, and refute's own metrics.jsonl; in TensorBoard and W&B the
# first two put `train/` before it.
_LOSS, _RATE = ("loss", "train/loss", "total"), ("learning_rate", "train/learning_rate", "lr")
_TOKENS = ("num_tokens", "train/num_tokens", "num_input_tokens_seen", "train/num_input_tokens_seen", "tokens")
_TOOLS: Mapping[RecordFormat, str] = {
    "trainer_state": "transformers.Trainer",
    "jsonl": "JSON lines",
    "tensorboard": "TensorBoard",
    "wandb": "Weights & Biases, offline",
}
_HINT = "name the file as the trainer wrote it"

Fields = Mapping[str, object]


def import_record(job: Job) -> None:
    """Write record.json and steps.jsonl from a `trainer_state.json`, from JSON lines with a `step` each, or from the
    logs of TensorBoard or W&B.

    Evaluations and summaries among the lines are no steps. Raises ExperimentError, with the place, for what is no such
    file, for a step that comes twice or backwards, and for a number that is not finite.
    """
    config = parse_config(RecordConfig, job)
    path = Path(config.path)
    state = _state(path) if config.format == "trainer_state" else {}
    steps = list(_steps(_logged(config.format, path, state), path.name))
    if not steps:
        raise ExperimentError(f"{path.name} logs no step with a loss", hint=_HINT)
    ended = _count(state, "global_step", path.name) if state else steps[-1].step
    if ended < steps[-1].step:
        raise ExperimentError(f"{path.name} logs step {steps[-1].step}, and says that the run ended at {ended}")
    planned = state.get("max_steps")
    run = ClaimedRun(
        origin="claimed",
        tool=_TOOLS[config.format],
        steps=ended,
        planned_steps=planned if isinstance(planned, int) and planned > 0 else None,
        logged=len(steps),
    )
    write_json(job.out / CLAIMED_RUN.name, run.as_json())
    write_rows(job.out / CLAIMED_STEPS.name, [step.as_json() for step in steps])


def _logged(form: RecordFormat, path: Path, state: Fields) -> Iterator[tuple[str, Fields]]:
    if form == "tensorboard":
        return read_events(path)
    if form == "wandb":
        return read_wandb(path)
    return _history(state) if form == "trainer_state" else _lines(path)


def _state(path: Path) -> Fields:
    found = _parsed(path.read_text(encoding="utf-8"), path.name)
    if not isinstance(found.get("log_history"), list) or "global_step" not in found:
        raise ExperimentError(
            f"{path.name} is no trainer_state.json: it has no global_step and log_history", hint=_HINT
        )
    return found


def _history(state: Fields) -> Iterator[tuple[str, Fields]]:
    history = state["log_history"]
    for number, entry in enumerate(history if isinstance(history, list) else ()):
        if not isinstance(entry, dict):
            raise ExperimentError(f"log_history[{number}] is {type(entry).__name__}, expected an object", hint=_HINT)
        yield f"log_history[{number}]", entry


def _lines(path: Path) -> Iterator[tuple[str, Fields]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if line.strip():
            yield f"line {number}", _parsed(line, f"{path.name}: line {number}")


def _parsed(text: str, where: str) -> Fields:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExperimentError(f"{where} is not JSON: {error}", hint=_HINT) from error
    if not isinstance(found, dict):
        raise ExperimentError(f"{where} is {type(found).__name__}, expected an object", hint=_HINT)
    return found


def _steps(entries: Iterator[tuple[str, Fields]], file: str) -> Iterator[ClaimedStep]:
    last = -1
    for place, entry in entries:
        where = f"{file}: {place}"
        if (loss := _number(entry, _LOSS, where)) is None:
            continue
        step = _count(entry, "step", where)
        if step <= last:
            raise ExperimentError(f"{where} is step {step}, after step {last}", hint="name the record of one run")
        tokens = _number(entry, _TOKENS, where)
        rate = _number(entry, _RATE, where)
        yield ClaimedStep(step=step, loss=loss, learning_rate=rate, tokens=None if tokens is None else int(tokens))
        last = step


def _number(entry: Fields, names: tuple[str, ...], where: str) -> float | None:
    """The number under the first of `names` that is there."""
    for name in names:
        if (found := entry.get(name)) is None:
            continue
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            raise ExperimentError(f"{where}: {name} is {found!r}, expected a finite number")
        return float(found)
    return None


def _count(entry: Fields, name: str, where: str) -> int:
    found = entry.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ExperimentError(f"{where}: {name} is {found!r}, expected a number of steps", hint=_HINT)
    return found
