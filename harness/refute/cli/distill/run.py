"""`refute distill`: the engine on its own, without a release around it."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refute.cli.arguments import reading_what_was_named
from refute.cli.console import progress, signals
from refute.disk import working_in, writing
from refute.errors import UsageError
from refute.job import Job, Stop
from refute.spec.yaml.document import parse_yaml, read_text, validate

if TYPE_CHECKING:
    from refute.engines.distill.teacher.topk_source import TopKSource
    from refute.engines.distill.training.build import Run
    from refute.engines.model.server.client import Server
    from refute.spec.experiments.distill import TrainConfig


_WORK = "work"
_LOCK = "lock"
SUMMARY = "summary.json"


def read_config(path: Path) -> TrainConfig:
    """The configuration in a YAML file; its relative paths start at the file's folder.

    Raises SpecError with every fault, its line and key.
    """
    from refute.spec.experiments.distill import TopKPlace, TrainConfig

    found = validate(parse_yaml(read_text(path), str(path)), TrainConfig)

    def near(place: str) -> str:
        return str((path.parent / Path(place).expanduser()).resolve())

    changed: dict[str, object] = {"init": near(found.init), "corpus": near(found.corpus)}
    if found.teacher is not None:
        changed["teacher"] = found.teacher.model_copy(update={"path": near(found.teacher.path)})
    if found.teacher_cache is not None:
        changed["teacher_cache"] = TopKPlace(topk=near(found.teacher_cache.topk))
    if found.tensorboard is not None:
        changed["tensorboard"] = near(found.tensorboard)
    return found.model_copy(update=changed)


def run_distill(path: Path, out: Path, *, max_steps: int | None, force: bool) -> Path | None:
    """Train what `path` configures into `out`, continuing what an earlier call began; returns the summary's path
    on the first rank.

    A smoke run (`max_steps`) writes smoke.json only. Under torchrun every rank calls it, and the first one talks.
    Raises UsageError when `out` holds a finished run, another process works in it, or `processes` of the configuration
    are others than there are.
    """
    from refute.engines.distill.training.trainer import run_training

    config = read_config(path)
    _refuse_other_processes(path, config.processes)
    if (out / SUMMARY).exists():
        raise UsageError(f"{out} holds a finished run", hint="name another folder with --out")
    work = out / (_WORK if max_steps is None else f"{_WORK}-smoke")
    first = os.environ.get("RANK", "0") == "0"
    stop = Stop()
    notice = "stopping after this step" if first else ""
    # The configuration is a person's own file, and names the rest.
    with (
        reading_what_was_named(),
        _exclusive(work, first=first),
        signals(stop, notice),
        progress(quiet=not first) as report,
    ):
        if first and max_steps is not None:
            # Exactly so many steps, from the first one.
            _empty(work)
        job = Job(path.stem, config.model_dump_json(), {}, out, work, report)
        run_training(job, config, max_steps=max_steps, stop=stop, forced=force)
    if not first:
        return None
    return out / (SUMMARY if max_steps is None else "smoke.json")


def _refuse_other_processes(path: Path, wanted: int) -> None:
    found = int(os.environ.get("WORLD_SIZE", "1"))
    if wanted not in (1, found):
        raise UsageError(
            f"{path} asks for processes: {wanted}, and {found} run it",
            hint=f"start it with `torchrun --nproc-per-node {wanted} -m refute distill {path} --out ...`",
        )


def run_plan(path: Path, *, tflops: float | None, price: float | None) -> dict[str, object]:
    """The figures of the run that `path` configures: see `refute.engines.distill.plan`."""
    from refute.engines.distill.plan import plan

    with reading_what_was_named():
        return plan(read_config(path), tflops=tflops, price=price).as_json()


def show_plan(plan: Mapping[str, Any]) -> str:
    """The figures of a plan, for people."""
    parts = [f"{plan[f'{name}_bytes'] / 1e9:.2f} GB of {name}" for name in ("student", "optimizer", "teacher")]
    total = sum(plan[f"{name}_bytes"] for name in ("student", "optimizer", "teacher"))
    lines = [
        f"student {plan['student_parameters']:,} parameters, teacher {plan['teacher_parameters']:,}",
        f"{plan['tokens']:,} tokens, {plan['tokens_per_parameter']:.1f} a parameter",
        f"memory, each device: at least {total / 1e9:.2f} GB ({', '.join(parts)}), and activations",
        f"disk: {plan['disk_bytes'] / 1e9:.2f} GB",
        f"arithmetic: {plan['operations']:.3g} operations",
    ]
    if plan["hours"] is None:
        lines.append("time: give --tflops, or make a smoke run (--max-steps 20), which measures it")
    else:
        lines.append(f"time: {plan['hours']:.2f} h")
    return "\n".join([*lines, *([] if plan["cost"] is None else [f"cost: {plan['cost']:.2f}"])])


def run_prepare(path: Path, out: Path, k: int, server: Server | None) -> dict[str, object]:
    """Ask the teacher of `path`, or the one that `server` has, about every training window and keep its top-k entries
    below `out`."""
    from refute.engines.distill.teacher.topk_cache import estimate_bytes, prepare
    from refute.engines.distill.training.build import build, reproducible
    from refute.engines.distill.training.ranks import ALONE
    from refute.engines.model.vocabulary import Vocabulary

    config = read_config(path).model_copy(update={"teacher_cache": None})
    if server is not None:
        config = _untaught(config)
    with reading_what_was_named(), _exclusive(out), reproducible(config), progress() as report:
        run = build(config, ALONE)
        source = _source(run, server)
        windows, positions = len(run.data.windows), config.training.seq_len - 1
        size = estimate_bytes(windows, positions, k)
        sys.stderr.write(f"{windows} windows x {positions} positions x {k} entries: {size / 1e9:.3f} GB\n")
        return prepare(
            out,
            run.data.window,
            windows,
            source,
            run.teacher_sha256,
            config.training,
            k=k,
            vocabulary=Vocabulary.of(run.vocab_size, run.tokenizer),
            report=report,
        )


def _source(run: Run, server: Server | None) -> TopKSource:
    from refute.engines.distill.teacher.served import open_served
    from refute.engines.distill.teacher.topk_source import LoadedSource

    if server is not None:
        return open_served(server, run.vocab_size, run.tokenizer)
    if run.teacher is None:
        raise UsageError("the run names no teacher", hint="name one, or a server that has one: --base-url")
    return LoadedSource(run.teacher, run.vocab_size)


def _untaught(config: TrainConfig) -> TrainConfig:
    """The same run before it has a teacher: what one behind a server says is only being prepared."""
    training = config.training.model_copy(update={"kd_weight": 0.0, "ce_weight": 1.0})
    return config.model_copy(update={"teacher": None, "training": training})


def show_summary(path: Path) -> str:
    """The few figures that say how a run went."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    if path.name != SUMMARY:
        hours = facts["projected_hours"]
        return f"smoke run: {facts['steps']} steps in {facts['seconds']:.1f} s; all of them would take {hours:.2f} h"
    lines = [
        f"{facts['steps']} steps, {facts['supervised_tokens']} tokens, {facts['tokens_per_s']:.0f} tokens/s",
        f"held-out CE {facts['initial_heldout_ce']:.4f} -> {facts['final_heldout_ce']:.4f} nat/token",
    ]
    if facts["final_heldout_kl"] is not None:
        lines.append(
            f"KL to the teacher {facts['initial_heldout_kl']:.4f} -> {facts['final_heldout_kl']:.4f} nat/token"
        )
    return "\n".join([*lines, f"model: {path.parent / 'model'}"])


@contextmanager
def _exclusive(folder: Path, *, first: bool = True) -> Iterator[None]:
    """Make the folder and hold its lock, which goes with the process, however that ends; the first rank does."""
    if not first:
        yield
        return
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / _LOCK).open("w", encoding="utf-8")
    with stream, working_in(folder):
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"another process is at work in {folder}", hint="wait for it, or name another --out"
            ) from error
        yield


def _empty(folder: Path) -> None:
    import shutil

    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()
