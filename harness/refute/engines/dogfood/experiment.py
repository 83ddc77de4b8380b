"""Experiment: every probe over all commands, and over sabotaged builds that it has to tell from this one."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Final

import torch

from refute.engines.dogfood.builds import SABOTAGES, Sabotage
from refute.engines.dogfood.called import Build
from refute.engines.dogfood.command_tree import Command, commands
from refute.engines.dogfood.place import make_place
from refute.engines.dogfood.probes.cache import cache
from refute.engines.dogfood.probes.cascade import cascade
from refute.engines.dogfood.probes.chaos import chaos
from refute.engines.dogfood.probes.endings import endings
from refute.engines.dogfood.probes.facts import facts
from refute.engines.dogfood.probes.fallback import fallback
from refute.engines.dogfood.probes.flags import flags
from refute.engines.dogfood.probes.healthy import healthy
from refute.engines.dogfood.probes.machine_output import machine_output, shapes
from refute.engines.dogfood.probes.numbers import numbers
from refute.engines.dogfood.probes.phantoms import phantoms
from refute.engines.dogfood.probes.settings import settings
from refute.engines.dogfood.probes.version import version
from refute.engines.dogfood.seen import Probe, Seen
from refute.engines.dogfood.shapes import printed
from refute.engines.model.folder import load_model
from refute.job import Job
from refute.outcome import readable
from refute.spec.experiments.dogfood import ProbesConfig
from refute.spec.experiments.evidence.dogfood import Observation, SabotagedBuild
from refute.spec.experiments.evidence_files import OBSERVATIONS, PRINTED_SHAPES, SABOTAGED_BUILDS, SMALL_WORLD
from refute.spec.experiments.parsing import parse_config

# P6, the same answers on CPU and GPU, is not among them: nobody has built it.
PROBES: Final[Mapping[str, Probe]] = MappingProxyType(
    {
        "P2": endings,
        "P10": machine_output,
        "P9": phantoms,
        "P8": version,
        "P4": facts,
        "P5": cache,
        "P7": numbers,
        "P3": settings,
        "P11": healthy,
        "P12": cascade,
        "SILENT": fallback,
        "CHAOS": chaos,
        "P1": flags,
    }
)
# What every command would import anew in its own process.
_REMEMBERED: Final = (
    "refute.cli.app",
    "refute.gate.command",
    "refute.judge.judge_run",
    "refute.verify.verification",
    "refute.verify.latest",
    "refute.report",
    "refute.lock.make",
    "refute.check.repository",
    "refute.check.schemas",
    "refute.engines.model.tools.pull",
    "refute.engines.model.tools.asking.qa",
    "refute.engines.model.tools.readiness",
    "refute.engines.distill.experiments.train",
    "refute.engines.humaneval.experiments.evaluate",
    "refute.engines.export.gguf.file",
)
_SHOWN: Final = 300


def probe_all(job: Job) -> None:
    """Writes observations.jsonl, builds.jsonl, and json_shapes.jsonl, which the next release is compared with.

    Raises ExperimentError where the small place cannot be made: then some command does not even do what it is for.
    """
    parse_config(ProbesConfig, job)
    # All of it is about this machine's CPU; and a GPU that nobody can see is what P12 asks for.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(1)
    for module in _REMEMBERED:
        import_module(module)
    job.progress("make a small place", 0, 1)
    world = job.inputs[SMALL_WORLD].path("teacher").parent
    for left in job.scratch.iterdir():  # by a run that was interrupted: no call can go on where it stood
        shutil.rmtree(left)
    build = make_place(world, job.scratch / "place", job.scratch / "calls")
    load_model(build.place / "model", device="cpu")
    gc.freeze()  # a collection in a fork would touch, and so copy, every object of these modules
    rows = [*_as_it_is(job, build), *_sabotaged(job, build.place)]
    OBSERVATIONS.write(job.out, rows)
    PRINTED_SHAPES.write(job.out, printed(shapes(build, commands())))
    SABOTAGED_BUILDS.write(
        job.out, [SabotagedBuild(name=s.name, probe=s.probe, target=s.target, what=s.what) for s in SABOTAGES]
    )


def _as_it_is(job: Job, build: Build) -> Iterator[Observation]:
    tree = commands()
    for number, (name, probe) in enumerate(PROBES.items()):
        job.progress(f"ask {name} of {len(tree)} commands", number, len(PROBES))
        yield from _rows("", name, probe(build, tree))


def _sabotaged(job: Job, place: Path) -> Iterator[Observation]:
    for number, each in enumerate(SABOTAGES):
        job.progress(f"sabotaged build {each.name}", number, len(SABOTAGES))
        build = Build(place, job.scratch / "calls", each.name, each.planted())
        yield from _rows(each.name, each.probe, PROBES[each.probe](build, _asked(each)))


def _asked(sabotage: Sabotage) -> Sequence[Command]:
    return [each for each in commands() if sabotage.asked in ("", each.name)]


def _rows(build: str, probe: str, seen: Iterator[Seen]) -> Iterator[Observation]:
    for each in seen:
        found = readable(each.found)[:_SHOWN]
        yield Observation.model_validate(
            {"build": build, "probe": probe, "subject": readable(each.subject), "state": each.state, "found": found}
        )
