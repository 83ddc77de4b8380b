"""The small world, its line without a sabotage, and the evidence of every sabotage that this session asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from refute.evidence.laboratory import Laboratory
from refute.evidence.process.environment import EXTRA_PATH
from refute.outcome import Record
from sabotage import matrix
from sabotage.catalogue import load_catalogue
from sabotage.line import Line

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "tests" / "assets"


@pytest.fixture(scope="session")
def reaching() -> Iterator[None]:
    """Experiments' processes find the sabotages, as they find any engine: on their path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(EXTRA_PATH, str(ASSETS))
        yield


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory, reaching: None) -> Line:
    """A world and an empty store."""
    return matrix.build_line(tmp_path_factory.mktemp("line"))


@pytest.fixture(scope="session")
def untouched(line: Line) -> Mapping[str, Record]:
    """What every falsifier says when nothing is sabotaged."""
    return matrix.untouched_records(line)


@pytest.fixture(scope="session")
def laboratories(
    request: pytest.FixtureRequest, line: Line, untouched: Mapping[str, Record]
) -> Mapping[str, Laboratory]:
    """Of each sabotage that this session asks for, with its evidence."""
    asked = {_parameters(item).get("sabotage") for item in request.session.items}
    return matrix.laboratories(line, [each for _, each in load_catalogue().sabotages() if each.name in asked])


def _parameters(item: object) -> Mapping[str, object]:
    found = getattr(item, "callspec", None)
    return {} if found is None else found.params
