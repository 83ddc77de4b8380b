"""The whole line on a small world: evidence is made as the laboratory makes it, in forks, with or without a fault."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from refute.check.drill.places import EVERY, MICRO_BATCHES, STEPS, Drill
from refute.disk import file_sha256
from refute.errors import ExperimentError, RefuteError
from refute.evidence.experiment import Experiment, Plan, config_for_job
from refute.evidence.manifest import manifest_digest
from refute.evidence.plan import plan_release
from refute.falsifier.context import Evidence
from refute.falsifier.forked import Reply, replies_of
from refute.job import Inputs, Job
from refute.spec.experiments.drill import FaultedConfig, WorldConfig
from refute.spec.release import Release

_PROBLEMS: Final = 12
_ATTEMPTS: Final = 3
_WORLD: Final = "refute.engines.drill.world:build_world"
_LOG: Final = "log.txt"
_FAULTED: Final = "refute.engines.drill.faulted:run_faulted"


@dataclass(frozen=True, slots=True)
class Line:
    """A plan over a small world, in `folder`; `seed` is what chance there is.

    Entropy that an engine draws is the same each time, so that runs differ by their faults alone.
    """

    plan: Plan
    folder: Path
    seed: str
    limit_s: float

    @classmethod
    def over_a_small_world(cls, folder: Path, seed: str, limit_s: float) -> Line:
        """With the world made in `folder`, which is made, too. Raises ExperimentError where it could not be."""
        folder.mkdir(parents=True)
        world, config = folder / "world", WorldConfig(seed=int(seed[:8], 16), problems=_PROBLEMS)
        line = cls({}, folder, seed, limit_s)
        (made,) = line.make([(Experiment("world", "", _WORLD, lambda _: config), {}, None, world)])
        if isinstance(made, ExperimentError):
            raise ExperimentError(f"the drill's small world cannot be made: {made}", hint=f"see {folder / _LOG}")
        plan = plan_release(small_release(world), world)
        return cls(plan, folder, seed, limit_s)

    def make(self, wanted: Sequence[Order]) -> list[Evidence | ExperimentError]:
        """The evidence of each order, made two at a time; or why there is none."""
        works = [partial(_run, self.seed, *order) for order in wanted]
        replies = replies_of(works, self.limit_s, self.folder / _LOG)
        found: list[Evidence | ExperimentError] = []
        for (experiment, _, _, out), reply in zip(wanted, replies, strict=True):
            found.append(_made(experiment.name, out, reply))
        return found


class SilentError(ExperimentError):
    """An experiment ended without a word of its own: an exception that nobody foresaw, a crash, a limit of time."""


# An experiment, what it builds on, the fault in it, and where its files go.
Order = tuple[Experiment, Mapping[str, Evidence], "Drill | None", Path]


@dataclass(slots=True)
class Run:
    """Evidence of one line by name, made when it is asked for: with a fault, only what that reaches is made anew."""

    line: Line
    folder: Path
    drill: Drill | None = None
    honest: Mapping[str, Evidence] = field(default_factory=dict)
    _made: dict[str, Evidence | ExperimentError] = field(default_factory=dict)

    def obtain(self, name: str) -> Evidence:
        """The evidence `name`. Raises ExperimentError where it cannot be made."""
        if not self.reached(name):
            return self.honest[name]
        if name not in self._made:
            self._made[name] = self._make(name)
        found = self._made[name]
        if isinstance(found, ExperimentError):
            raise found
        return found

    def reached(self, name: str) -> bool:
        """Whether the fault may have changed that evidence; without one, whatever there is not yet."""
        if self.drill is None:
            return name not in self.honest
        needs = self.line.plan[name].needs
        return name == self.drill.experiment or any(map(self.reached, needs))

    def missing(self, needs: Sequence[str]) -> int:
        """How many experiments would have to be made for `needs`."""
        open_ones = {each for name in needs for each in self._behind(name)}
        return len(open_ones)

    def _behind(self, name: str) -> Iterator[str]:
        if self.reached(name) and name not in self._made:
            yield name
            for need in self.line.plan[name].needs:
                yield from self._behind(need)

    def _make(self, name: str) -> Evidence | ExperimentError:
        experiment = self.line.plan[name]
        try:
            inputs = {need: self.obtain(need) for need in experiment.needs}
        except ExperimentError as error:
            return error
        planted = self.drill if self.drill is not None and self.drill.experiment == name else None
        return self.line.make([(experiment, inputs, planted, self.folder / name)])[0]


def _made(name: str, out: Path, reply: Reply) -> Evidence | ExperimentError:
    if reply.fault:
        return SilentError(reply.fault)
    refusal = json.loads(reply.line)
    return ExperimentError(refusal) if refusal else _evidence(name, out)


def make_all(line: Line, folder: Path, needed: Sequence[str]) -> dict[str, Evidence]:
    """The honest evidence of `needed` and what it builds on, two at a time.

    What fails is made again, for a busy machine may keep a program from its verdict. Raises ExperimentError for what
    cannot be made even so.
    """
    found: dict[str, Evidence] = {}
    wanted = set(_with_needs(line.plan, needed))
    attempts = dict.fromkeys(wanted, 0)
    while ready := [each for each in line.plan.values() if each.name in wanted and found.keys() >= set(each.needs)]:
        inputs = [{need: found[need] for need in each.needs} for each in ready]
        orders: list[Order] = [
            (each, given, None, folder / f"{each.name}-{attempts[each.name]}")
            for each, given in zip(ready, inputs, strict=True)
        ]
        for each, made in zip(ready, line.make(orders), strict=True):
            attempts[each.name] += 1
            if isinstance(made, Evidence):
                found[each.name] = made
                wanted.remove(each.name)
            elif attempts[each.name] == _ATTEMPTS:
                raise ExperimentError(f"the drill's honest line lacks {each.name}: {made}", hint="run again")
    return found


def _with_needs(plan: Plan, wanted: Sequence[str]) -> Iterator[str]:
    for name in wanted:
        yield name
        yield from _with_needs(plan, plan[name].needs)


def _run(seed: str, experiment: Experiment, inputs: Mapping[str, Evidence], drill: Drill | None, out: Path) -> str:
    """In a process to spare: JSON of what went wrong, empty where nothing did."""
    _fix_chance(f"{seed}/{experiment.name}")
    # Nothing here is to outlive the machine.
    os.fsync = _returns_at_once
    scratch = out.with_name(f"{out.name}.scratch")
    for each in (out, scratch):
        each.mkdir(parents=True)
    config = config_for_job(experiment.config, {name: each.folder for name, each in inputs.items()}).model_dump_json()
    entry = experiment.entry
    if entry is None:
        (out / f"{experiment.name}.json").write_text(json.loads(config)["text"], encoding="utf-8")
        return json.dumps("")
    if drill is not None:
        number = int(hashlib.sha256(f"{seed}/{drill}".encode()).hexdigest()[:8], 16)
        config = FaultedConfig(fault=drill.fault, entry=entry, config=config, seed=number).model_dump_json()
        entry = _FAULTED
    module, _, function = entry.partition(":")
    folders = {name: Inputs(name, each.folder) for name, each in inputs.items()}
    try:
        getattr(import_module(module), function)(Job(experiment.name, config, folders, out, scratch, lambda *_: None))
    except RefuteError as error:
        return json.dumps(f"{type(error).__name__}: {error}")
    return json.dumps("")


def _returns_at_once(fd: object) -> None:
    """In the place of a call that waits for the disk."""
    del fd


def _fix_chance(seed: str) -> None:
    """Entropy that is the same in every run of the drill."""

    def token(size: int = 32) -> str:
        return hashlib.shake_256(seed.encode()).hexdigest(size)

    opened: Any = secrets
    opened.token_hex = token


def _evidence(name: str, folder: Path) -> Evidence:
    files = {
        path.relative_to(folder).as_posix(): file_sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }
    return Evidence(name, manifest_digest(files), folder, files)


def small_release(world: Path) -> Release:
    """A release over the files of a world: a teacher of four layers into a student of two, in a few steps."""
    problems = hashlib.sha256((world / "problems.jsonl").read_bytes()).hexdigest()
    content = {
        "release": "fire-drill",
        "title": "A small teacher into a depth-pruned student",
        "run_class": "full",
        "operator": "refute",
        "subject": "student",
        "distillation": {
            "device": "cpu",
            "threads": 1,
            "teacher": {"format": "hf", "path": "teacher"},
            "init": {"method": "depth_prune", "keep_layers": 2, "probe_windows": 2},
            "corpus": {"kind": "files", "path": "corpus", "train_tokens": 1536, "heldout_tokens": 1120},
            "training": {
                "steps": STEPS,
                "batch_size": MICRO_BATCHES,
                "micro_batch_size": 1,
                "seq_len": 32,
                "learning_rate": 5e-3,
                "min_learning_rate": 5e-4,
                "warmup_steps": 3,
                "weight_decay": 0.01,
                "ce_weight": 0.3,
                "kd_weight": 0.7,
                "temperature": 2.0,
                "seed": 17,
                "eval_every": EVERY,
                "eval_windows": 8,
                "checkpoint_every": STEPS // 2,
                "document_mask": False,
            },
            "humaneval": {
                "problems": {"path": "problems.jsonl", "sha256": problems},
                "prompt": "completion",
                "null_limit": _PROBLEMS,
                "calibration_limit": 4,
                "max_new_tokens": 10,
                "batch_size": _PROBLEMS,
                "timeout_s": 10.0,
            },
        },
    }
    return Release.model_validate_json(json.dumps(content))
