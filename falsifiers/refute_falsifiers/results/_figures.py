"""Shares and differences over items, each with the interval that such data have."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from refute import Interval, stats

Figure = tuple[float, Interval]


def share(values: Sequence[float], clusters: Sequence[str] | None = None, *, level: float = stats.LEVEL) -> Figure:
    """Mean of shares, one an item, in percent.

    Exact for items that pass or fail; over items where there are several answers to each. Where items of one cluster
    are alike, over clusters, and never narrower than without; exact over clusters where all came to the same.
    """
    n, whole = len(values), int(math.fsum(values))
    if clusters is not None and len(set(values)) == 1 and values[0] in (0.0, 1.0):
        n, whole = len(set(clusters)), int(values[0]) * len(set(clusters))
    elif clusters is not None:
        return spanning(_percent(stats.clustered_mean(values, clusters, level=level), 0.0), share(values, level=level))
    if set(values) <= {0.0, 1.0}:
        return 100 * whole / n, stats.exact_interval(whole, n, level=level)
    return stats.mean_share(values, level=level)


def difference(
    new: Sequence[float], old: Sequence[float], clusters: Sequence[str] | None = None, *, level: float = stats.LEVEL
) -> Figure:
    """Mean of new minus old, paired by item, in percent points; over clusters as `share`."""
    pairs = list(zip(new, old, strict=True))
    differences = [x - y for x, y in pairs]
    if clusters is not None and len(set(differences)) == 1:
        return stats.mean_paired_difference([differences[0]] * len(set(clusters)), level=level)
    if clusters is not None:
        found = _percent(stats.clustered_mean(differences, clusters, level=level), -100.0)
        return spanning(found, difference(new, old, level=level))
    if {*new, *old} <= {0.0, 1.0}:
        kinds = ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0))
        both, gained, lost, neither = (pairs.count(kind) for kind in kinds)
        interval = stats.paired_difference(both, gained, lost, neither, level=level)
        return 100 * (gained - lost) / len(pairs), interval
    return stats.mean_paired_difference(differences, level=level)


def spanning(first: Figure, second: Figure) -> Figure:
    """One figure where answers without a score may be anything: from the worst that they can make it to the best."""
    (value, one), (_, other) = first, second
    low, high = min(one.low, other.low, value), max(one.high, other.high, value)
    return value, Interval(low, high, one.level, one.method)


def worst(figure: Callable[[str, float], Figure], categories: Sequence[str]) -> Figure:
    """The lowest `figure` of all `categories`, each of which is asked at a level.

    It lies above a bar where each category does, each by its own interval; and below it where one does by an interval
    that allows for there being several: the first step of Holm's test (1979, Scand. J. Stat. 6).
    """
    own = [figure(category, stats.LEVEL) for category in categories]
    stricter = [figure(category, 1 - (1 - stats.LEVEL) / len(categories)) for category in categories]
    value = min(value for value, _ in own)
    low, high = min(each.low for _, each in own), min(each.high for _, each in stricter)
    return value, Interval(low, max(high, value), stats.LEVEL, f"{own[0][1].method}, Holm over {len(categories)}")


def by_category(values: Mapping[str, float], categories: Sequence[str]) -> dict[str, list[float]]:
    """The values of each category, in the order of the items."""
    found = defaultdict[str, list[float]](list)
    for value, name in zip(values.values(), categories, strict=True):
        found[name].append(value)
    return found


def _percent(figure: Figure, least: float) -> Figure:
    mean, found = figure
    ends = max(least, 100 * found.low), min(100.0, 100 * found.high)
    return 100 * mean, Interval(*ends, found.level, found.method)
