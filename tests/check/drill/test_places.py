"""The generator of faults: places that are there, every fault once, few of them in many places."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from itertools import islice

import pytest

from refute.check.drill.places import PLACES, STEPS, Place, all_faults, drawn
from refute.engines.drill.hand_overs import HAND_OVERS
from refute.evidence.planned.distillation import ROWS


@pytest.mark.parametrize("place", PLACES, ids=[place.name for place in PLACES])
def test_a_place_is_there(place: Place) -> None:
    """The function, how what it hands over is taken apart, and the experiments in whose processes it runs."""
    module, _, path = place.target.partition(":")
    owner: object = import_module(module)
    for name in path.split("."):
        owner = getattr(owner, name)
    assert callable(owner)
    assert place.carries in HAND_OVERS
    assert set(place.experiments) <= {row.name for row in ROWS}


def test_no_two_faults_are_one() -> None:
    """Place, kind, time and process: by that a row says which one it was."""
    faults = list(all_faults())
    assert len({(each.place, each.kind, each.when, each.experiment) for each in faults}) == len(faults) > 500


def test_every_hand_over_is_used() -> None:
    """What takes something apart that no place hands over is code for nobody."""
    assert {place.carries for place in PLACES} == set(HAND_OVERS)


def test_a_seed_draws_every_fault_once_and_soon_from_every_place() -> None:
    """Another seed, another order."""
    first, again, other = (list(drawn(seed)) for seed in ("one", "one", "other"))
    assert first == again != other
    assert Counter(each.fault.model_dump_json() + each.experiment for each in first) == Counter(
        each.fault.model_dump_json() + each.experiment for each in all_faults()
    )
    assert len({each.place for each in islice(drawn("any"), len(PLACES))}) == len(PLACES)


def test_who_looks_away_looks_at_the_first_and_at_the_last_steps() -> None:
    """In hand-overs of the place: so many before training begins, so many in each step."""
    (place,) = [place for place in PLACES if place.name == "teacher to loss"]
    faults = {each.when: each.fault for each in all_faults() if each.place == place.name and each.kind == "drop"}
    assert {when: fault.begins for when, fault in faults.items()} == {"always": 1, "late": STEPS + 1, "look away": 5}
    assert faults["look away"].ends == place.before + (STEPS - 2) * place.a_step
