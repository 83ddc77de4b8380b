"""Which controls notice that a falsifier was broken: every mutant against every control, survivors first."""

from __future__ import annotations

import json
import signal
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from refute.check.controls.mutants import Mutant, bring_to_life, mutants_of
from refute.check.controls.trials import ControlTrial, State, falsifier_of, lay_out_all, try_use
from refute.errors import UsageError
from refute.falsifier.context import Evidence
from refute.falsifier.forked import each_reply, warm_up
from refute.falsifier.registry import Falsifier, Registry
from refute.spec.criteria import FalsifierUse
from refute.spec.experiments.evidence.kill_matrix import MutatedFalsifier

# Beside a file of falsifiers: mutants that no control can tell from it, each with the reason.
ACCEPTED = "equivalent_mutants.toml"

# For all mutants of one falsifier.
_LIMIT_S = 1800.0


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


@dataclass(frozen=True, slots=True)
class KillMatrix:
    """All fates, survivors first, and the falsifiers in the order of their names."""

    fates: tuple[Fate, ...]
    falsifiers: tuple[MutatedFalsifier, ...]

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
            "fates": [asdict(fate) for fate in self.fates],
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
    falsifiers: list[MutatedFalsifier] = []
    most = 1 if first else None
    warm_up()
    works = [partial(_examined, falsifier, by_name[falsifier.name], evidence, most) for falsifier in chosen]
    with tempfile.TemporaryDirectory(prefix="refute-mutants-") as folder:
        replies = each_reply(works, _LIMIT_S, Path(folder) / "log.txt")
        for falsifier, reply in zip(chosen, replies, strict=True):
            own = by_name[falsifier.name]
            found = _Examined(**json.loads(reply.line)) if not reply.fault else _apart(falsifier, own, evidence, most)
            _refuse_broken(falsifier, found)
            count, untried = len(found.mutants), tuple(found.untried)
            falsifiers.append(
                MutatedFalsifier(falsifier=falsifier.name, code=falsifier.code, mutants=count, untried=untried)
            )
            fates += _fates(falsifier, found, accepted)
            tell(falsifier.name, len(falsifiers), len(chosen))
    _refuse_stale(accepted, fates, {falsifier.name for falsifier in chosen})
    ordered = sorted(fates, key=lambda fate: (not fate.survived, len(fate.killed_by), fate.falsifier))
    return KillMatrix(tuple(ordered), tuple(falsifiers))


Accepted = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class _Examined:
    """Controls that misbehave with the falsifier as it is, or need a run; of each mutant place, change and `killed_by`.

    The mutants are those that load, in the order of the source.
    """

    broken: list[str]
    untried: list[str]
    mutants: list[tuple[str, str, list[str]]]


def _examined(
    falsifier: Falsifier, uses: Sequence[FalsifierUse], evidence: Mapping[str, Evidence], most: int | None
) -> str:
    """`_Examined` as JSON. In a process to spare, which a mutant may end: one that hangs does, once its time is over.

    Each control is laid out once for all mutants, and each has up to `most` controls that notice.
    """
    limit_s = max(use.timeout_s for use in uses)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with tempfile.TemporaryDirectory(prefix="refute-mutants-") as folder:
        laid_out = lay_out_all(falsifier, uses, evidence, Path(folder))

        def trials(tried: Falsifier) -> Iterator[ControlTrial]:
            signal.setitimer(signal.ITIMER_REAL, limit_s)
            return (each.trial(tried) for each in laid_out)

        found = _of_itself(trials(falsifier))
        found.mutants.extend((m.place, m.change, _noticing(trials(mutated), most)) for m, mutated in _alive(falsifier))
    return json.dumps(asdict(found))


def _apart(
    falsifier: Falsifier, uses: Sequence[FalsifierUse], evidence: Mapping[str, Evidence], most: int | None
) -> _Examined:
    """The same where a mutant has ended the process: each control of each has a child of its own."""

    def trials(tried: Falsifier) -> Iterator[ControlTrial]:
        for use in uses:
            for control in tried.controls:
                yield from try_use(replace(tried, controls=(control,)), use, evidence)

    found = _of_itself(trials(falsifier))
    found.mutants.extend((m.place, m.change, _noticing(trials(mutated), most)) for m, mutated in _alive(falsifier))
    return found


def _of_itself(trials: Iterable[ControlTrial]) -> _Examined:
    by_state: dict[State, set[str]] = {state: set() for state in State}
    for trial in trials:
        by_state[trial.state].add(trial.control)
    return _Examined(sorted(by_state[State.MISBEHAVED]), sorted(by_state[State.NEEDS_RUN]), [])


def _alive(falsifier: Falsifier) -> Iterator[tuple[Mutant, Falsifier]]:
    for mutant in mutants_of(falsifier):
        mutated = bring_to_life(mutant, falsifier)
        if mutated is not None:
            yield mutant, mutated


def _noticing(trials: Iterable[ControlTrial], most: int | None) -> list[str]:
    """`use/control` of up to `most` controls that do not give their outcome."""
    noticed = (each for each in trials if each.state is State.MISBEHAVED)
    return [f"{trial.use}/{trial.control}" for trial in islice(noticed, most)]


def _fates(falsifier: Falsifier, found: _Examined, accepted: Accepted) -> Iterator[Fate]:
    """What became of each mutant."""
    for number, (place, change, killed_by) in enumerate(found.mutants, start=1):
        reason = "" if killed_by else accepted.get((falsifier.name, change), "")
        yield Fate(falsifier.name, number, place, change, tuple(killed_by), reason)


def _refuse_broken(falsifier: Falsifier, found: _Examined) -> None:
    """A control that misbehaves with the original would kill every mutant of it."""
    if found.broken:
        raise UsageError(
            f"controls of {falsifier.name!r} misbehave without any mutation: {', '.join(found.broken)}",
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
