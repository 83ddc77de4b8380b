"""Experiment: faults planted into a copy of the live engines, and which of the falsifiers in use names them.

It needs no evidence of the release: what is drilled is the code that runs here. Each run has a drill of its own, with a
seed that is drawn when it is planned, so that nobody keeps one that went well, and the verdict says which seed it was.
"""

from __future__ import annotations

import faulthandler
import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Final

from refute.check.controls.in_use import FalsifiersInUse, in_use
from refute.check.drill.fate import Fate, Watch, fate_of
from refute.check.drill.line import Line, Run, make_all
from refute.check.drill.places import Drill, all_faults, drawn
from refute.evidence.experiment import Experiment, Located
from refute.evidence.manifest import manifest_digest
from refute.evidence.planned.distillation import ROWS
from refute.evidence.reach import entry_digest
from refute.falsifier.context import Evidence
from refute.falsifier.forked import Reply, each_reply, warm_up
from refute.falsifier.registry import Registry
from refute.job import Job
from refute.outcome import RunClass, readable
from refute.spec.criteria import FalsifierUse
from refute.spec.experiments.evidence.drill import DrillSummary, PlantedFault
from refute.spec.experiments.evidence_files import DRILL, DRILL_SUMMARY, PLANTED_FAULTS
from refute.spec.experiments.parsing import parse_config

# Named, all of them: the lower end of Wilson's interval lies above 95 % from 73 faults on.
_COUNTED: Final = {RunClass.QUICK: 4, RunClass.EMBEDDED: 80, RunClass.FULL: 80}
# Faults that change nothing, or that the engine itself stops, are not counted; nobody draws for ever.
_DRAWN_AT_MOST: Final = 2
_LIMIT_S: Final = 1800.0
_FAULT_LIMIT_S: Final = 120.0
# What engines remember once they have done it, and each fork would do anew: two thirds of a second.
_REMEMBERED: Final = (
    "refute.engines.model.folder:load_model",
    "refute.engines.humaneval.sandbox.tiers:probe_isolation",
    "refute.engines.humaneval.audit.execution:executor",
)
_ENGINES: Final = ("refute.engines.drill.world:build_world", "refute.engines.drill.faulted:run_faulted")


class DrillConfig(FalsifiersInUse):
    """What enters `drill`: what faults are drawn by, how many must count; `engines`, their code, is for the key."""

    seed: str
    faults: int
    engines: str


def drill_experiment(
    uses: Sequence[FalsifierUse], registry: Registry, folders: Sequence[Path], run_class: RunClass
) -> Experiment:
    """A new drill over `uses`, as long as a run of `run_class` can bear; `folders` are the repository's falsifiers.

    Raises LoadingError for a use of a falsifier that is nowhere.
    """
    of_uses, seed = in_use(uses, registry, folders), secrets.token_hex(16)
    return Experiment(
        DRILL,
        "plant faults into the engines and see which falsifier names them",
        f"{__name__}:drill",
        config=lambda at: DrillConfig(
            **dict(of_uses(at)), seed=seed, faults=_COUNTED[run_class], engines=at(_engines())
        ),
        limit_s=_LIMIT_S,
    )


def _engines() -> Located:
    """All code that the experiments of a distillation reach; there is no one place where it lies."""
    entries = (*_ENGINES, *(row.entry for row in ROWS))
    return Located(lambda: manifest_digest({entry: entry_digest(entry) for entry in entries}), lambda: Path(__file__))


