"""What two versions of the specifications ask for: terms and bars that came, went, or ask for less."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from refute.outcome import Direction
from refute.report.diff.difference import BarDifference, TermDifference
from refute.spec.bars.compare import (
    compare_dates,
    compare_excuses,
    compare_openness,
    compare_run_classes,
    compare_severities,
    compare_thresholds,
)
from refute.spec.bars.decide import required_class
from refute.spec.bars.text import ThresholdText
from refute.spec.criteria import Criterion, FalsifierUse

# What cannot be compared is not called as strict as it was.
_WEAKER = (Direction.LOOSER, Direction.CHANGED)
Criteria = Mapping[str, Criterion]


def compare_terms(old: Criteria, new: Criteria) -> Iterator[TermDifference]:
    """Terms that differ, of criteria that are on both sides."""
    for name in sorted(old.keys() & new.keys()):
        before, after = old[name], new[name]
        yield from _criterion_terms(name, before, after)
        uses, uses_now = _uses(before), _uses(after)
        for use in sorted(uses.keys() | uses_now.keys()):
            where = f"{name}, {use}"
            if use not in uses_now:
                yield TermDifference(where, "falsifier", _what(uses[use]), None, weaker=True)
            elif use not in uses:
                yield TermDifference(where, "falsifier", None, _what(uses_now[use]), weaker=False)
            else:
                yield from _use_terms(where, before, uses[use], after, uses_now[use])


def compare_all_bars(old: Criteria, new: Criteria) -> Iterator[BarDifference]:
    """Every bar of a falsifier that is on both sides, the same ones too."""
    for name in sorted(old.keys() & new.keys()):
        uses, uses_now = _uses(old[name]), _uses(new[name])
        for use in sorted(uses.keys() & uses_now.keys()):
            before, after = uses[use].thresholds, uses_now[use].thresholds
            for measurement in sorted(before.keys() | after.keys()):
                yield _bar(name, use, measurement, before.get(measurement), after.get(measurement))


def bar_text(text: ThresholdText) -> str:
    """A threshold in words, the same for every spelling of its numbers."""
    return str(text)


def _bar(
    criterion: str, falsifier: str, measurement: str, old: ThresholdText | None, new: ThresholdText | None
) -> BarDifference:
    texts = [None if each is None else bar_text(each) for each in (old, new)]
    if old is not None and new is not None:
        return BarDifference(criterion, falsifier, measurement, texts[0], texts[1], compare_thresholds(old, new))
    return BarDifference(criterion, falsifier, measurement, texts[0], texts[1], "removed" if new is None else "added")


def _criterion_terms(name: str, old: Criterion, new: Criterion) -> Iterator[TermDifference]:
    lighter = compare_severities(old.severity, new.severity) in _WEAKER
    excuses, excuses_now = old.not_applicable_when, new.not_applicable_when
    wider = compare_excuses(excuses, excuses_now) in _WEAKER
    weaker = compare_openness(old.inconclusive, new.inconclusive) in _WEAKER
    later = compare_dates(old.effective_on, new.effective_on) in _WEAKER
    yield from _differing(
        name,
        (
            ("severity", old.severity.value, new.severity.value, lighter),
            ("statement", old.statement, new.statement, False),
            ("not_applicable_when", _json(excuses), _json(excuses_now), wider),
            ("effective_on", old.effective_on or "always", new.effective_on or "always", later),
            ("inconclusive", old.inconclusive, new.inconclusive, weaker),
        ),
    )


def _use_terms(
    where: str, old: Criterion, use: FalsifierUse, new: Criterion, use_now: FalsifierUse
) -> Iterator[TermDifference]:
    required, required_now = required_class(old, use), required_class(new, use_now)
    lower = compare_run_classes(required, required_now) in _WEAKER
    planned = use.planned is None and use_now.planned is not None
    yield from _differing(
        where,
        (
            ("falsifier", _what(use), _what(use_now), planned),
            ("requires_run_class", required.value, required_now.value, lower),
            ("with", _json(use.parameters), _json(use_now.parameters), False),
            ("timeout_s", f"{use.timeout_s:g}", f"{use_now.timeout_s:g}", False),
        ),
    )


def _differing(where: str, terms: Iterable[tuple[str, str, str, bool]]) -> Iterator[TermDifference]:
    yield from (TermDifference(where, term, old, new, weaker) for term, old, new, weaker in terms if old != new)


def _uses(criterion: Criterion) -> dict[str, FalsifierUse]:
    return {use.id: use for use in criterion.falsifiers}


def _what(use: FalsifierUse) -> str:
    return use.uses if use.uses is not None else f"planned: {use.planned}"


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
