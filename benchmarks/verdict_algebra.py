"""The verdict algebra on random cases: each is judged and held against the oracle of contract C-VERDICT, and judged
again with a worse outcome, with a criterion more, or without a record, which may never be better.

PYTHONPATH=contracts python benchmarks/verdict_algebra.py [--cases 1000000] [--seed 17]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from unittest.mock import patch

from refute.judge import algebra
from refute.outcome import Outcome, Record, Ruling, Severity
from refute.spec.criteria import Criterion, FalsifierUse, Spec
from refute.spec.waiver import Waiver
from refute_contracts.verdict import heaviness, weight
from refute_contracts.verdict_cases import (
    ANCHOR,
    AT,
    ELSEWHERE,
    HOLDS,
    NEEDS,
    POLICY,
    RECORDED,
    RELEASE,
    SUBJECT,
    Case,
    criterion,
    record,
    spec,
    waiver,
)

Decide = Callable[[Criterion, FalsifierUse, Record], tuple[Outcome, str]]

_SHOWN = 50_000
_RANK = {outcome: place for place, outcome in enumerate(Outcome)}
# Half of what is drawn stands, or few runs of several criteria would.
_OUTCOMES = [*RECORDED, *[Outcome.CORROBORATED] * len(RECORDED)]


def main() -> int:
    """Print a line for each fifty thousand cases and one at the end; 1 for the first that is ruled otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=17)
    chosen = parser.parse_args()
    # A million cases hold some forty different records: what a record comes to by its numbers is asked once of each.
    with patch.object(algebra, "_remeasure", _once(algebra._remeasure)):
        return _walk(random.Random(chosen.seed), chosen.cases)  # noqa: S311  # the same cases in every run


def _walk(chance: random.Random, many: int) -> int:
    begun, rulings = time.process_time(), dict.fromkeys(Ruling, 0)
    for number in range(1, many + 1):
        cases = [_drawn(chance) for _ in range(chance.randint(1, 4))]
        found, fault = _attack(chance, cases)
        rulings[found] += 1
        if fault:
            print(f"case {number}: {fault}: {cases}")
            return 1
        if number % _SHOWN == 0 or number == many:
            counted = ", ".join(f"{count:,} {ruling}" for ruling, count in rulings.items())
            print(f"{number:,} cases ({counted}), {time.process_time() - begun:.0f} CPU s", flush=True)
    return 0


def _drawn(chance: random.Random) -> Case:
    severity, outcomes = chance.choice(list(Severity)), chance.choices(_OUTCOMES, k=chance.randint(0, 3))
    waived, lenient, aside = (chance.random() < 0.2 for _ in range(3))
    return Case(severity, outcomes, waived, lenient, aside)


def _attack(chance: random.Random, cases: Sequence[Case]) -> tuple[Ruling, str]:
    """The ruling on `cases` beside a criterion that holds, and what is wrong with it or with that on changed ones."""
    found = _ruling(cases)
    if found is not (due := _due(cases)):
        return found, f"ruled {found}, the oracle says {due}"
    unwaived = [case._replace(waived=False) for case in cases]
    before, way = _due(unwaived), chance.choice((_worsened, _extended, _thinned))
    after = _ruling(way(chance, unwaived), partial=way is _thinned)
    if heaviness(after) < heaviness(before):
        return found, f"without waivers {before}, and {after} once {way.__name__.strip('_')}"
    return found, ""


def _worsened(chance: random.Random, cases: Sequence[Case]) -> list[Case]:
    """One falsifier of one criterion has a worse outcome, where there is a worse one."""
    place = chance.randrange(len(cases))
    outcomes = list(cases[place].outcomes)
    if outcomes:
        which = chance.randrange(len(outcomes))
        outcomes[which] = chance.choice([each for each in RECORDED if _RANK[each] >= _RANK[outcomes[which]]])
    return [*cases[:place], cases[place]._replace(outcomes=outcomes), *cases[place + 1 :]]


def _extended(chance: random.Random, cases: Sequence[Case]) -> list[Case]:
    """There is a criterion more."""
    return [*cases, _drawn(chance)._replace(waived=False)]


def _thinned(_: random.Random, cases: Sequence[Case]) -> list[Case]:
    """The same, of which a record is left out."""
    return list(cases)


def _due(cases: Sequence[Case]) -> Ruling:
    """By the contract's equations, beside a blocking criterion that holds on the subject."""
    return max((weight(*case[:4]) for case in cases), key=heaviness)


def _ruling(cases: Sequence[Case], *, partial: bool = False) -> Ruling:
    asked = [_spec(n, case.severity, len(case.outcomes), case.lenient) for n, case in enumerate(cases)]
    criteria = [one.criteria[0] for one in asked]
    records = [
        _record(of, outcome, number, ELSEWHERE if case.aside else "corpus")
        for of, case in zip(criteria, cases, strict=True)
        for number, outcome in enumerate(case.outcomes)
    ]
    waivers = [_waiver(of.id) for of, case in zip(criteria, cases, strict=True) if case.waived]
    return algebra.judge(
        [HELD, *asked],
        records if partial else [HOLDS, *records],
        policy=POLICY,
        waivers=waivers,
        at=AT,
        release=RELEASE,
        evidence_needs=NEEDS,
        subject_sha256=SUBJECT,
    ).ruling


HELD = spec(ANCHOR)


@cache
def _spec(number: int, severity: Severity, falsifiers: int, lenient: bool) -> Spec:
    """One criterion, in a part of the spec of its own."""
    return spec(criterion(f"N{number}", severity, falsifiers=falsifiers, lenient=lenient))


@cache
def _waiver(of: str) -> Waiver:
    return waiver(criterion(of.removeprefix("AC-")))


_KEPT: dict[tuple[str, Outcome, int, str], Record] = {}


def _record(of: Criterion, outcome: Outcome, number: int, on: str) -> Record:
    """One and the same for the same words: what its numbers come to is worked out once."""
    key = (of.id, outcome, number, on)
    if key not in _KEPT:
        _KEPT[key] = record(of, outcome, number, on=on)
    return _KEPT[key]


def _once(decide: Decide) -> Decide:
    """The same; of each record, by its identity, it is asked once. Their bars are all alike."""
    known: dict[int, tuple[Outcome, str]] = {}

    def decided(of: Criterion, use: FalsifierUse, one: Record) -> tuple[Outcome, str]:
        if id(one) not in known:
            known[id(one)] = decide(of, use, one)
        return known[id(one)]

    return decided


if __name__ == "__main__":
    sys.exit(main())