def drill(job: Job) -> None:
    """Writes faults.jsonl, a `PlantedFault` a row in the order of the draw, and drill.json, the `DrillSummary`.

    Raises ExperimentError where the falsifiers are not those that the plan saw, and where the small world or its honest
    line cannot be made.
    """
    config = parse_config(DrillConfig, job)
    uses, registry = config.load()
    import_all()
    seed, drawn_at = config.seed, datetime.now(UTC).isoformat(timespec="seconds")
    job.progress("make a small world", 0, 1)
    line = Line.over_a_small_world(job.scratch / seed, seed, _FAULT_LIMIT_S)
    do_once(line)
    watches = [Watch(use, registry[use.uses]) for use in uses if use.uses and _can_ask(line, registry, use.uses)]
    honest = make_all(line, line.folder / "honest", [need for watch in watches for need in watch.falsifier.needs])
    standing = [watch for watch in watches if watch.stands(honest)]
    rows = list(_drilled(job, _Yard(line, honest, standing), drawn(seed), config.faults))
    PLANTED_FAULTS.write(job.out, rows)
    on_guard = tuple(watch.use.id for watch in standing)
    off_guard = tuple(use.id for use in uses if use.id not in on_guard)
    generator = sum(1 for _ in all_faults())
    summary = DrillSummary(seed=seed, drawn_at=drawn_at, generator=generator, on_guard=on_guard, off_guard=off_guard)
    DRILL_SUMMARY.write(job.out, summary)
    shutil.rmtree(line.folder, ignore_errors=True)


def _can_ask(line: Line, registry: Registry, name: str) -> bool:
    needs = registry[name].needs
    return bool(needs) and line.plan.keys() >= set(needs)


@dataclass(frozen=True, slots=True)
class _Yard:
    """Where faults are planted: an honest line, and those who let it stand."""

    line: Line
    honest: dict[str, Evidence]
    watches: Sequence[Watch]

    def plant(self, number: int, drill: Drill) -> str:
        """In a process to spare: the row of one fault, as JSON."""
        # The thread that would write down where this process is does not live on in its forks, which would wait for it.
        faulthandler.cancel_dump_traceback_later()
        folder = self.line.folder / f"fault-{number}"
        fate = fate_of(Run(self.line, folder, drill, self.honest), self.watches)
        shutil.rmtree(folder, ignore_errors=True)
        return json.dumps(_row(number, drill, fate).as_json())


def _drilled(job: Job, yard: _Yard, faults: Iterator[Drill], wanted: int) -> Iterator[PlantedFault]:
    """Rows until `wanted` faults count; one that runs beside the last of them is seen to its end, and left out."""
    chosen, counted = list(islice(faults, _DRAWN_AT_MOST * wanted)), 0

    def works() -> Iterator[Callable[[], str]]:
        for number, each in enumerate(chosen, start=1):
            if counted < wanted:
                yield partial(yard.plant, number, each)

    replies = each_reply(works(), _FAULT_LIMIT_S, yard.line.folder / "log.txt")
    for number, (each, reply) in enumerate(zip(chosen, replies, strict=False), start=1):
        if counted < wanted:
            row = _answered(number, each, reply)
            counted += row.outcome in ("named", "unable", "survived")
            job.progress("faults", counted, wanted, planted=number)
            yield row


def _answered(number: int, drill: Drill, reply: Reply) -> PlantedFault:
    """A fault that hung or killed the process which looks for it has survived: nobody has named it."""
    if reply.fault:
        return _row(number, drill, Fate(reason=reply.fault))
    return PlantedFault.model_validate_json(reply.line)


def _row(number: int, drill: Drill, fate: Fate) -> PlantedFault:
    return PlantedFault(
        number=number,
        place=drill.place,
        kind=drill.kind,
        when=drill.when,
        experiment=drill.experiment,
        outcome=fate.outcome,
        named_by=fate.named_by,
        reason=readable(fate.reason),
    )


def import_all() -> None:
    """Once here, and not in the fork of every experiment."""
    warm_up()
    for entry in (*_ENGINES, *(row.entry for row in ROWS)):
        import_module(entry.partition(":")[0])


def do_once(line: Line) -> None:
    """A model read, a jail found: not in the fork of every experiment."""
    load_model, probe_isolation, executor = (
        getattr(import_module(module), function)
        for module, _, function in (entry.partition(":") for entry in _REMEMBERED)
    )
    load_model(line.folder / "world" / "teacher", device="cpu")
    executor(probe_isolation().value)
