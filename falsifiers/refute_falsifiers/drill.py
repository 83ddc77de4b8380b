"""Do the falsifiers of this very gate name faults that were planted into its own engines?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_open, known_unusable, stats

Row = dict[str, Any]
_COUNTED = 120
_COUNTING = ("named", "unable", "survived")
_OUTCOMES = (*_COUNTING, "excused", "stopped")


@dataclass(frozen=True, slots=True)
class _Faults:
    """Those that count, of which `alive` nobody named; and `idle` that changed nothing or were stopped.

    `unable`: an auditor ended at each that nobody named, and did not say why.
    """

    alive: int = 0
    idle: int = 12
    unable: bool = False

    def measured(self) -> Iterator[Measurement]:
        """What they come to."""
        yield _kill_rate(_COUNTED - self.alive, _COUNTED)
        yield Measurement("uncounted", 100 * self.idle / (_COUNTED + self.idle), "%", _COUNTED + self.idle)


def _lay_out(bench: Bench, faults: _Faults) -> list[Row]:
    outcomes = ["unable" if faults.unable else "survived"] * faults.alive + ["named"] * (_COUNTED - faults.alive)
    outcomes += ["excused", "stopped"] * (faults.idle // 2) + ["excused"] * (faults.idle % 2)
    rows = [
        {"number": number, "outcome": outcome, "named_by": "F-EXAMPLE-001" if outcome == "named" else ""}
        for number, outcome in enumerate(outcomes, start=1)
    ]
    bench.put("drill", "drill.json", {"on_guard": ["F-EXAMPLE-001"]})
    bench.put("drill", "faults.jsonl", rows)
    return rows


def _faults(bench: Bench, preferred: _Faults, *, failing: str = "", unsure: str = "") -> _Faults:
    """`preferred`, or others, that fail this bar alone or leave it open; none, all hold."""
    idle = bench.choose(
        [preferred, *(_Faults(idle=n) for n in (0, 1, 12, 40, 120, 360, 1200))],
        lambda faults: [each for each in faults.measured() if each.name == "uncounted"],
        failing=[failing] if failing == "uncounted" else [],
    ).idle
    return bench.choose(
        [replace(preferred, idle=idle), *(_Faults(alive, idle) for alive in range(_COUNTED + 1))],
        lambda faults: [each for each in faults.measured() if each.name == "kill_rate"],
        failing=[failing] if failing == "kill_rate" else [],
        unsure=[unsure] if unsure else [],
    )


def every_fault_named(bench: Bench) -> None:
    """All of those that count."""
    _lay_out(bench, _faults(bench, _Faults()))


def a_fault_in_a_hundred_missed(bench: Bench) -> None:
    """One of them."""
    _lay_out(bench, _faults(bench, _Faults(alive=1)))


def a_fault_in_five_missed(bench: Bench) -> None:
    """Whole kinds of faults get by."""
    _lay_out(bench, _faults(bench, _Faults(alive=24), failing="kill_rate"))


def auditors_that_end_without_a_word(bench: Bench) -> None:
    """Faults at which somebody stumbles are not named."""
    found = _faults(bench, _Faults(alive=24), failing="kill_rate")
    _lay_out(bench, replace(found, unable=True))


def faults_that_change_nothing(bench: Bench) -> None:
    """Most of what was planted counts for nothing: a generator of idle faults."""
    _lay_out(bench, _faults(bench, _Faults(idle=360), failing="uncounted"))


def some_faults_missed(bench: Bench) -> None:
    """So few that it may be chance."""
    _lay_out(bench, _faults(bench, _Faults(alive=4), unsure="kill_rate"))


def survivors_left_out(bench: Bench) -> None:
    """Fewer rows than numbers."""
    rows = _lay_out(bench, _Faults(alive=1))
    bench.put("drill", "faults.jsonl", rows[1:])


def named_by_nobody(bench: Bench) -> None:
    """A fault is called named, and nobody is who named it."""
    rows = _lay_out(bench, _Faults())
    bench.put("drill", "faults.jsonl", [{**rows[0], "named_by": ""}, *rows[1:]])


def named_by_somebody_off_guard(bench: Bench) -> None:
    """A falsifier that refutes an honest line, too, names no fault."""
    rows = _lay_out(bench, _Faults())
    bench.put("drill", "faults.jsonl", [{**rows[0], "named_by": "F-EXAMPLE-002"}, *rows[1:]])


def an_outcome_that_is_none(bench: Bench) -> None:
    """Neither named nor survived."""
    rows = _lay_out(bench, _Faults())
    bench.put("drill", "faults.jsonl", [{**rows[0], "outcome": "unclear", "named_by": ""}, *rows[1:]])


def nothing_planted(bench: Bench) -> None:
    """No fault, and none that survived."""
    _lay_out(bench, _Faults())
    bench.put("drill", "faults.jsonl", "")


@falsifier(
    "gate-fire-drill",
    needs=("drill",),
    measures={"kill_rate": "%", "uncounted": "%"},
    controls=(
        known_good(every_fault_named),
        known_good(a_fault_in_a_hundred_missed),
        known_open(some_faults_missed),
        known_bad(a_fault_in_five_missed),
        known_bad(auditors_that_end_without_a_word),
        known_bad(faults_that_change_nothing),
        known_unusable(survivors_left_out, raises=ValueError),
        known_unusable(named_by_nobody, raises=ValueError),
        known_unusable(named_by_somebody_off_guard, raises=ValueError),
        known_unusable(an_outcome_that_is_none, raises=ValueError),
        known_unusable(nothing_planted, raises=ValueError),
    ),
)
def gate_fire_drill(context: Context) -> Iterator[Measurement]:
    """Refuted when faults in the engines get past the falsifiers.

    `kill_rate` is the share of planted faults that a falsifier names which lets the honest line stand, with its
    interval; where an auditor only ends in an exception that nobody foresaw, nobody has named it. `uncounted` is the
    share of all that left the evidence as it was, or that the engine itself stopped.
    """
    drill = context.evidence("drill")
    rows, on_guard = drill.rows("faults.jsonl"), drill.json("drill.json")["on_guard"]
    if [row["number"] for row in rows] != list(range(1, len(rows) + 1)):
        raise ValueError(f"faults.jsonl must number its rows from 1, found {len(rows)} rows with other numbers")
    for row in rows:
        if row["outcome"] not in _OUTCOMES or (row["outcome"] == "named") != (row["named_by"] in on_guard):
            raise ValueError(f"fault {row['number']} is {row['outcome']!r} by {row['named_by']!r}, who is not on guard")
    counted = [row for row in rows if row["outcome"] in _COUNTING]
    if not counted:
        raise ValueError("no fault was planted that counts")
    yield _kill_rate(sum(row["outcome"] == "named" for row in counted), len(counted))
    yield Measurement("uncounted", 100 * (len(rows) - len(counted)) / len(rows), "%", n=len(rows))


def _kill_rate(named: int, n: int) -> Measurement:
    return Measurement("kill_rate", 100 * named / n, "%", n=n, interval=stats.wilson_interval(named, n))
