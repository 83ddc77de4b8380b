"""The sequential test keeps its error rate, counted out path by path, and its interval covers the truth."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import cache

import pytest
from scipy.optimize import brentq
from scipy.stats import binom, hypergeom

from refute import stats
from refute.spec.bars import sequential
from refute.spec.bars.sequential import Design, Look, Spending, every, spent


def name(design: Design) -> str:
    """A short id."""
    return f"{design.bar:g}-{design.spending}-{len(design.looks)}-of-{design.looks[-1]}"


SPENDINGS: tuple[Spending, ...] = ("obrien_fleming", "pocock")
SMALL = [
    Design(bar, error_rate, spending, looks)
    for bar, error_rate, looks in (
        (15.0, 0.05, every(2, 11)),
        (50.0, 0.2, every(1, 11)),
        (80.0, 0.1, (3, 4, 10, 11)),
    )
    for spending in SPENDINGS
]
LARGE = [
    Design(bar, 0.05, spending, every(step, 164)) for spending in SPENDINGS for bar in (15.0, 25.0) for step in (1, 8)
]
End = tuple[Look, int]


@cache
def ends(design: Design) -> Counter[tuple[End, int]]:
    """How many ways through all problems end at each end, by the passes that all problems would have had."""
    return Counter(
        (next(end_of(path, look) for look in design.boundaries() if ended(path, look)), sum(path))
        for path in itertools.product((False, True), repeat=design.looks[-1])
    )


def end_of(path: Sequence[bool], look: Look) -> End:
    """A look and the passes by then."""
    return look, sum(path[: look.n])


def ended(path: Sequence[bool], look: Look) -> bool:
    """Whether the run that this path belongs to is over by this look."""
    return look.decides(sum(path[: look.n])) or look.n == len(path)


def chances(design: Design, share: Fraction) -> dict[End, Fraction]:
    """The exact probability of each end."""
    found: dict[End, Fraction] = {}
    for (end, passed), ways in ends(design).items():
        chance = ways * share**passed * (1 - share) ** (design.looks[-1] - passed)
        found[end] = found.get(end, Fraction(0)) + chance
    return found


Step = Callable[[int, int, int, int], float]


def exits(looks: Sequence[Look], step: Step) -> list[tuple[float, float]]:
    """Chances of stopping below and above at each look; `step` gives that of `more` passes among the next `size`."""
    alive, before, found = {0: 1.0}, 0, []
    for look in looks:
        size = look.n - before
        after: dict[int, float] = {}
        for count, weight in alive.items():
            for more in range(size + 1):
                after[count + more] = after.get(count + more, 0.0) + weight * step(before, count, size, more)
        below = math.fsum(weight for count, weight in after.items() if count <= look.stop_at_most)
        above = math.fsum(weight for count, weight in after.items() if count >= look.stop_at_least)
        alive = {count: weight for count, weight in after.items() if look.stop_at_most < count < look.stop_at_least}
        found.append((below, above))
        before = look.n
    return found


@pytest.mark.parametrize("design", SMALL, ids=name)
def test_the_error_rate_is_held_exactly(design: Design) -> None:
    """At a share exactly on the bar a decision is wrong: over all paths that happens no more often than stated."""
    found = chances(design, Fraction(str(design.bar)) / 100)
    side = Fraction(str(design.error_rate)) / 2
    assert sum(found.values()) == 1
    assert sum(weight for (look, passed), weight in found.items() if passed >= look.stop_at_least) <= side
    assert sum(weight for (look, passed), weight in found.items() if passed <= look.stop_at_most) <= side


@pytest.mark.parametrize("design", LARGE, ids=name)
def test_boundaries_spend_what_they_may_and_no_more(design: Design) -> None:
    """At 164 problems, by binomial steps: each side spends what it may by each look, and one count more would not."""
    chance, looks, side = design.bar / 100, design.boundaries(), design.error_rate / 2
    pmf = [[float(binom.pmf(more, size, chance)) for more in range(size + 1)] for size in range(design.looks[0] + 1)]
    step: Step = lambda _n, _count, size, more: pmf[size][more]  # noqa: E731
    found = exits(looks, step)
    for number, look in enumerate(looks, start=1):
        allowed = spent(design.spending, side, look.n / design.looks[-1])
        below, above = (math.fsum(each[way] for each in found[:number]) for way in (0, 1))
        assert max(below, above) <= allowed * (1 + 1e-9)
        wider = Look(look.n, look.stop_at_most + 1, look.stop_at_least - 1)
        more = exits((*looks[: number - 1], wider), step)
        assert min(math.fsum(each[way] for each in more) for way in (0, 1)) > allowed * (1 - 1e-9)


@pytest.mark.parametrize("solved", [24, 25])
def test_it_holds_for_the_very_problems_of_the_file_too(solved: int) -> None:
    """24 of 164 problems are below 15 % and 25 above: drawn without replacement, a wrong call is as rare as stated."""
    design = Design(15.0, 0.05, "pocock", every(8, 164))

    def step(n: int, count: int, size: int, more: int) -> float:
        return float(hypergeom.pmf(more, 164 - n, solved - count, size)) if count <= solved else 0.0

    found = exits(design.boundaries(), step)
    wrong = math.fsum(above if solved == 24 else below for below, above in found)
    assert 0 < wrong <= 0.025


@pytest.mark.parametrize("design", SMALL, ids=name)
def test_the_interval_covers_every_share(design: Design) -> None:
    """Whatever the true share is, the intervals at the ends that a run can reach hold it as often as they say."""
    intervals = {end: design.interval(end[1], end[0].n) for end, _ in ends(design)}
    for share in (Fraction(number, 20) for number in range(21)):
        covered = sum(
            weight
            for end, weight in chances(design, share).items()
            if intervals[end].low <= 100 * share + 1e-9 and 100 * share - 1e-9 <= intervals[end].high
        )
        assert covered >= 1 - Fraction(str(design.error_rate)), share


@pytest.mark.parametrize("design", SMALL, ids=name)
def test_the_interval_excludes_the_bar_exactly_if_a_boundary_stopped_the_run(design: Design) -> None:
    """So the outcome against the bar is the one that the run was stopped for; no run ends anywhere else."""
    reachable = {end for end, _ in ends(design)}
    for look in design.boundaries():
        for passed in range(look.n + 1):
            if (look, passed) not in reachable:
                with pytest.raises(ValueError, match=r"stopped before|not over"):
                    design.interval(passed, look.n)
                continue
            found = design.interval(passed, look.n)
            assert found.low <= 100 * passed / look.n <= found.high
            assert (found.low > design.bar) == (passed >= look.stop_at_least)
            assert (found.high < design.bar) == (passed <= look.stop_at_most)


def test_a_single_look_is_the_fixed_sample() -> None:
    """With one look there is nothing to correct for: the interval is Clopper and Pearson's."""
    for passed in (0, 7, 164):
        found, fixed = Design(15.0, 0.05, "pocock", (164,)).interval(passed, 164), stats.exact_interval(passed, 164)
        assert (found.low, found.high) == pytest.approx((fixed.low, fixed.high), abs=1e-8)


