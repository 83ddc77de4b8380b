"""Mutants: the engine is changed for everyone while the `with` lasts, and not a moment longer."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from refute import stats
from refute.check.contracts.rewrite import Rewrite
from refute.engines.distill.data.batch_order import BatchOrder, epoch_order
from refute.errors import MutationError
from refute.evidence.reach import module_file
from refute.judge.verdict import CriterionRuling
from refute.outcome import Outcome, worst

BEST = Rewrite("refute.outcome:worst", {"max(outcomes": "min(outcomes"})
BOTH = [Outcome.CORROBORATED, Outcome.FALSIFIED]


def test_whoever_imported_the_function_runs_the_changed_one() -> None:
    """The name bound in this file long before is changed, and is itself again afterwards."""
    assert worst(BOTH) is Outcome.FALSIFIED
    with BEST():
        assert worst(BOTH) is Outcome.CORROBORATED
    assert worst(BOTH) is Outcome.FALSIFIED


@pytest.mark.parametrize("error", [AssertionError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_behind_by_an_exception(error: type[BaseException]) -> None:
    """Whatever ends the block, the code object is the one from before."""
    before = worst.__code__
    with contextlib.suppress(error), BEST():
        raise error
    assert worst.__code__ is before


def test_methods_properties_and_caches_are_reached() -> None:
    """A method, a property and a cached function; the cache forgets what either version said."""
    order = BatchOrder(20, 20, seed=3)
    kept = order.batch(0)
    with Rewrite("refute.engines.distill.data.batch_order:epoch_order", {"{seed}/": ""})():
        assert order.batch(0) != kept
    assert order.batch(0) == kept
    assert epoch_order(20, 3, 0) == tuple(kept)
    with Rewrite("refute.engines.distill.data.batch_order:BatchOrder.batch", {"range(step": "range(1 + step"})():
        assert order.batch(0)[:19] == kept[1:]
    ruling = CriterionRuling("S", "AC", "t", "block", 1, Outcome.SKIPPED, False, ())  # type: ignore[arg-type]
    with Rewrite("refute.judge.verdict:CriterionRuling.corroborated", {"Outcome.CORROBORATED": "Outcome.SKIPPED"})():
        assert ruling.holds
    assert not ruling.holds


def test_mutants_nest() -> None:
    """Of one function and of several: the inner one ends first."""
    with BEST(), Rewrite("refute.stats:mcnemar_p", {"return 1.0": "return 0.0"})():
        assert (stats.mcnemar_p(0, 0), worst(BOTH)) == (0.0, Outcome.CORROBORATED)
    assert (stats.mcnemar_p(0, 0), worst(BOTH)) == (1.0, Outcome.FALSIFIED)


@pytest.mark.parametrize(
    ("target", "edits", "message"),
    [
        ("refute.nothing:worst", {"max": "min"}, "there is no module refute.nothing"),
        ("refute.outcome:best", {"max": "min"}, "best is defined 0 times"),
        ("refute.outcome:Outcome", {"max": "min"}, "refute.outcome:Outcome is no function"),
        ("refute.outcome:worst", {"maximum": "min"}, "'maximum' occurs 0 times, expected once"),
        ("refute.outcome:worst", {"outcomes": "x"}, r"'outcomes' occurs \d+ times, expected once"),
        ("refute.outcome:worst", {"max": "max"}, "'max' changes nothing"),
        ("refute.outcome:worst", {"max(outcomes": "max(outcomes ("}, "is not Python"),
    ],
)
def test_a_mutant_that_does_not_fit_says_so(target: str, edits: dict[str, str], message: str) -> None:
    """An engine that has changed since is noticed before it is imported, and is left alone."""
    with pytest.raises(MutationError, match=message):
        Rewrite(target, edits).code()
    with pytest.raises(MutationError, match=message), Rewrite(target, edits)():
        pass


def test_a_function_is_found_without_importing_its_package() -> None:
    """The file of a nested module, and None for packages without one, built-in modules and nonsense."""
    found = module_file("refute.engines.distill.loss.kernel")
    assert found == Path(stats.__file__).parent / "engines/distill/loss/kernel.py"
    assert [module_file(name) for name in ("sys", "math", "no.such.module", "refute.distill.nothing")] == [None] * 4
