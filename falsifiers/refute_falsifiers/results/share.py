"""An absolute bar on any benchmark, and on each of its categories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_open, known_unusable
from refute_falsifiers.results._figures import Figure, by_category, share, spanning, worst
from refute_falsifiers.results._items import NEED, PARAMETERS, allowed_errors, put, rows_of, run_of, side

_ITEMS = 400
_SOLVED = (200, 400, 0, *range(20, 400, 20))
Scores = list[float | None]


def _passes(solved: int, lost: int = 0) -> Scores:
    """So many of all items solved, spread evenly; the last ones without a score."""
    scores: Scores = [float((n + 1) * solved // _ITEMS - n * solved // _ITEMS) for n in range(_ITEMS)]
    return [*scores[: _ITEMS - lost], *[None] * lost]


def _readings(scores: Scores) -> tuple[list[float], list[float]]:
    """Those without a score as failed, and as passed."""
    low, high = ([lost if each is None else each for each in scores] for lost in (0.0, 1.0))
    return low, high


@cache
def _shares(solved: int, lost: int, clustered: bool) -> tuple[Measurement, ...]:
    """What is measured of so many solved: the same for all controls, whose bars alone differ."""
    documents = [str(n // 4) for n in range(_ITEMS)] if clustered else None
    value, interval = spanning(*(share(each, documents) for each in _readings(_passes(solved, lost))))
    return (Measurement("share", value, "%", n=_ITEMS, interval=interval),)


def _scored(bench: Bench, *, lost: int = 0, failing: Sequence[str] = (), unsure: Sequence[str] = ()) -> None:
    """Rows whose share is on the side of its bar that is wanted."""
    clustered = "cluster" in bench.parameters
    solved = bench.choose(_SOLVED, lambda each: _shares(each, lost, clustered), failing=failing, unsure=unsure)
    put(bench, rows_of(_passes(solved, lost)), run_of())


def enough_solved(bench: Bench) -> None:
    """Half of the items, or as many as the bar wants."""
    _scored(bench)


def too_few_solved(bench: Bench) -> None:
    """None of the items, or what else the bar refuses."""
    _scored(bench, failing=["share"])


def too_close_to_tell(bench: Bench) -> None:
    """A share whose interval reaches over the bar."""
    _scored(bench, unsure=["share"])


def enough_besides_errors(bench: Bench) -> None:
    """As many answers without a score as may have none, and enough of the others, whatever those were."""
    _scored(bench, lost=allowed_errors(bench, _ITEMS))


def one_error_too_many(bench: Bench) -> None:
    """One answer more has no score than may have none."""
    put(bench, rows_of(_passes(200, allowed_errors(bench, _ITEMS) + 1)), run_of())


def another_benchmark_alone(bench: Bench) -> None:
    """The release has results, and not of this benchmark."""
    put(bench, [])


def a_score_that_is_no_share(bench: Bench) -> None:
    """Points from 0 to 100."""
    put(bench, rows_of([50.0] * 8), run_of())


def a_score_below_zero(bench: Bench) -> None:
    """A loss, or a penalty."""
    put(bench, rows_of([-1.0] * 8), run_of())


_CONTROLS = (
    known_good(enough_solved),
    known_good(enough_besides_errors),
    known_bad(too_few_solved),
    known_open(too_close_to_tell),
    known_unusable(one_error_too_many, raises=ValueError),
    known_unusable(another_benchmark_alone, raises=ValueError),
    known_unusable(a_score_that_is_no_share, raises=ValueError),
    known_unusable(a_score_below_zero, raises=ValueError),
)


@falsifier("benchmark-share", needs=(NEED,), measures={"share": "%"}, parameters=PARAMETERS, controls=_CONTROLS)
def benchmark_share(context: Context) -> Iterator[Measurement]:
    """Refuted when the student's share on `benchmark` does not clear the bar, with all of its interval.

    The bar may be a floor, or a ceiling such as that of refusals.
    """
    found = side(context, "student")
    value, interval = spanning(*(share(list(each.values())) for each in (found.low, found.high)))
    yield Measurement("share", value, "%", n=len(found.rows), interval=interval)


@falsifier(
    "benchmark-share-clustered",
    needs=(NEED,),
    measures={"share": "%"},
    parameters={**PARAMETERS, "cluster": "document"},
    controls=_CONTROLS,
)
def benchmark_share_clustered(context: Context) -> Iterator[Measurement]:
    """As `benchmark-share`, where items that have the field `cluster` in common, such as a document, are alike."""
    found = side(context, "student")
    alike = found.values(str(context.parameters["cluster"]))
    value, interval = spanning(*(share(list(each.values()), alike) for each in (found.low, found.high)))
    yield Measurement("share", value, "%", n=len(found.rows), interval=interval)


def _worst(found: Mapping[str, Sequence[float]]) -> Figure:
    return worst(lambda name, level: share(found[name], level=level), list(found))


def _by_turns(solved: int, odd: int) -> Scores:
    """Of the even items a share, and of the odd ones `odd` in a hundred of as many."""
    even, weak = (_passes(share_of)[: _ITEMS // 2] for share_of in (solved, solved * odd // 100))
    return [(even if n % 2 == 0 else weak)[n // 2] for n in range(_ITEMS)]


@cache
def _slices(solved: int, odd: int) -> tuple[Measurement, ...]:
    categories = ["even" if n % 2 == 0 else "odd" for n in range(_ITEMS)]
    readings = _readings(_by_turns(solved, odd))
    low, high = (by_category({str(n): value for n, value in enumerate(each)}, categories) for each in readings)
    value, interval = spanning(_worst(low), _worst(high))
    return (Measurement("worst_share", value, "%", n=_ITEMS, interval=interval),)


def _put_sliced(bench: Bench, *, odd: int = 100, failing: Sequence[str] = (), unsure: Sequence[str] = ()) -> None:
    """Both categories solved alike, or the odd one less, on the side of the bar that is wanted."""
    solved = bench.choose(_SOLVED, lambda each: _slices(each, odd), failing=failing, unsure=unsure)
    put(bench, rows_of(_by_turns(solved, odd)), run_of())


def every_category_solved(bench: Bench) -> None:
    """Both categories alike."""
    _put_sliced(bench)


def one_category_lost(bench: Bench) -> None:
    """What is solved on the whole is solved in one category."""
    _put_sliced(bench, odd=0, failing=["worst_share"])


def one_category_in_doubt(bench: Bench) -> None:
    """The lower of the two reaches over the bar."""
    _put_sliced(bench, odd=90, unsure=["worst_share"])


def items_without_a_category(bench: Bench) -> None:
    """Nobody says what they are."""
    put(bench, [{**row, "fields": {}} for row in rows_of(_passes(400))], run_of())


@falsifier(
    "benchmark-slices",
    needs=(NEED,),
    measures={"worst_share": "%"},
    parameters={**PARAMETERS, "by": "category"},
    controls=(
        known_good(every_category_solved),
        known_bad(one_category_lost),
        known_open(one_category_in_doubt),
        known_unusable(items_without_a_category, raises=ValueError),
        known_unusable(another_benchmark_alone, raises=ValueError),
    ),
)
def benchmark_slices(context: Context) -> Iterator[Measurement]:
    """Refuted when the student's share in the weakest category, by the field `by`, does not clear the bar.

    Each category has an interval of its own; that one of them fails by chance is allowed for as Holm does.
    """
    found = side(context, "student")
    categories = found.values(str(context.parameters["by"]))
    low, high = (by_category(each, categories) for each in (found.low, found.high))
    names = list(low)
    value, interval = spanning(
        worst(lambda name, level: share(low[name], level=level), names),
        worst(lambda name, level: share(high[name], level=level), names),
    )
    yield Measurement("worst_share", value, "%", n=min(map(len, low.values())), interval=interval)
