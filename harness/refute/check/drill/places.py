"""Where and how engines may go wrong: every hand-over between two of their parts, each kind of fault, and when.

This is a generator and no list of known sabotages: a fault is a place, a kind and a stretch of time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from refute.spec.experiments import evidence_files as names
from refute.spec.experiments.drill import Fault, Kind

STEPS: Final = 24
EVERY: Final = 6
MICRO_BATCHES: Final = 2
_NEVER: Final = 1 << 30
# What is made again of any run: its first steps and its last, and some between.
_SEEN: Final = 2

_ALL: Final[tuple[Kind, ...]] = ("drop", "delay", "repeat", "scale", "swap", "starve", "invent")
_ONCE: Final[tuple[Kind, ...]] = ("drop", "scale", "swap", "starve", "invent")
_NUMBERS: Final[tuple[Kind, ...]] = ("drop", "delay", "repeat", "scale", "invent")
_TEXTS: Final[tuple[Kind, ...]] = ("drop", "repeat", "scale", "starve", "leak", "invent")
_VERDICTS: Final[tuple[Kind, ...]] = ("drop", "swap", "starve", "leak", "invent")

_STUDENT: Final = (names.STUDENT,)
_DISTILL: Final = "refute.engines.distill"
_HUMANEVAL: Final = "refute.engines.humaneval"


@dataclass(frozen=True, slots=True)
class Place:
    """A hand-over: its name, the function where it happens, what is carried, kinds of faults, whose experiments.

    In training `a_step` hand-overs are made in a step, after `before` others; where it is 0 there is no time to choose.
    """

    name: str
    target: str
    carries: str
    kinds: tuple[Kind, ...]
    experiments: tuple[str, ...]
    a_step: int = 0
    before: int = 0


@dataclass(frozen=True, slots=True)
class Drill:
    """One fault for a drill: at `place`, of `kind`, `when`, in the process of `experiment`."""

    place: str
    kind: Kind
    when: str
    experiment: str
    fault: Fault


PLACES: Final = (
    Place("teacher to loss", f"{_DISTILL}.teacher.loaded:Teacher.answer", "teacher", _ALL, _STUDENT, MICRO_BATCHES, 1),
    Place(
        "batch to step",
        f"{_DISTILL}.training.step:StepModule.forward",
        "batch",
        ("drop", "delay", "repeat", "swap", "starve", "invent"),
        names.TRAININGS,
        MICRO_BATCHES,
    ),
    Place(
        "labels to step",
        f"{_DISTILL}.training.step:StepModule.forward",
        "labels",
        ("delay", "repeat", "swap", "starve", "invent"),
        names.TRAININGS,
        MICRO_BATCHES,
    ),
    Place(
        "settings to loss",
        f"{_DISTILL}.training.step:kd_loss",
        "loss settings",
        ("scale", "swap", "drop"),
        _STUDENT,
        MICRO_BATCHES,
    ),
    Place("divergence to loss", f"{_DISTILL}.training.step:kd_loss", "divergence", ("swap",), _STUDENT, MICRO_BATCHES),
    Place(
        "loss to backward",
        f"{_DISTILL}.training.step:kd_loss",
        "loss",
        ("drop", "scale", "starve"),
        names.TRAININGS,
        MICRO_BATCHES,
    ),
    Place(
        "loss to gradient",
        f"{_DISTILL}.training.step:kd_loss",
        "loss gradient",
        ("drop", "scale", "starve"),
        names.TRAININGS,
        MICRO_BATCHES,
    ),
    Place("gradient to optimizer", "torch.optim:AdamW.step", "gradients", _ALL, names.TRAININGS, 1),
    Place("optimizer to weights", "torch.optim:AdamW.step", "movement", _ALL, names.TRAININGS, 1),
    Place("moments to optimizer", "torch.optim:AdamW.step", "moments", _ALL, names.TRAININGS, 1),
    Place(
        "schedule to optimizer", f"{_DISTILL}.training.trainer:set_learning_rate", "rate", _NUMBERS, names.TRAININGS, 1
    ),
    Place("rate to step", "torch.optim:AdamW.step", "hidden rate", _NUMBERS, names.TRAININGS, 1),
    Place("init to trainer", f"{_DISTILL}.training.build:load_model", "weights", _ONCE, names.TRAININGS),
    Place(
        "trainer to saved weights", f"{_DISTILL}.training.results:load_weights", "saved weights", _ONCE, names.TRAININGS
    ),
    Place("scores to log", f"{_DISTILL}.training.trainer:score_windows", "scores", _ALL, names.TRAININGS),
    Place(
        "step to log",
        f"{_DISTILL}.training.trainer:Trainer._training_step",
        "metrics",
        ("delay", "repeat", "scale", "invent"),
        names.TRAININGS,
        1,
    ),
    Place(
        "step to trace",
        f"{_DISTILL}.training.trace:Trace._entries_of",
        "tensor",
        ("drop", "scale", "swap", "invent"),
        names.TRAININGS,
        3,
        3,
    ),
    Place(
        "teacher to scores",
        f"{_DISTILL}.training.evaluate:HeldoutTeacher.logits",
        "tensor",
        ("drop", "repeat", "scale", "swap", "starve", "invent"),
        names.TRAININGS,
    ),
    Place(
        "layers to init",
        f"{_DISTILL}.experiments.init:keep_layers",
        "weights",
        ("scale", "swap", "starve", "invent"),
        (names.INIT,),
    ),
    Place("losses to choice of layers", f"{_DISTILL}.experiments.init:mean_loss", "number", _NUMBERS, (names.INIT,)),
    Place(
        "files to windows",
        f"{_DISTILL}.data.corpus:Split.tensor",
        "windows",
        ("swap", "starve", "leak", "invent"),
        (names.CORPUS,),
    ),
    Place(
        "teacher to provider",
        f"{_DISTILL}.teacher.loaded:Teacher.logits",
        "tensor",
        ("drop", "scale", "swap", "starve", "invent"),
        (names.TEACHER_PROBE,),
    ),
    Place(
        "loss to certificate", f"{_DISTILL}.experiments.teacher:kd_loss", "loss", ("drop", "scale"), (names.KD_MATH,)
    ),
    Place(
        "model to answers",
        f"{_HUMANEVAL}.backends.local.transformers_backend:load_model",
        "answering weights",
        _ONCE,
        names.EVALUATIONS,
    ),
    Place(
        "problem to prompt", f"{_HUMANEVAL}.backends.local.generate:build_prompt", "prompt", _TEXTS, names.EVALUATIONS
    ),
    Place(
        "answers to samples",
        f"{_HUMANEVAL}.backends.local.transformers_backend:_TransformersBackend.generate",
        "answers",
        ("drop", "scale", "swap", "starve", "leak", "invent"),
        names.EVALUATIONS,
    ),
    Place("samples to executor", f"{_HUMANEVAL}.experiments.evaluate:assemble", "program", _TEXTS, names.EVALUATIONS),
    Place("executor to verdicts", f"{_HUMANEVAL}.experiments.evaluate:score", "verdicts", _VERDICTS, names.EVALUATIONS),
    Place(
        "verdicts to results",
        f"{_HUMANEVAL}.experiments.evaluate:_with_failures",
        "verdicts",
        _VERDICTS,
        names.EVALUATIONS,
    ),
)


def all_faults() -> Iterator[Drill]:
    """Every fault that a drill may draw, in a fixed order."""
    for place in PLACES:
        for kind in place.kinds:
            for when, begins, ends in _stretches(place):
                for experiment in place.experiments:
                    fault = Fault(target=place.target, carries=place.carries, kind=kind, begins=begins, ends=ends)
                    yield Drill(place.name, kind, when, experiment, fault)


def _stretches(place: Place) -> list[tuple[str, int, int]]:
    """From the first step on, from the middle on, and while nobody is sure to look: between first and last steps."""
    if not place.a_step:
        return [("always", 0, _NEVER)]
    steps = (("always", 0, _NEVER), ("late", STEPS // 2, _NEVER), ("look away", _SEEN, STEPS - _SEEN))
    return [
        (when, place.before + begins * place.a_step, place.before + ends * place.a_step) for when, begins, ends in steps
    ]


def drawn(seed: str) -> Iterator[Drill]:
    """Every fault once, in an order that `seed` draws: place by place in turn, so that few reach many places."""
    chance = random.Random(seed)  # noqa: S311  # the seed is drawn where it matters, this only spreads it
    by_place: dict[str, list[Drill]] = {}
    for each in all_faults():
        by_place.setdefault(each.place, []).append(each)
    for faults in by_place.values():
        chance.shuffle(faults)
    while left := [name for name, those in by_place.items() if those]:
        chance.shuffle(left)
        yield from (by_place[name].pop() for name in left)
