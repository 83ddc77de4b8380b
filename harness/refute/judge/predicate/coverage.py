"""How much of what was promised was tried: counts and names that anyone can recompute from specs and records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from refute.judge.verdict import Verdict
from refute.outcome import Outcome, Record
from refute.spec.criteria import Spec, attacks, uses_of
from refute.spec.fields import Closed


class Coverage(Closed):
    """Falsifiers are named `SPEC::AC::F`, orphans by the name under which their code is registered.

    `outcomes` counts criteria, `recorded` falsifiers with a record. Of the others, `deselected` names those that
    the command line left out and `not_collected` those that are missing for any other reason. `orphans` were
    there in the run and attack no criterion of its specs.
    """

    criteria: int
    with_falsifier: int
    outcomes: dict[Outcome, int]
    falsifiers: int
    recorded: int
    deselected: tuple[str, ...]
    not_collected: tuple[str, ...]
    orphans: tuple[str, ...]


def cover(
    specs: Sequence[Spec],
    records: Iterable[Record],
    verdict: Verdict,
    *,
    registered: Iterable[str],
    deselected: Collection[str],
) -> Coverage:
    """The coverage of `specs` by `records`. A name in `deselected` counts only where its record is missing."""
    wanted = [node_id(spec.spec, criterion.id, use.id) for spec, criterion, use in attacks(specs)]
    recorded = {node_id(*record.key) for record in records}
    missing = [name for name in wanted if name not in recorded]
    counted = Counter(ruling.outcome for ruling in verdict.criteria)
    used = {use.uses for use in uses_of(specs)}
    return Coverage(
        criteria=len(verdict.criteria),
        with_falsifier=sum(not ruling.uncovered for ruling in verdict.criteria),
        outcomes={outcome: counted[outcome] for outcome in Outcome},
        falsifiers=len(wanted),
        recorded=len(wanted) - len(missing),
        deselected=tuple(name for name in missing if name in deselected),
        not_collected=tuple(name for name in missing if name not in deselected),
        orphans=tuple(sorted(set(registered) - used)),
    )


def node_id(spec: str, criterion: str, falsifier: str) -> str:
    """The name of one falsifier's use, `SPEC::AC::F`."""
    return f"{spec}::{criterion}::{falsifier}"
