"""Do the controls of this very gate notice when its falsifiers are broken?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

Rows = list[dict[str, Any]]
_FALSIFIERS = 10
_MUTANTS = 40


def _lay_out(bench: Bench, *, alive: int = 0, excused: int = 0, holes: int = 0, without: int = 0) -> Rows:
    """Ten falsifiers of forty mutants each.

    Of each, `alive` are noticed by nobody and `excused` have a reason; of the first, `holes` more are alive. The last
    `without` falsifiers have no mutant.
    """
    mutants = [
        _mutant(f"f{place}", number, alive=number <= alive + holes * (place == 0), excused=number > _MUTANTS - excused)
        for place in range(_FALSIFIERS - without)
        for number in range(1, _MUTANTS + 1)
    ]
    rows = [
        {"falsifier": f"f{place}", "mutants": _MUTANTS * (place < _FALSIFIERS - without)}
        for place in reversed(range(_FALSIFIERS))
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
    _lay_out(bench)


def a_few_set_aside(bench: Bench) -> None:
    """One in twenty has a reason, and one in forty is a hole."""
    _lay_out(bench, alive=1, excused=2)


def controls_that_notice_too_little(bench: Bench) -> None:
    """Three of forty get through everywhere: no falsifier is bad, all of them together are."""
    _lay_out(bench, alive=3)


def one_falsifier_with_poor_controls(bench: Bench) -> None:
    """The others hide it in the mean."""
    _lay_out(bench, holes=12)


def excuses_for_every_survivor(bench: Bench) -> None:
    """A fifth of the mutants is called equivalent."""
    _lay_out(bench, excused=8)


def a_falsifier_without_mutants(bench: Bench) -> None:
    """Nobody has seen whether its controls notice anything."""
    _lay_out(bench, without=1)


def a_falsifier_with_excuses_only(bench: Bench) -> None:
    """All of its mutants are set aside, so none of them was noticed."""
    _lay_out(bench)
    bench.put(
        "kill_matrix", "falsifiers.jsonl", [{"falsifier": "f0", "mutants": 40}, {"falsifier": "f1", "mutants": 1}]
    )
    others = [_mutant("f0", number, alive=False, excused=False) for number in range(1, 41)]
    bench.put("kill_matrix", "mutants.jsonl", [*others, _mutant("f1", 1, alive=False, excused=True)])


def survivors_left_out(bench: Bench) -> None:
    """Fewer rows than mutants."""
    bench.put("kill_matrix", "mutants.jsonl", _lay_out(bench)[1:])


def one_killed_mutant_over_and_over(bench: Bench) -> None:
    """As many rows as mutants, and not of them."""
    rows = _lay_out(bench)
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
