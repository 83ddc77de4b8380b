"""What bars can decide at their number of observations is what the judge decides of each outcome."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refute.check.power import SAMPLES, Reach, SampledReach, reach_of
from refute.spec.criteria import FalsifierUse, load_spec, uses_of

if TYPE_CHECKING:
    from tests.conftest import Cli

SPECS = Path(__file__).parents[2] / "specs"
USES = {use.id: use for use in uses_of([load_spec(SPECS / "distill-001.yaml").spec])}


def reach(use: FalsifierUse, n: int | None = None) -> Reach:
    """Of the one bar that has such an interval."""
    (found,) = reach_of(use, n)
    assert isinstance(found, Reach)
    return found


@pytest.mark.parametrize(
    ("use", "needed", "refuted", "shown_at", "refuted_at"),
    [("F-HUMANEVAL-V2-001", 34, 15, 23.2, 7.7), ("F-HUMANEVAL-V2-002", 52, 30, 34.5, 16.2)],
)
def test_the_shipped_bars_decide_as_the_specs_say(
    use: str, needed: int, refuted: int, shown_at: float, refuted_at: float
) -> None:
    """Of 164 problems: so many show the bar, at most so many refute it; true values at which four of five runs do."""
    found = reach(USES[use])
    assert (found.corroborated[0], found.corroborated[-1]) == (needed, 164)
    assert (found.falsified[0], found.falsified[-1]) == (0, refuted)
    assert found.shown_at == pytest.approx(shown_at, abs=0.15)
    assert found.refuted_at == pytest.approx(refuted_at, abs=0.15)
    assert f"corroborated by {needed} to 164" in found.sentence()


def test_more_observations_leave_less_open() -> None:
    """As a share of all."""
    few, many = (reach(USES["F-HUMANEVAL-V2-001"], n) for n in (164, 1319))
    assert many.corroborated[0] / 1319 < few.corroborated[0] / 164
    assert many.falsified[-1] / 1319 > few.falsified[-1] / 164


def test_more_samples_a_problem_leave_less_open_and_one_is_as_good_as_a_single_answer() -> None:
    """As Wilson's interval of single passes says it; what lies open shrinks with each sample, ever more slowly."""
    use = FalsifierUse.model_validate(
        {
            "id": "F-X",
            "uses": "humaneval-pass-at-k",
            "thresholds": {"pass_at_k": {"holds_if": ">= 15 %"}},
        }
    )
    (found,) = reach_of(use, 164)
    assert isinstance(found, SampledReach)
    single = reach(USES["F-HUMANEVAL-V2-001"], 164)
    assert found.shown_at[1] == pytest.approx(single.shown_at, abs=1.0)
    assert found.refuted_at[1] == pytest.approx(single.refuted_at, abs=1.0)
    still_open = [(found.shown_at[each] or 100.0) - (found.refuted_at[each] or 0.0) for each in SAMPLES]
    gained = [before - after for before, after in itertools.pairwise(still_open)]
    assert all(gain >= 0 for gain in gained)
    assert gained[0] > gained[-1]
    assert "8 a problem: a true" in found.sentence()
    assert list(reach_of(use.model_copy(update={"parameters": {"k": 2}}), 164)) == []


def test_a_bar_that_nothing_clears_is_said_to_be_one() -> None:
    """Ten problems never show that all are solved."""
    use = FalsifierUse.model_validate(
        {"id": "F-X", "uses": "benchmark-share", "thresholds": {"share": {"holds_if": ">= 99 %"}}}
    )
    found = reach(use, 10)
    assert (found.corroborated, found.shown_at) == ((), None)
    assert "corroborated by none" in found.sentence()


def test_the_command_says_it(cli: Cli) -> None:
    """For people and for programs; a spec without such a bar is refused."""
    said = cli("power", str(SPECS / "distill-001.yaml"))
    assert "F-HUMANEVAL-V2-001 pass_at_1 >= 15 %: of 164, corroborated by 34 to 164" in said.stdout
    found = json.loads(cli("power", str(SPECS / "distill-001.yaml"), "--json").stdout)
    assert {bar["use"] for bar in found["bars"]} >= {"F-HUMANEVAL-V2-001", "F-HUMANEVAL-V2-002"}
    refused = [cli("power", str(SPECS / "publish-001.yaml"), *more) for more in ((), ("--json",))]
    assert [each.returncode for each in refused] == [2, 2]
    assert json.loads(refused[1].stdout)["status"] == 2
