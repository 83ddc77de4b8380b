"""Which controls notice that a falsifier was broken: every mutant against every control, survivors first."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from refute.check.controls.mutants import bring_to_life, mutants_of
from refute.check.controls.trials import ControlTrial, State, falsifier_of, try_use
from refute.errors import UsageError
from refute.falsifier.context import Evidence
from refute.falsifier.forked import reply_of
from refute.falsifier.registry import Falsifier, Registry
from refute.spec.criteria import FalsifierUse

# Beside a file of falsifiers: mutants that no control can tell from it, each with the reason.
ACCEPTED = "equivalent_mutants.toml"


@dataclass(frozen=True, slots=True)
class Fate:
    """A mutant and the controls that noticed: `use/control`. `accepted` says why none had to.

    `number` counts the mutants of its falsifier from 1.
    """

    falsifier: str
    number: int
    place: str
    change: str
    killed_by: tuple[str, ...]
    accepted: str = ""

    @property
    def survived(self) -> bool:
        """Nobody noticed, and nobody said why that is right."""
        return not self.killed_by and not self.accepted

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "falsifier": self.falsifier,
            "number": self.number,
            "place": self.place,
            "change": self.change,
            "killed_by": list(self.killed_by),
            "accepted": self.accepted,
        }


@dataclass(frozen=True, slots=True)
class Mutated:
    """A falsifier: the SHA-256 of its file, how many mutants it has, and controls that would have needed a run."""

    falsifier: str
    code: str
    mutants: int
    untried: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "falsifier": self.falsifier,
            "code": self.code,
            "mutants": self.mutants,
            "untried": list(self.untried),
        }


@dataclass(frozen=True, slots=True)
class KillMatrix:
    """All fates, survivors first, and the falsifiers in the order of their names."""

    fates: tuple[Fate, ...]
    falsifiers: tuple[Mutated, ...]

    @property
    def incomplete(self) -> tuple[str, ...]:
        """Falsifiers with controls that would have needed a run."""
        return tuple(each.falsifier for each in self.falsifiers if each.untried)

    @property
    def score(self) -> float:
        """Share of killed mutants in percent, those accepted as equivalent left out."""
        counted = [fate for fate in self.fates if not fate.accepted]
        return 100 * sum(bool(fate.killed_by) for fate in counted) / len(counted) if counted else 0.0

    def as_json(self) -> dict[str, object]:
        """For programs: `score` in percent, counts, and every mutant with the controls that killed it."""
        return {
            "score": self.score,
            "mutants": len(self.fates),
            "killed": sum(bool(fate.killed_by) for fate in self.fates),
            "accepted": sum(bool(fate.accepted) for fate in self.fates),
            "survived": sum(fate.survived for fate in self.fates),
            "incomplete": list(self.incomplete),
            "fates": [fate.as_json() for fate in self.fates],
        }


def kill_matrix(
    uses: Sequence[FalsifierUse],
    registry: Registry,
    evidence: Mapping[str, Evidence],
    *,
    only: Sequence[str] = (),
    first: bool = False,
    tell: Callable[[str, int, int], None] = lambda _name, _done, _total: None,
) -> KillMatrix:
    """Every mutant of the falsifiers in `uses` (or of `only` those), against all controls of all their uses.

    A mutant is killed when a control does not give its outcome, under any use; with `first`, no control after that is
    tried. One whose file no longer loads is left out. `tell` hears of progress. Raises UsageError for names in `only`
    that nothing uses, for a falsifier whose controls misbehave as it is, and for a file of accepted mutants that cannot
    be read or names one that is not there.
    """
    by_name: dict[str, list[FalsifierUse]] = {}
    for use in uses:
        by_name.setdefault(falsifier_of(use, registry).name, []).append(use)
    if unknown := sorted(set(only) - by_name.keys()):
        raise UsageError(f"no spec uses {', '.join(unknown)}", hint=f"there are: {', '.join(sorted(by_name))}")
    chosen = [registry[name] for name in sorted(only or by_name)]
    accepted = _accepted({falsifier.file.parent for falsifier in chosen})
    fates: list[Fate] = []
    falsifiers: list[Mutated] = []
    for done, falsifier in enumerate(chosen, start=1):
        own = by_name[falsifier.name]
        trials = list(_trials(falsifier, own, evidence))
        _refuse_broken(falsifier, trials)
        found = list(_fates(falsifier, own, evidence, accepted, first=first))
        untried = tuple(sorted({trial.control for trial in trials if trial.result is None}))
        falsifiers.append(Mutated(falsifier.name, falsifier.code, len(found), untried))
        fates += found
        tell(falsifier.name, done, len(chosen))
    _refuse_stale(accepted, fates, {falsifier.name for falsifier in chosen})
    ordered = sorted(fates, key=lambda fate: (not fate.survived, len(fate.killed_by), fate.falsifier))
    return KillMatrix(tuple(ordered), tuple(falsifiers))


Accepted = Mapping[tuple[str, str], str]


def _trials(
    falsifier: Falsifier, uses: Sequence[FalsifierUse], evidence: Mapping[str, Evidence], *, apart: bool = True
) -> Iterator[ControlTrial]:
    """One control after the other, under each use, as they are asked for."""
    for use in uses:
        for control in falsifier.controls:
            yield from try_use(replace(falsifier, controls=(control,)), use, evidence, apart=apart)


def _noticing(
    mutated: Falsifier, uses: Sequence[FalsifierUse], evidence: Mapping[str, Evidence], most: int | None
) -> list[str]:
    """`use/control` of up to `most` controls that do not give their outcome.

    All in one child, which takes a third of the time. Where that one gives no answer, for a mutant may hang or die,
    each control has a child and its time.
    """

    def found(*, apart: bool) -> list[str]:
        trials = (each for each in _trials(mutated, uses, evidence, apart=apart) if each.state is State.MISBEHAVED)
        return [f"{trial.use}/{trial.control}" for trial in islice(trials, most)]

    with tempfile.TemporaryDirectory(prefix="refute-mutant-") as folder:
        limit_s = max(use.timeout_s for use in uses)
        reply = reply_of(lambda: json.dumps(found(apart=False)), limit_s, Path(folder) / "log.txt")
    if reply.fault:
        return found(apart=True)
    names: list[str] = json.loads(reply.line)
    return names


def _fates(
    falsifier: Falsifier,
    uses: Sequence[FalsifierUse],
    evidence: Mapping[str, Evidence],
    accepted: Accepted,
    *,
    first: bool,
) -> Iterator[Fate]:
    """What became of each mutant that loads, in the order of the source."""
    number = 0
    for mutant in mutants_of(falsifier):
        mutated = bring_to_life(mutant, falsifier)
        if mutated is None:
            continue
        number += 1
        killed_by = tuple(_noticing(mutated, uses, evidence, 1 if first else None))
        reason = "" if killed_by else accepted.get((falsifier.name, mutant.change), "")
        yield Fate(falsifier.name, number, mutant.place, mutant.change, killed_by, reason)


def _refuse_broken(falsifier: Falsifier, trials: Sequence[ControlTrial]) -> None:
    """A control that misbehaves with the original would kill every mutant of it."""
    wrong = sorted({trial.control for trial in trials if trial.state is State.MISBEHAVED})
    if wrong:
        raise UsageError(
            f"controls of {falsifier.name!r} misbehave without any mutation: {', '.join(wrong)}",
            hint="`refute controls` says how; correct them first",
        )


def _accepted(folders: set[Path]) -> dict[tuple[str, str], str]:
    """(falsifier, change) -> why no control can tell it from the original."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted(folder / ACCEPTED for folder in folders):
        if not path.exists():
            continue
        try:
            rows = tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", [])
            for row in rows:
                for change in row["changes"]:
                    found[str(row["falsifier"]), str(change)] = str(row["reason"])
        except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{path} is not a list of accepted mutants: {error!r}",
                hint="write [[mutant]] tables with falsifier, changes and reason",
            ) from error
    return found


def _refuse_stale(accepted: Accepted, fates: Sequence[Fate], tried: set[str]) -> None:
    """A reason that nothing needs any more would one day excuse something else."""
    needed = {(fate.falsifier, fate.change) for fate in fates if fate.accepted}
    stale = sorted(f"{name}: {change}" for name, change in accepted if name in tried and (name, change) not in needed)
    if stale:
        raise UsageError(
            f"{ACCEPTED} excuses {len(stale)} mutants that are killed or not there: {'; '.join(stale[:5])}",
            hint="take them out of the file",
        )