def test_spending_functions_have_their_published_values() -> None:
    """0.00153 and 0.01550 of 0.025 at half of the information, nothing at none, everything at the end."""
    assert spent("obrien_fleming", 0.025, 0.5) == pytest.approx(0.00153, abs=5e-6)
    assert spent("pocock", 0.025, 0.5) == pytest.approx(0.01550, abs=5e-6)
    for spending in SPENDINGS:
        rising = [spent(spending, 0.025, share / 100) for share in range(1, 101)]
        assert rising == sorted(rising)
        assert rising[-1] == 0.025
        assert spent(spending, 0.025, 1e-9) == pytest.approx(0, abs=1e-9)


def test_a_hopeless_and_a_clear_model_cost_a_fraction() -> None:
    """Of 164 problems, 32 of which none is solved end it, and 8 that are all solved."""
    design = Design(15.0, 0.05, "pocock", every(8, 164))
    assert design.stop([False] * 32).n == 32
    assert design.stop([True] * 8).n == 8


def test_a_run_ends_where_it_is_decided_and_nowhere_else() -> None:
    """Too few problems, or more than it took, are no measurement; the last look always ends it."""
    design = Design(15.0, 0.05, "pocock", every(8, 164))
    assert design.stop([True] * 8).n == 8
    assert design.stop(([True] + [False] * 6) * 23 + [False] * 3).n == 164
    for outcomes, message in (([False] * 31, "neither decided nor all 164"), ([True] * 9, "decided after 8.*yet 9")):
        with pytest.raises(ValueError, match=message):
            design.stop(outcomes)
    for passed, n, message in (
        (0, 31, "looks after 8, 16"),
        (1, 32, "within the boundaries"),
        (9, 8, "9 of 8"),
        (32, 32, "stopped before"),
    ):
        with pytest.raises(ValueError, match=message):
            design.interval(passed, n)


def test_the_method_says_how_early_it_ended() -> None:
    """A reader of the interval learns the rule, the look and how much was left out."""
    share, found = stats.sequential_share(
        [False] * 32, bar=15.0, error_rate=0.05, spending="pocock", looks=every(8, 164)
    )
    assert (share, found.level) == (0.0, 0.95)
    assert found.method == "sequential, Lan-DeMets pocock against 15 %, ended at look 4 of 21, 32 of 164 problems"


@pytest.mark.parametrize(
    ("bar", "error_rate", "looks", "message"),
    [
        (0.0, 0.05, (8,), "between 0 and 100"),
        (100.0, 0.05, (8,), "between 0 and 100"),
        (float("nan"), 0.05, (8,), "between 0 and 100"),
        (15.0, 0.0, (8,), "error rate"),
        (15.0, 0.5, (8,), "error rate"),
        (15.0, 0.05, (), "rising"),
        (15.0, 0.05, (8, 8), "rising"),
        (15.0, 0.05, (0, 8), "rising"),
    ],
)
def test_a_design_without_sense_is_refused(bar: float, error_rate: float, looks: tuple[int, ...], message: str) -> None:
    """Bars that no share can miss, error rates of a coin, looks that do not rise."""
    with pytest.raises(ValueError, match=message):
        Design(bar, error_rate, "pocock", looks)


def test_the_ends_of_an_interval_are_those_of_another_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    """scipy's, over the same probabilities; none of them takes many steps."""
    taken: list[int] = []

    def compare(function: Callable[[float], float], positive: float, negative: float) -> float:
        steps: list[float] = []

        def counted(share: float) -> float:
            steps.append(share)
            return function(share)

        found = root(counted, positive, negative)
        assert found == pytest.approx(brentq(function, 0.0, 1.0, xtol=1e-13), abs=1e-12)
        taken.append(len(steps))
        return found

    root = sequential._root
    monkeypatch.setattr(sequential, "_root", compare)
    design = Design(25.0, 0.05, "pocock", (5, 12, 20))
    for passed in range(21):
        with suppress(ValueError):  # no end of the test
            design.interval(passed, 20)
    assert len(taken) > 8
    assert max(taken) <= 40
