"""The contracts of this repository: every property holds on the engines, and fails on each of its mutants."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from refute.check.contracts.check import Checked, opened_contracts
from refute.check.contracts.model import contract_files, load_contract
from refute.check.contracts.run import run_properties

pytestmark = pytest.mark.exhaustive

FOLDER = Path(__file__).parents[2] / "contracts"
IDS = [attack.id for path in contract_files(FOLDER) for attack in load_contract(path).contract.properties]


@pytest.fixture(scope="module")
def checked() -> Iterator[Checked]:
    """All of them, importable while this module's tests run."""
    with opened_contracts([FOLDER]) as found:
        yield found


def test_every_contract_is_in_order(checked: Checked) -> None:
    """Files are well-formed, ids are unique, and everything that is named is there."""
    assert list(map(str, checked.problems)) == []
    assert len(checked.executables) == len(IDS) == len(set(IDS))


@pytest.mark.parametrize("identifier", IDS)
def test_property_holds_and_its_mutants_are_killed(checked: Checked, identifier: str) -> None:
    """Each mutant makes the property fail by an assertion, and then the engine, as it is, satisfies it."""
    (executable,) = [each for each in checked.executables if each.attack.id == identifier]
    (attempt,) = run_properties([executable])
    assert "\n".join(map(str, attempt.problems)) == ""
