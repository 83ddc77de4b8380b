"""A difference as tables of text, the same for every rendering; tables without a row are left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from refute.outcome import Measurement
from refute.report.diff.difference import Change, Difference
from refute.report.wording import number

NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """A heading, the names of the columns, and rows of as many cells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def headline(difference: Difference) -> str:
    """One line: both rulings and how many regressions there are."""
    old, new = difference.old, difference.new
    found = len(difference.regressions)
    state = f"{found} regression{'s' if found != 1 else ''}" if found else "no regression"
    return f"{old.ruling} -> {new.ruling}: {state}"


def tables_of(difference: Difference) -> tuple[Table, ...]:
    """What differs, most important first. What is the same is only counted, in the table of outcomes."""
    return tuple(table for table in _tables(difference) if table.rows)


def _tables(difference: Difference) -> Iterator[Table]:
    yield _sides(difference)
    yield Table("Outcomes", ("Criterion", "Severity", "Before", "Now", "State"), tuple(_outcomes(difference)))
    yield Table(
        "Bars",
        ("Criterion", "Falsifier", "Measurement", "Before", "Now", "Direction"),
        tuple(
            (each.criterion, each.falsifier, each.measurement, _text(each.old), _text(each.new), each.direction)
            for each in difference.bars
            if each.direction != "neutral" or each.old != each.new
        ),
    )
    yield Table(
        "Terms",
        ("Where", "Term", "Before", "Now", "Asks for less"),
        tuple(
            (each.where, each.term, _text(each.old), _text(each.new), "yes" if each.weaker else "")
            for each in difference.terms
        ),
    )
    yield Table("Measurements", ("Falsifier", "Measurement", "Before", "Now", "Change", "Bar"), _metrics(difference))
    yield Table(
        "Waivers",
        ("Criterion", "Approver", "Expires", "Reason", "State"),
        tuple((each.criterion, each.approver, each.expires_at, each.reason, each.state) for each in difference.waivers),
    )
    yield Table("Specifications", ("Specification", "Version", "SHA-256", ""), tuple(_specs(difference)))
    yield _changes("Inputs", difference.inputs)
    yield _changes("Evidence", difference.evidence)
    yield _changes("Environment", difference.environment)


def _sides(difference: Difference) -> Table:
    rows = tuple(
        (name, str(side.ruling), side.release, side.evaluated_at, side.payload_sha256)
        for name, side in (("before", difference.old), ("now", difference.new))
    )
    return Table("Verdicts", ("", "Ruling", "Release", "Judged at", "Payload SHA-256"), rows)


def _outcomes(difference: Difference) -> Iterator[tuple[str, ...]]:
    order = ("regressed", "removed", "still failing", "added", "fixed", "unchanged")
    unchanged = 0
    for each in sorted(difference.criteria, key=lambda each: (order.index(each.state), each.criterion)):
        if each.state == "unchanged":
            unchanged += 1
        else:
            yield each.criterion, each.severity.value, _text(each.old), _text(each.new), each.state
    if unchanged:
        yield f"{unchanged} more", "", "", "", "unchanged"


def _metrics(difference: Difference) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            each.falsifier,
            each.measurement,
            _reading(each.old),
            _reading(each.new),
            NOTHING if each.delta is None else f"{'+' if each.delta > 0 else ''}{number(each.delta)}",
            _text(each.bar),
        )
        for each in difference.metrics
        if each.old != each.new
    )


def _reading(measured: Measurement | None) -> str:
    if measured is None:
        return NOTHING
    interval = measured.interval
    between = f" [{number(interval.low)}, {number(interval.high)}]" if interval is not None else ""
    return f"{number(measured.value)} {measured.unit}{between}, n = {measured.n}"


def _specs(difference: Difference) -> Iterator[tuple[str, ...]]:
    for each in difference.specs:
        if each.old_sha256 == each.new_sha256:
            yield each.spec, str(each.new_version), str(each.new_sha256), "same"
        else:
            versions, digests = (
                " -> ".join(NOTHING if side is None else str(side) for side in pair)
                for pair in ((each.old_version, each.new_version), (each.old_sha256, each.new_sha256))
            )
            state = "changed, same version" if each.old_version == each.new_version else "changed"
            yield each.spec, versions, digests, state


def _changes(title: str, changes: Iterable[Change]) -> Table:
    return Table(
        title, ("What", "Before", "Now"), tuple((each.name, _text(each.old), _text(each.new)) for each in changes)
    )


def _text(text: str | None) -> str:
    return NOTHING if text is None else text
