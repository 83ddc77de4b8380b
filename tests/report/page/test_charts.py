"""Figures must show the numbers of the predicate, in the same bytes each time, without relying on colour."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from refute.judge.predicate.exhibits import Curve, Grid
from refute.judge.predicate.model import Predicate
from refute.report.page.axis import axis_for
from refute.report.page.charts import figures
from refute.report.page.grid import cells, grid_rows


def _parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314  # written by the code under test


def _points(svg: str) -> list[list[tuple[float, float]]]:
    lines = _parsed(svg).iter("polyline")
    return [[(float(x), float(y)) for x, y in (p.split(",") for p in line.attrib["points"].split())] for line in lines]


def _curve(values: tuple[float, ...], name: str = "a", unit: str = "nat") -> Curve:
    return Curve(chart="Loss", name=name, unit=unit, steps=tuple(range(len(values))), values=values)


def test_figures_group_by_chart_and_unit(predicate: Predicate) -> None:
    """Curves of one chart and unit share a figure; another unit never shares an axis."""
    found = figures([*predicate.exhibits.curves, _curve((1.0, 2.0), unit="bit")])
    assert [(item.title, item.unit, len(item.curves)) for item in found] == [
        ("Held-out loss", "nat/token", 2),
        ("Training loss", "nat/token", 3),
        ("Loss", "bit", 1),
    ]


def test_figures_place_higher_values_higher() -> None:
    """On the page, a rising series rises and its steps go right."""
    (line,) = _points(figures([_curve((1.0, 2.0, 3.0))])[0].svg)
    assert [x for x, _ in line] == sorted(x for x, _ in line)
    assert [y for _, y in line] == sorted((y for _, y in line), reverse=True)


def test_figures_use_a_logarithmic_axis_only_for_wide_positive_values() -> None:
    """A factor of 20 is shown logarithmically and said so; a zero forbids it."""
    assert figures([_curve((1.0, 100.0))])[0].note == "Logarithmic axis."
    assert figures([_curve((1.0, 3.0))])[0].note == ""
    assert figures([_curve((0.0, 100.0))])[0].note == ""


def test_figures_tell_lines_apart_by_style_and_name(predicate: Predicate) -> None:
    """Each line has a dash style of its own and its name and last value beside it."""
    svg = figures(predicate.exhibits.curves)[1].svg
    texts = [item.text for item in _parsed(svg).iter("text")]
    assert {"total", "CE", "KL"} <= set(texts)
    assert all(f"line s{index}" in svg for index in range(3))


def test_figures_keep_the_spike_of_a_long_series() -> None:
    """Thinning 20,000 points keeps the single highest one, both ends, and stays small."""
    values = [2.0 - step / 20_000 for step in range(20_000)]
    values[12_345] = 9.0
    figure = figures([_curve(tuple(values))])[0]
    (line,) = _points(figure.svg)
    top = axis_for(values, 274, 14).place(9.0)
    assert len(line) <= 400
    assert min(y for _, y in line) == pytest.approx(top, abs=0.06)
    assert "highs and lows are kept" in figure.note


def test_figures_skip_series_without_points_and_draw_one_point() -> None:
    """Nothing to draw is no figure; a single point is a dot, not an invisible line."""
    assert figures([_curve(())]) == ()
    assert "<circle" in figures([_curve((2.5,))])[0].svg


@pytest.mark.parametrize("values", [(5.0, 5.0), (0.0, 0.0), (-3.0, 7.0), (1e-9, 2e-9), (1e12, 3e12), (0.01, 4000.0)])
def test_axis_holds_every_value_and_tick(values: tuple[float, ...]) -> None:
    """All values and ticks land inside the drawing, and there are ticks to read."""
    axis = axis_for(values, 0.0, 100.0, may_be_log=True)
    places = [axis.place(value) for value in (*values, *axis.ticks)]
    assert all(math.isfinite(place) and -1e-6 <= place <= 100 + 1e-6 for place in places)
    assert len(axis.ticks) >= 2


def test_grid_has_a_cell_for_each_problem_that_tells_every_outcome(predicate: Predicate) -> None:
    """164 problems of 3 models; each label names problem, models and recorded outcomes."""
    found = cells(predicate.exhibits.grids)
    teacher = predicate.exhibits.grids[0]
    assert [cell.problem for cell in found] == list(teacher.problems)
    assert [cell.outcomes[0] for cell in found] == list(teacher.outcomes)
    assert found[23].label.startswith("HumanEval/23: teacher passed, init failed, ")
    assert found[23].letters == "+.+"


def test_grid_leaves_a_gap_where_a_model_was_not_given_a_problem() -> None:
    """Models are compared by problem id, not by position."""
    first = Grid(name="a", problems=("p", "q"), outcomes=("passed", "failed"))
    second = Grid(name="b", problems=("q",), outcomes=("passed",))
    assert [row.letters for row in grid_rows([first, second])] == ["+.", " +"]
    assert [cell.letters for cell in cells([first, second])] == ["+ ", ".+"]
    assert [cell.label for cell in cells([first, second])] == ["p: a passed", "q: a failed, b passed"]


def test_grid_of_nothing_is_empty() -> None:
    """Without problems there is no cell."""
    assert cells([]) == ()
