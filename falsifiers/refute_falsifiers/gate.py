"""Do the controls of this very gate notice when its falsifiers are broken?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

Rows = list[dict[str, Any]]
_FALSIFIERS = 20
_MUTANTS = 40


@dataclass(frozen=True, slots=True)
class _Fates:
    """Twenty falsifiers of forty mutants each: of each, `alive` are noticed by nobody, and `excused` have a reason.

    Of the first, `holes` more are alive. Beside them are falsifiers `without` a mutant.
    """

    alive: int = 0
    holes: int = 0
    excused: int = 0
    without: int = 0

    def measured(self) -> Iterator[Measurement]:
        """What they come to."""
        counted = _MUTANTS - self.excused
        survivors = _FALSIFIERS * self.alive + self.holes
        n = _FALSIFIERS * counted
        yield Measurement("kill_score", 100 * (n - survivors) / n, "%", n)
        yield Measurement("weakest_score", 100 * (counted - self.alive - self.holes) / counted, "%", _FALSIFIERS)
        yield Measurement("excused", 100 * self.excused / _MUTANTS, "%", _FALSIFIERS * _MUTANTS)
        yield Measurement("unmutated", self.without, "falsifiers", _FALSIFIERS + self.without)


def _fates(bench: Bench, preferred: _Fates, failing: str = "") -> _Fates:
    """`preferred`, or others that fail this bar alone; none, all hold."""
    unmutated = bench.bar("unmutated")
    find = unmutated.failing if failing == "unmutated" else unmutated.holding
    without = int(find(preferred.without, low=0, whole=True))
    excused = bench.choose(
        [replace(preferred, without=without), *(_Fates(excused=n, without=without) for n in range(_MUTANTS))],
        lambda fates: [each for each in fates.measured() if each.name == "excused"],
        failing=[failing] if failing == "excused" else [],
    ).excused
    counted = _MUTANTS - excused
    others = (_Fates(a, h, excused, without) for a in range(counted + 1) for h in range(counted + 1 - a))
    first = replace(preferred, excused=excused, without=without)
    scores = [failing] if failing in ("kill_score", "weakest_score") else []
    return bench.choose(
        [first, *others], lambda fates: [each for each in fates.measured() if "score" in each.name], failing=scores
    )


def _lay_out(bench: Bench, fates: _Fates) -> Rows:
    mutants = [
        _mutant(
            f"f{place}",
            number,
            alive=number <= fates.alive + fates.holes * (place == 0),
            excused=number > _MUTANTS - fates.excused,
        )
        for place in range(_FALSIFIERS)
        for number in range(1, _MUTANTS + 1)
    ]
    rows = [
        {"falsifier": f"f{place}", "mutants": _MUTANTS * (place < _FALSIFIERS)}
        for place in reversed(range(_FALSIFIERS + fates.without))
    ]
    bench.put("kill_matrix", "falsifiers.jsonl", rows)
    bench.put("kill_matrix", "mutants.jsonl", mutants)
    return mutants


def _mutant(name: str, number: int, *, alive: bool, excused: bool) -> dict[str, Any]:
    return {
        "falsifier": name,
        "number": number,
        "killed_by": [] if alive or excused else ["F-EXAMPLE-001/a bad input"],
        "accepted": "no input tells it from the original" if excused else "",
    }


def every_mutant_noticed(bench: Bench) -> None:
    """A control for each of them."""
    _lay_out(bench, _fates(bench, _Fates()))


def a_few_set_aside(bench: Bench) -> None:
    """One in twenty has a reason, and one in forty is a hole."""
    _lay_out(bench, _fates(bench, _Fates(alive=1, excused=2)))


def controls_that_notice_too_little(bench: Bench) -> None:
    """Three of forty get through everywhere: no falsifier is bad, all of them together are."""
    _lay_out(bench, _fates(bench, _Fates(alive=3), "kill_score"))


def one_falsifier_with_poor_controls(bench: Bench) -> None:
    """The others hide it in the mean."""
    _lay_out(bench, _fates(bench, _Fates(holes=12), "weakest_score"))


def excuses_for_every_survivor(bench: Bench) -> None:
    """A fifth of the mutants is called equivalent."""
    _lay_out(bench, _fates(bench, _Fates(excused=8), "excused"))


def a_falsifier_without_mutants(bench: Bench) -> None:
    """Nobody has seen whether its controls notice anything."""
    _lay_out(bench, _fates(bench, _Fates(without=1), "unmutated"))


def a_falsifier_with_excuses_only(bench: Bench) -> None:
    """The mutants of those that are unmutated are all set aside, so none of them was noticed."""
    fates = _fates(bench, _Fates(without=1), "unmutated")
    mutants = _lay_out(bench, replace(fates, without=0))
    names = [f"f{place}" for place in range(_FALSIFIERS + fates.without)]
    rows = [{"falsifier": name, "mutants": _MUTANTS if place < _FALSIFIERS else 1} for place, name in enumerate(names)]
    bench.put("kill_matrix", "falsifiers.jsonl", rows)
    excused = [_mutant(name, 1, alive=False, excused=True) for name in names[_FALSIFIERS:]]
    bench.put("kill_matrix", "mutants.jsonl", [*mutants, *excused])


def survivors_left_out(bench: Bench) -> None:
    """Fewer rows than mutants."""
    bench.put("kill_matrix", "mutants.jsonl", _lay_out(bench, _Fates())[1:])


def one_killed_mutant_over_and_over(bench: Bench) -> None:
    """As many rows as mutants, and not of them."""
    rows = _lay_out(bench, _Fates())
    bench.put("kill_matrix", "mutants.jsonl", [rows[1], *rows[1:]])


def nothing_mutated(bench: Bench) -> None:
    """No falsifier, no mutant, and nothing that survived."""
    bench.put("kill_matrix", "falsifiers.jsonl", "")
    bench.put("kill_matrix", "mutants.jsonl", "")


@falsifier(
    "gate-kill-score",
    needs=("kill_matrix",),
    measures={"kill_score": "%", "weakest_score": "%", "excused": "%", "unmutated": "falsifiers"},
    controls=(
        known_good(every_mutant_noticed),
        known_good(a_few_set_aside),
        known_bad(controls_that_notice_too_little),
        known_bad(one_falsifier_with_poor_controls),
        known_bad(excuses_for_every_survivor),
        known_bad(a_falsifier_without_mutants),
        known_bad(a_falsifier_with_excuses_only),
        known_unusable(survivors_left_out, raises=ValueError),
        known_unusable(one_killed_mutant_over_and_over, raises=ValueError),
        known_unusable(nothing_mutated, raises=ValueError),
    ),
)
def gate_kill_score(context: Context) -> Iterator[Measurement]:
    """Refuted when falsifiers can be broken and no control notices, in all of them or in the one that is worst.

    `kill_score` is the share of mutants that a control notices, `weakest_score` the lowest of one falsifier, both
    without those that were excused as equivalent; `excused` is the share of these. `unmutated` counts falsifiers in
    use without a mutant that had to be noticed.
    """
    used, mutants = (context.evidence("kill_matrix").rows(f"{name}.jsonl") for name in ("falsifiers", "mutants"))
    declared = [(row["falsifier"], number) for row in used for number in range(1, row["mutants"] + 1)]
    if sorted((row["falsifier"], row["number"]) for row in mutants) != sorted(declared):
        raise ValueError(f"mutants.jsonl must have one row for each of {len(declared)} mutants, found {len(mutants)}")
    counted = [row for row in mutants if not row["accepted"]]
    if not counted:
        raise ValueError("there is no mutant that a control had to notice")
    yield Measurement("kill_score", _killed_share(counted), "%", n=len(counted))
    tried = {row["falsifier"] for row in counted}
    scores = [_killed_share([row for row in counted if row["falsifier"] == name]) for name in tried]
    yield Measurement("weakest_score", min(scores), "%", n=len(scores))
    yield Measurement("excused", 100 * (len(mutants) - len(counted)) / len(mutants), "%", n=len(mutants))
    yield Measurement("unmutated", len(used) - len(tried), "falsifiers", n=len(used))


def _killed_share(rows: Rows) -> float:
    """Percent."""
    return 100 * sum(bool(row["killed_by"]) for row in rows) / len(rows)
