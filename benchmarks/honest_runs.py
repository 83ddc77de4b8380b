"""Honest runs on the fire drill's small world, each another world and seed, and which falsifiers accuse one: none must.

python benchmarks/honest_runs.py [--worlds 5] [--folder FOLDER]

Of each world four runs: with one thread, with two, with two ranks, and killed once and resumed in both trainings. All
falsifiers of SPEC-DISTILL-001 are asked, under its bars, but those that ask for more than a small world has, and those
that measure how good the student is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from measure import machine

from refute.check.drill.experiment import import_all
from refute.check.drill.fate import Watch
from refute.check.drill.line import Line, make_all, small_release
from refute.evidence.plan import plan_release
from refute.falsifier.loading import load_registry
from refute.job import Fact, Job
from refute.outcome import Measurement
from refute.spec.criteria import load_spec, uses_of
from refute.spec.experiments.evidence_files import TRAININGS
from refute.spec.release import Release

SPEC: Final = Path(__file__).parents[1] / "specs" / "distill-001.yaml"
# Steps, words and problems that no small world has.
LARGER: Final = ("F-DISTILL-CONTAMINATION-001", "F-DISTILL-KD-001", "F-DISTILL-SMOKE-001", "F-EVAL-COMPLETE-001")
KINDS: Final[Mapping[str, Mapping[str, int]]] = {
    "one thread": {},
    "two threads": {"threads": 2},
    "two ranks": {"processes": 2},
    "killed and resumed": {},
}
KILLED_AT: Final = 17
LIMIT_S: Final = 900.0


def train_killed_once(job: Job) -> None:
    """The training, of which a first attempt dies in the middle of its steps; experiments find it by its name."""
    # Here, for whoever forks must not have begun torch's threads.
    from refute.engines.distill.experiments.train import train

    attempt = os.fork()
    if attempt == 0:
        train(replace(job, report=_die_after_some_steps))
        os._exit(1)
    _, status = os.waitpid(attempt, 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise SystemExit(f"the first attempt ended with {status}, expected a kill after step {KILLED_AT}")
    train(job)


def _die_after_some_steps(stage: str, step: int, _total: int, _facts: Mapping[str, Fact]) -> None:
    if stage == "distil" and step == KILLED_AT:
        os.kill(os.getpid(), signal.SIGKILL)


def watches_over(line: Line) -> list[Watch]:
    """Who is asked about the runs of a line."""
    registry = load_registry([])
    uses = [use for use in uses_of([load_spec(SPEC).spec]) if use.uses and use.id not in LARGER]
    found = [Watch(use, registry[use.uses or ""]) for use in uses]
    return [each for each in found if each.falsifier.needs and line.plan.keys() >= set(each.falsifier.needs)]


def line_of(world: Line, kind: str, folder: Path, number: int) -> Line:
    """The plan of a run of this kind over a world, in `folder`, which is made."""
    content = small_release(world.folder / "world").model_dump(mode="json")
    content["distillation"] |= KINDS[kind]
    content["distillation"]["training"]["seed"] = number
    plan = plan_release(Release.model_validate_json(json.dumps(content)), world.folder / "world")
    if kind == "killed and resumed":
        plan = {**plan, **{name: replace(plan[name], entry="honest_runs:train_killed_once") for name in TRAININGS}}
    folder.mkdir()
    return Line(plan, folder, world.seed, LIMIT_S)


def accusations(line: Line) -> Iterator[tuple[str, str, tuple[Measurement, ...]]]:
    """Of everybody who was asked about an honest run: the use, why it refuses the run, and what it measured."""
    watches = watches_over(line)
    honest = make_all(line, line.folder / "honest", [need for each in watches for need in each.falsifier.needs])
    for watch in watches:
        seen = watch.look(honest)
        if all(each.interval is None for each in seen.measurements):
            yield watch.use.id, seen.reason if seen.refuses else "", seen.measurements


def cpu_s() -> float:
    """Processor time of this process and its children so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """One line a run, and what came nearest to its bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="keeps what the runs wrote")
    chosen = parser.parse_args()
    print(machine("cpu"))
    import_all()
    with tempfile.TemporaryDirectory(prefix="refute-honest-") as folder:
        _run_all(chosen.folder or Path(folder), chosen.worlds)


def _run_all(folder: Path, worlds: int) -> None:
    accused, furthest = 0, dict[str, float]()
    for number in range(1, worlds + 1):
        seed = hashlib.sha256(b"%d" % number).hexdigest()[:32]
        world = Line.over_a_small_world(folder / f"world-{number}", seed, LIMIT_S)
        for kind in KINDS:
            began, spent = time.monotonic(), cpu_s()
            found = list(accusations(line_of(world, kind, world.folder / kind.replace(" ", "-"), number)))
            against = {use: reason for use, reason, _ in found if reason}
            accused += bool(against)
            _widen(furthest, found)
            took = f"{cpu_s() - spent:.0f} CPU s, {time.monotonic() - began:.0f} s"
            print(f"world {number}, {kind}: {len(found)} asked, accused by {against or 'nobody'}; {took}", flush=True)
    print(f"accused: {accused} of {worlds * len(KINDS)}")
    for name, value in sorted(furthest.items()):
        print(f"{name}: at most {value:.3g}")


def _widen(furthest: dict[str, float], found: list[tuple[str, str, tuple[Measurement, ...]]]) -> None:
    """The largest value so far of whatever rounding may move."""
    for use, _, measurements in found:
        for each in measurements:
            if each.unit in ("relative", "nat/token", "cosine", "logit") and each.value:
                name = f"{use} {each.name}"
                furthest[name] = max(each.value, furthest.get(name, 0.0))


if __name__ == "__main__":
    main()
