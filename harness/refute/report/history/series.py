"""Measurements over the verdicts of one release, oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from refute.judge.predicate.model import Predicate
from refute.report.page.readings import Reading, readings_of, uses_in

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """A verdict that verified, and the digest of its payload, by which pages name it."""

    predicate: Predicate
    payload_sha256: str


@dataclass(frozen=True, slots=True)
class Series:
    """One measurement of a criterion: `points` are (number of the verdict in its release, reading), oldest first."""

    criterion: str
    falsifier: str
    name: str
    points: tuple[tuple[int, Reading], ...]

    @property
    def moved(self) -> bool:
        """Whether any two verdicts measured different values."""
        return len({reading.measurement.value for _, reading in self.points}) > 1


@dataclass(frozen=True, slots=True)
class ReleaseHistory:
    """The verdicts on one release, oldest first, and its measurements in the order of the newest specification."""

    release: str
    entries: tuple[Entry, ...]
    series: tuple[Series, ...]


def histories(entries: Iterable[Entry]) -> tuple[ReleaseHistory, ...]:
    """One history a release, the one that was judged last first; of copies of a verdict one counts."""
    by_release: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        by_release.setdefault(entry.predicate.release.id, {})[entry.payload_sha256] = entry
    found = [_history(release, sorted(each.values(), key=_age)) for release, each in by_release.items()]
    return tuple(sorted(found, key=lambda each: _age(each.entries[-1]), reverse=True))


def _age(entry: Entry) -> tuple[str, str]:
    return entry.predicate.evaluated_at, entry.payload_sha256


def _history(release: str, entries: Sequence[Entry]) -> ReleaseHistory:
    points: dict[Key, list[tuple[int, Reading]]] = {}
    for number, entry in reversed(list(enumerate(entries))):
        uses = uses_in(entry.predicate)  # once: it parses the specifications
        for record in entry.predicate.records:
            for reading in readings_of([record], uses):
                key = (record.criterion, record.falsifier, reading.measurement.name)
                points.setdefault(key, []).append((number, reading))
    series = tuple(Series(*key, tuple(reversed(found))) for key, found in points.items())
    return ReleaseHistory(release, tuple(entries), series)
