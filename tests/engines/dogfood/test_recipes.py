"""The tables by which refute asks itself are of the command tree as it is."""

from __future__ import annotations

from importlib import import_module

import pytest

from refute.engines.dogfood.builds import SABOTAGES, Sabotage
from refute.engines.dogfood.command_tree import commands
from refute.engines.dogfood.experiment import PROBES
from refute.engines.dogfood.recipes import BESIDE, CALLS, UNSEEN, UNTRIED, VALUES

TREE = {each.name: each for each in commands()}
OPTIONS = {f"{name} {option.name}" for name, each in TREE.items() for option in each.options}


def test_every_command_has_a_call() -> None:
    """And no call is of a command that there is not."""
    assert sorted(CALLS) == sorted(TREE)


@pytest.mark.parametrize("table", [BESIDE, UNTRIED, VALUES, dict.fromkeys(UNSEEN)])
def test_every_option_of_a_table_is_there(table: dict[str, object]) -> None:
    """Under its command, or under any."""
    assert [each for each in table if not any(name.endswith(f" {each}") or name == each for name in OPTIONS)] == []


def test_every_probe_has_a_sabotaged_build_to_notice() -> None:
    """Without one nothing shows that it can fail."""
    assert {each.probe for each in SABOTAGES} == PROBES.keys()


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda each: each.name)
def test_a_sabotage_is_planted_where_something_is(sabotage: Sabotage) -> None:
    """At a function that there is, for a command that there is."""
    module, _, name = sabotage.target.partition(":")
    assert callable(getattr(import_module(module), name))
    assert sabotage.asked in ("", *TREE)
