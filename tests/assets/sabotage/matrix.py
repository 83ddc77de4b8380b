"""python -m sabotage.matrix: every sabotage against the falsifiers of the shipped specification, one JSON row each.

Evidence is made for the falsifier that the catalogue names; every other one that this evidence, or what no sabotage
touched, is enough for is asked as well. A sabotage that all of those let stand is put to the rest, whatever it costs.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from refute.check.controls.sabotage import EngineFate
from refute.evidence.key import key_of
from refute.evidence.laboratory import Laboratory
from refute.evidence.process.engine_process import Workers
from refute.evidence.process.environment import EXTRA_PATH
from refute.falsifier.loading import load_registry
from refute.outcome import Outcome, Record
from sabotage.catalogue import Failure, Sabotage, load_catalogue
from sabotage.line import Line, is_refusal

ASSETS = Path(__file__).parents[1]
SPEC = ASSETS.parents[1] / "specs" / "distill-001.yaml"
_AT_ONCE = 2


def build_line(folder: Path) -> Line:
    """A small world and an empty store in `folder`."""
    for module in ("scipy.special", "safetensors.numpy"):  # once, and not in the fork of every control
        importlib.import_module(module)
    command = [sys.executable, str(Path(__file__).with_name("world.py")), "world"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return Line.over(folder / "world" / "release.yaml", SPEC, load_registry([]), folder)


def untouched_records(line: Line) -> dict[str, Record]:
    """What every falsifier says when nothing is sabotaged."""
    laboratory = line.laboratory()
    return {falsifier: line.record(falsifier, laboratory) for falsifier in line.uses()}


def laboratories(line: Line, wanted: Sequence[Sabotage]) -> dict[str, Laboratory]:
    """Of each sabotage by name, with the evidence for the falsifier it names, which two at a time have made.

    Falsifiers run later: a process with threads must not fork.
    """
    hands: SimpleQueue[Workers] = SimpleQueue()
    for _ in range(_AT_ONCE):
        hands.put(Workers())

    def prepare(sabotage: Sabotage) -> Laboratory:
        workers = hands.get()
        try:
            return line.under(sabotage).prepare(sabotage, workers)
        finally:
            hands.put(workers)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip([each.name for each in wanted], pool.map(prepare, wanted), strict=True))


def fate_of(
    line: Line, untouched: Mapping[str, Record], failure: Failure, sabotage: Sabotage, laboratory: Laboratory
) -> EngineFate:
    """Which falsifiers refuse the line under `sabotage`, and which let it stand or were not asked."""
    under, there = line.under(sabotage), _recorded(laboratory)
    # What sees the same evidence under the same bar answers as it did.
    touched = [
        name
        for name, record in untouched.items()
        if name in sabotage.bars or any(there[need] != digest for need, digest in record.evidence)
    ]
    needs = {name: line.registry[use.uses or ""].needs for name, (_, use) in line.uses().items()}
    # What failed for the named one fails at once, and what is there costs nothing.
    cheap = {*needs[sabotage.falsifier], *(name for name, digest in there.items() if digest is not None)}
    asked = [name for name in touched if cheap.issuperset(needs[name])]
    outcomes = {name: under.record(name, laboratory).outcome for name in asked}
    if not any(map(is_refusal, outcomes.values())):
        outcomes |= {name: under.record(name, laboratory).outcome for name in touched if name not in outcomes}
    return EngineFate(
        sabotage=sabotage.name,
        failure=failure.id,
        named=sabotage.falsifier,
        killed_by=tuple(name for name, outcome in outcomes.items() if is_refusal(outcome)),
        let_stand=tuple(name for name, outcome in outcomes.items() if not is_refusal(outcome)),
        untried=tuple(name for name in touched if name not in outcomes),
    )


def matrix(folder: Path, tell: Callable[[str, int, int], None]) -> Iterator[EngineFate]:
    """The fate of every sabotage of the catalogue. Raises AssertionError where the untouched line is not let stand."""
    line = build_line(folder)
    untouched = untouched_records(line)
    applicable = {name: each for name, each in untouched.items() if each.outcome is not Outcome.NOT_APPLICABLE}
    if wrong := [name for name, each in applicable.items() if each.outcome is not Outcome.CORROBORATED]:
        raise AssertionError(f"the untouched line does not stand: {', '.join(wrong)}")
    listed = load_catalogue().sabotages()
    made = laboratories(line, [sabotage for _, sabotage in listed])
    for done, (failure, sabotage) in enumerate(listed, start=1):
        yield fate_of(line, applicable, failure, sabotage, made[sabotage.name])
        tell(sabotage.name, done, len(listed))


def _recorded(laboratory: Laboratory) -> dict[str, str | None]:
    """The digest of each evidence that lies in the store already."""
    found: dict[str, str | None] = {}

    def look(name: str) -> str | None:
        if name not in found:
            needs = {need: look(need) for need in laboratory.plan[name].needs}
            there = {need: digest for need, digest in needs.items() if digest is not None}
            key = key_of(laboratory.plan[name], there)
            found[name] = laboratory.store.recorded(key) if len(there) == len(needs) else None
        return found[name]

    for name in laboratory.plan:
        look(name)
    return found


def _tell(name: str, done: int, total: int) -> None:
    sys.stderr.write(f"{done}/{total} {name}\n")


def main() -> None:
    """Write a row to standard output as soon as its fate is known."""
    # Experiments' processes find the sabotages as they find any engine: on their path.
    os.environ[EXTRA_PATH] = str(ASSETS)
    with tempfile.TemporaryDirectory(prefix="refute-sabotage-") as folder:
        for fate in matrix(Path(folder), _tell):
            sys.stdout.write(fate.model_dump_json() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
