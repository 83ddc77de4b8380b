"""Where two sets of specifications differ, criterion by criterion and bar by bar, and which demands more. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from refute.lock.model import LockedSpec, Promise
from refute.outcome import Change, Direction
from refute.spec.bars.compare import (
    compare_dates,
    compare_excuses,
    compare_openness,
    compare_run_classes,
    compare_severities,
    compare_thresholds,
    compare_timeouts,
)
from refute.spec.bars.text import ThresholdText
from refute.spec.criteria import Criterion, FalsifierUse

Value = TypeVar("Value")
Homed = tuple[str, Criterion]
ABSENT, RETIRED = "nothing", "retired"


def _prose(old: object, new: object) -> Direction:
    """Words for people: whatever they say, nothing is demanded by them."""
    return Direction.NEUTRAL


# How the values of a field compare. A field that is not named here, today or in a later version, is `changed`.
_RULES: Mapping[str, Callable[[Any, Any], Direction]] = {
    "title": _prose,
    "source": _prose,
    "phase": _prose,
    "severity": compare_severities,
    "requires_run_class": compare_run_classes,
    "not_applicable_when": compare_excuses,
    "effective_on": compare_dates,
    "inconclusive": compare_openness,
    "timeout_s": compare_timeouts,
}


def spec_changes(old: Promise, new: Promise) -> Iterator[Change]:
    """Everything in which the specs of `new` differ from those of `old`; each change names the spec that it is in."""
    former, found = ({each.content.spec: each for each in promise.specs} for promise in (old, new))
    for name, before, after in pairs(former, found):
        if before is None or after is None:
            direction = Direction.TIGHTER if before is None else Direction.LOOSER
            yield Change(f"specification {name}", _version(before), _version(after), direction)
        else:
            yield from _text_changes(name, before, after)
            apart = ("spec", "version", "criteria", "retired")
            yield from _field_changes(name, before.content, after.content, name, apart)
    retired = {gone.id for each in new.specs for gone in each.content.retired}
    for name, one, other in pairs(_criteria(old), _criteria(new)):
        if one is None or other is None:
            yield from _gone_or_new(name, _described(one), _described(other), (one or other or ("",))[0], retired)
        else:
            yield from _criterion_changes(one, other, retired)


def _version(spec: LockedSpec | None) -> str:
    return ABSENT if spec is None else f"version {spec.content.version}, {spec.sha256}"


def _text_changes(name: str, before: LockedSpec, after: LockedSpec) -> Iterator[Change]:
    old, new = before.content.version, after.content.version
    if old != new:
        # A version that goes back would let an older promise stand in for a newer one.
        direction = Direction.NEUTRAL if new > old else Direction.LOOSER
        yield Change(f"{name} version", str(old), str(new), direction, name)
    kept = {gone.id for gone in after.content.retired}
    for gone in before.content.retired:
        if gone.id not in kept:  # it could come back with another meaning, as if it were new
            yield Change(gone.id, RETIRED, ABSENT, Direction.LOOSER, name)
    if before.sha256 != after.sha256:
        yield Change(f"{name} text", before.sha256, after.sha256, Direction.NEUTRAL)


def _criteria(promise: Promise) -> dict[str, Homed]:
    return {
        criterion.id: (each.content.spec, criterion) for each in promise.specs for criterion in each.content.criteria
    }


def _described(homed: Homed | None) -> str:
    return ABSENT if homed is None else f"{homed[1].severity} criterion"


def _gone_or_new(name: str, old: str, new: str, spec: str, retired: set[str], place: str = "") -> Iterator[Change]:
    """One side is absent. What is gone demands less, unless the spec says that it is retired, and why."""
    place = f"{place} {name}".strip()
    if old == ABSENT:
        yield Change(place, old, new, Direction.TIGHTER, spec)
    elif name in retired:
        yield Change(place, old, RETIRED, Direction.CHANGED)
    else:
        yield Change(place, old, new, Direction.LOOSER, spec)


def _criterion_changes(before: Homed, after: Homed, retired: set[str]) -> Iterator[Change]:
    (home, old), (spec, new) = before, after
    if home != spec:
        yield Change(f"{new.id} specification", home, spec, Direction.CHANGED, spec)
    yield from _field_changes(new.id, old, new, spec, apart=("falsifiers",))
    uses, kept = ({use.id: use for use in criterion.falsifiers} for criterion in (old, new))
    for name, one, other in pairs(uses, kept):
        if one is None or other is None:
            yield from _gone_or_new(name, _named(one), _named(other), spec, retired, new.id)
        else:
            yield from _use_changes(f"{new.id} {name}", one, other, spec)


def _field_changes(place: str, old: BaseModel, new: BaseModel, spec: str, apart: tuple[str, ...]) -> Iterator[Change]:
    """Each field but those `apart`, by its rule."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    for name, one in before.items():
        if name not in apart and _canonical(one) != _canonical(after[name]):
            direction = _RULES.get(name, _unknown)(getattr(old, name), getattr(new, name))
            yield Change(f"{place} {name}", show(one), show(after[name]), direction, spec)


def _unknown(old: object, new: object) -> Direction:
    return Direction.CHANGED


def _named(use: FalsifierUse | None) -> str:
    return ABSENT if use is None else f"falsifier {use.uses}" if use.uses else f"planned: {use.planned}"


def _use_changes(place: str, old: FalsifierUse, new: FalsifierUse, spec: str) -> Iterator[Change]:
    if _named(old) != _named(new):
        # What was only planned and now runs promises more; its bars are compared below.
        begun = Direction.TIGHTER if old.uses is None and new.uses is not None else Direction.CHANGED
        yield Change(f"{place} uses", _named(old), _named(new), begun, spec)
    for name, one, other in pairs(old.parameters, new.parameters):
        if _canonical(one) != _canonical(other):
            yield Change(f"{place} with.{name}", show(one), show(other), Direction.CHANGED, spec)
    for name, bar, moved in pairs(old.thresholds, new.thresholds):
        if bar != moved:
            yield Change(f"{place} {name}", _bar(bar), _bar(moved), _bar_direction(bar, moved), spec)
    yield from _field_changes(place, old, new, spec, apart=("uses", "planned", "parameters", "thresholds"))


def _bar(text: ThresholdText | None) -> str:
    return ABSENT if text is None else str(text)


def _bar_direction(old: ThresholdText | None, new: ThresholdText | None) -> Direction:
    if old is None or new is None:
        return Direction.TIGHTER if old is None else Direction.LOOSER
    return compare_thresholds(old, new)


def pairs(old: Mapping[str, Value], new: Mapping[str, Value]) -> Iterator[tuple[str, Value | None, Value | None]]:
    """Each name of either side, sorted, with what both have under it."""
    for name in sorted({*old, *new}):
        yield name, old.get(name), new.get(name)


def show(value: object) -> str:
    """A value for people: text as it is, everything else as JSON."""
    if value is None:
        return ABSENT
    return value if isinstance(value, str) else _canonical(value)


def _canonical(value: object) -> str:
    """Equal for equal values; `1` and `1.0` are, for the canonical JSON of a lock writes them alike."""
    return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
