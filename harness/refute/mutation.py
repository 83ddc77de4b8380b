"""Which controls notice that a falsifier was broken: every mutant against every control, survivors first."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refute.context import Evidence
from refute.control_trials import ControlTrial, falsifier_of, try_use, uses_of
from refute.errors import UsageError
from refute.mutants import Mutant, bring_to_life, mutants_of
from refute.registry import Falsifier, Registry
from refute.spec import FalsifierUse, Spec

# Beside a file of falsifiers: mutants that no control can tell from it, each with the reason.
ACCEPTED = "equivalent_mutants.toml"


@dataclass(frozen=True, slots=True)
class Fate:
    """A mutant and the controls that noticed: `use/control`. `accepted` says why none had to."""

    falsifier: str
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
            "place": self.place,
            "change": self.change,
            "killed_by": list(self.killed_by),
            "accepted": self.accepted,
        }


@dataclass(frozen=True, slots=True)
class KillMatrix:
    """All fates, survivors first; `incomplete` names falsifiers with controls that would have needed a run."""

    fates: tuple[Fate, ...]
    incomplete: tuple[str, ...]

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
    specs: Sequence[Spec],
    registry: Registry,
    evidence: Mapping[str, Evidence],
    *,
    only: Sequence[str] = (),
    tell: Callable[[str, int, int], None] = lambda _name, _done, _total: None,
) -> KillMatrix:
    """Every mutant of the falsifiers that `specs` use (or of `only` those), against all controls of all their uses.

    A mutant is killed when a control does not give its outcome, under any use. One whose file no longer loads is left
    out. `tell` hears of progress. Raises UsageError for names in `only` that no spec uses, for a falsifier whose
    controls misbehave as it is, and for a file of accepted mutants that cannot be read or names one that is not there.
    """
    uses: dict[str, list[FalsifierUse]] = {}
    for use in uses_of(specs):
        uses.setdefault(falsifier_of(use, registry).name, []).append(use)
    if unknown := sorted(set(only) - uses.keys()):
        raise UsageError(f"no spec uses {', '.join(unknown)}", hint=f"there are: {', '.join(sorted(uses))}")
    chosen = [registry[name] for name in sorted(only or uses)]
    accepted = _accepted({falsifier.file.parent for falsifier in chosen})
    fates, incomplete = [], set[str]()
    for done, falsifier in enumerate(chosen, start=1):
        _refuse_broken(
            falsifier, [trial for use in uses[falsifier.name] for trial in try_use(falsifier, use, evidence)]
        )
        for mutant in mutants_of(falsifier):
            mutated = bring_to_life(mutant, falsifier)
            if mutated is None:
                continue
            trials = [trial for use in uses[falsifier.name] for trial in try_use(mutated, use, evidence)]
            if any(trial.result is None for trial in trials):
                incomplete.add(falsifier.name)
            fates.append(_fate(falsifier, mutant, trials, accepted))
        tell(falsifier.name, done, len(chosen))
    _refuse_stale(accepted, fates, {falsifier.name for falsifier in chosen})
    ordered = sorted(fates, key=lambda fate: (not fate.survived, len(fate.killed_by), fate.falsifier))
    return KillMatrix(tuple(ordered), tuple(sorted(incomplete)))


Accepted = Mapping[tuple[str, str], str]


def _refuse_broken(falsifier: Falsifier, trials: Sequence[ControlTrial]) -> None:
    """A control that misbehaves with the original would kill every mutant of it."""
    wrong = sorted({trial.control for trial in trials if trial.state == "misbehaved"})
    if wrong:
        raise UsageError(
            f"controls of {falsifier.name!r} misbehave without any mutation: {', '.join(wrong)}",
            hint="`refute controls` says how; correct them first",
        )


def _fate(falsifier: Falsifier, mutant: Mutant, trials: Sequence[ControlTrial], accepted: Accepted) -> Fate:
    killed_by = tuple(f"{trial.use}/{trial.control}" for trial in trials if trial.state == "misbehaved")
    reason = "" if killed_by else accepted.get((falsifier.name, mutant.change), "")
    return Fate(falsifier.name, mutant.place, mutant.change, killed_by, reason)


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
