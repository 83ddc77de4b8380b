"""The small world, its line without a sabotage, and the evidence of every sabotage that this session asks for."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest

from refute.laboratory import Laboratory
from refute.loading import load_registry
from refute.outcome import Record
from refute.workers import Workers
from sabotage.catalogue import Sabotage, load_catalogue
from sabotage.line import Line

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "tests" / "assets"
_AT_ONCE = 2


@pytest.fixture(scope="session")
def reaching() -> Iterator[None]:
    """Experiments' processes find the sabotages, as they find any engine: on their path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ASSETS), *filter(None, [os.environ.get("PYTHONPATH")])]))
        for module in ("scipy.stats", "safetensors.numpy"):  # once, and not in the fork of every control
            importlib.import_module(module)
        yield


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory, reaching: None) -> Line:
    """A world and an empty store."""
    folder = tmp_path_factory.mktemp("line")
    subprocess.run([sys.executable, "-m", "sabotage.world", "world"], cwd=folder, check=True, capture_output=True)
    return Line.over(folder / "world" / "release.yaml", ROOT / "specs" / "distill-001.yaml", load_registry([]), folder)


@pytest.fixture(scope="session")
def untouched(line: Line) -> Mapping[str, Record]:
    """What every falsifier says when nothing is sabotaged."""
    laboratory = line.laboratory()
    return {falsifier: line.record(falsifier, laboratory) for falsifier in line.uses()}


@pytest.fixture(scope="session")
def laboratories(
    request: pytest.FixtureRequest, line: Line, untouched: Mapping[str, Record]
) -> Mapping[str, Laboratory]:
    """Of each sabotage that this session asks for, with its evidence, which two at a time have made.

    Falsifiers run later: a process with threads must not fork.
    """
    asked = {_parameters(item).get("sabotage") for item in request.session.items}
    hands: SimpleQueue[Workers] = SimpleQueue()
    for _ in range(_AT_ONCE):
        hands.put(Workers())

    def prepare(sabotage: Sabotage) -> Laboratory:
        workers = hands.get()
        try:
            return line.under(sabotage).prepare(sabotage, workers)
        finally:
            hands.put(workers)

    wanted = [each for _, each in load_catalogue().sabotages() if each.name in asked]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip([each.name for each in wanted], pool.map(prepare, wanted), strict=True))


def _parameters(item: object) -> Mapping[str, object]:
    found = getattr(item, "callspec", None)
    return {} if found is None else found.params
