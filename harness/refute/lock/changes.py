"""Where two promises differ, place by place, and which of the two demands more. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from refute.lock.model import Facts, LockedFalsifier, Promise
from refute.lock.spec_changes import ABSENT, RETIRED, pairs, show, spec_changes
from refute.outcome import Change, Direction
from refute.spec.criteria import attacks

_ORDER = (Direction.LOOSER, Direction.CHANGED, Direction.TIGHTER, Direction.NEUTRAL)


def changes(old: Promise, new: Promise) -> tuple[Change, ...]:
    """Everything in which `new` differs from `old`, the loosest first; nothing when both promise the same bytes."""
    found = (
        *spec_changes(old, new),
        *_release_changes(old, new),
        *_fact_changes(old.facts, new.facts, _users(old) | _users(new)),
        *_policy_changes(old, new),
    )
    return tuple(sorted(found, key=lambda change: _ORDER.index(change.direction)))


def relaxing(made: Sequence[Change]) -> tuple[Change, ...]:
    """Those changes of a demand that are not shown to be tighter, retired ids among them."""
    return tuple(
        change
        for change in made
        if change.direction in (Direction.LOOSER, Direction.CHANGED) and (change.spec or change.new == RETIRED)
    )


def loosened(old: Promise, new: Promise) -> tuple[Change, ...]:
    """The changes that a new lock may not make: of a demand, not shown to be tighter, under an old id and version.

    A control that is gone counts as one: with it goes what has shown the check able to fail.
    """
    former = {each.content.spec: each.content.version for each in old.specs}
    found = {each.content.spec: each.content.version for each in new.specs}
    raised = {name for name, version in found.items() if version > former.get(name, version)}
    return tuple(each for each in relaxing(changes(old, new)) if each.spec and each.spec not in raised)


def _release_changes(old: Promise, new: Promise) -> Iterator[Change]:
    before, after = (dict(_leaves(each.release.content.model_dump(mode="json"))) for each in (old, new))
    for name, one, other in pairs(before, after):
        if one != other:
            yield Change(f"release {name}", one or ABSENT, other or ABSENT, Direction.CHANGED)
    if old.release.sha256 != new.release.sha256:
        yield Change("release text", old.release.sha256, new.release.sha256, Direction.NEUTRAL)


def _leaves(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{place}.{key}" if place else str(key))
    else:
        yield place, show(value)


def _users(promise: Promise) -> dict[str, str]:
    """A spec that uses it, for each falsifier."""
    specs = (each.content for each in promise.specs)
    return {use.uses: spec.spec for spec, _, use in attacks(specs) if use.uses}


def _fact_changes(old: Facts, new: Facts, users: Mapping[str, str]) -> Iterator[Change]:
    if old.engine != new.engine:
        yield Change("engine code", old.engine, new.engine, Direction.CHANGED)
    for name, before, after in pairs(old.inputs, new.inputs):
        if before != after:
            yield Change(f"input {name}", before or ABSENT, after or ABSENT, Direction.CHANGED)
    for name, one, other in pairs(old.falsifiers, new.falsifiers):
        if one is None or other is None:
            yield Change(f"falsifier {name}", _code(one), _code(other), Direction.CHANGED)
        else:
            yield from _falsifier_changes(f"falsifier {name}", one, other, users.get(name, ""))


def _code(falsifier: LockedFalsifier | None) -> str:
    return ABSENT if falsifier is None else falsifier.file


def _falsifier_changes(place: str, old: LockedFalsifier, new: LockedFalsifier, spec: str) -> Iterator[Change]:
    if old.file != new.file:
        yield Change(f"{place} code", old.file, new.file, Direction.CHANGED)
    elif old.folder != new.folder:
        yield Change(f"{place} files beside its code", old.folder, new.folder, Direction.CHANGED)
    for name, before, after in pairs(old.controls, new.controls):
        if before is not after:
            direction = Direction.TIGHTER if before is None else Direction.LOOSER
            yield Change(f"{place} control {name!r}", before or ABSENT, after or ABSENT, direction, spec)


def _policy_changes(old: Promise, new: Promise) -> Iterator[Change]:
    if old.policy != new.policy:
        yield Change("policy", old.policy or ABSENT, new.policy or ABSENT, Direction.CHANGED)
