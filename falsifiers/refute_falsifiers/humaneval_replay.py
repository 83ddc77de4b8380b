"""Are a model's recorded answers its own, and do its passes pass once more? Asked of every model that is compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any, Literal

from refute import Bench, Context, Evidence, Measurement, falsifier, known_bad, known_good, known_unusable
from refute_falsifiers._answers import by_answer, name_of

Row = dict[str, Any]
Rows = list[Row]
Measure = Callable[[Context], Iterator[Measurement]]
_MODELS = ("student", "init", "teacher", "null", "sampled")
_ENTROPY = "00" * 16


def _lay(bench: Bench, answers: Rows, replayed: Rows | None = None) -> None:
    """A run whose answers are those recorded in `answers`; all of them, or only `replayed`, were made again."""
    model = bench.parameters["model"]
    bench.put(
        f"humaneval_{model}",
        "samples.jsonl",
        [{**_who(row), "completion": row["recorded"]} for row in answers],
    )
    bench.put(
        f"humaneval_{model}",
        "results.jsonl",
        [
            {
                **_who(row),
                "passed": row["recorded_passed"],
                "outcome": "passed" if row["recorded_passed"] else "failed",
            }
            for row in answers
        ]
        # What could not be executed has no verdict that could be another one.
        + [{"task_id": "HumanEval/lost", "passed": False, "outcome": "error"}],
    )
    bench.put(f"humaneval_replay_{model}", "draw.json", {"entropy": _ENTROPY, "run_sha256": _digest(answers)})
    bench.put(f"humaneval_replay_{model}", "replay.jsonl", answers if replayed is None else replayed)


def _who(row: Row) -> Row:
    """Whose answer it is, and which."""
    return {key: row[key] for key in ("task_id", "sample") if key in row}


def _rows(passes: int = 4, others: int = 4) -> Rows:
    """Answers that came again with the verdicts that they had: so many passes, and so many others; two a problem."""
    same = {"completion": "\n    return 1", "recorded": "\n    return 1"}
    return [
        {"task_id": f"HumanEval/{n // 2}", "sample": n % 2, **same, "passed": n < passes, "recorded_passed": n < passes}
        for n in range(passes + others)
    ]


def _in_order(rows: Rows) -> Rows:
    """In the order in which a draw over `rows` takes them."""
    digest = _digest(rows)
    return sorted(rows, key=lambda row: _place(_ENTROPY, digest, name_of(row)))


def _executed_only(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "completion"}


# What was not made again, or not as a whole, although it was its turn.
Unseen = Literal["", "a pass", "a pass that was executed", "a pass beyond those generated", "the others"]
# Problems that a control adds, whatever the bar.
_MOST = 1000


def _replayed(
    bench: Bench,
    failing: str = "",
    *,
    differing: int = 1,
    of_passes: bool = True,
    turned_passes: bool = True,
    unseen: Unseen = "",
    passes: int = 4,
    lazily: bool = False,
    drawn_alone: bool = False,
) -> None:
    """A run whose answers come again, or as the bars want it.

    The bar of `failing` is failed and the others hold: `differing` of the passes, or of the others, are not the model's
    own, so many have another verdict, and so many replays are missing, by what is `unseen` and by passes whose turn it
    was not. `lazily`: those of the passes whose turn it was not are executed, and not generated. `drawn_alone`: of the
    others only those whose turn it was came again.
    """
    limit, others = int(bench.parameters["passes"]), int(bench.parameters["others"])
    own = {"": 0, "a pass": 2, "the others": 2 * others}.get(unseen, 1)
    turned = _count(bench, "differing_verdicts", failing, 1)
    absent = _count(bench, "missing_replays", failing, own) - own
    least = max(limit if absent else passes, turned + 1)
    other = _count(bench, "differing_answers", failing, differing)
    made = max(least, other) if of_passes else least if passes or turned or absent else 0
    rest = max(4, turned, 2 * others, other)
    rows = _rows(made + absent, rest)
    ordered = _in_order(rows)
    solved, unsolved = ([row for row in ordered if row["passed"] is passed] for passed in (True, False))
    solved = solved[:made]
    for row in (solved if of_passes else unsolved)[:other]:
        row["completion"] = "\n    return 2"
    for row in (solved if turned_passes else unsolved)[::-1][:turned]:
        row["passed"] = not row["recorded_passed"]
    if unseen == "a pass":
        solved = solved[1:]
    elif unseen == "a pass that was executed":
        solved = [_executed_only(solved[0]), *solved[1:]]
    elif unseen == "a pass beyond those generated":
        solved = solved[:-1]
    elif unseen == "the others":
        unsolved = unsolved[others:]
    if drawn_alone:
        unsolved = unsolved[:others]
    if lazily:
        solved = [*solved[:limit], *map(_executed_only, solved[limit:])]
    _lay(bench, rows, [*solved, *unsolved])


def _count(bench: Bench, measurement: str, failing: str, own: int) -> int:
    """So many that the bar holds or, where it is the `failing` one, does not: `own` of them at least."""
    bar = bench.bar(measurement)
    if measurement == failing:
        return int(bar.failing(own, low=own, high=_MOST, whole=True))
    return int(bar.holding(0, low=0, high=_MOST, whole=True))


def answers_that_come_again(bench: Bench) -> None:
    """The model says the same again, and the same verdicts fall."""
    _replayed(bench)


def passes_beyond_those_generated_again(bench: Bench) -> None:
    """Only so many passes are generated again, and every one is executed."""
    _replayed(bench, of_passes=False, passes=int(bench.parameters["passes"]) + 8, lazily=True)


def only_those_whose_turn_it_was(bench: Bench) -> None:
    """Of what it does not solve no more came again than the draw asks for."""
    _replayed(bench, drawn_alone=True)


def no_pass_at_all(bench: Bench) -> None:
    """Nothing was solved; a few of the others are drawn, and all of them come again."""
    _replayed(bench, of_passes=False, passes=0)


def known_answer_of_this_run(bench: Bench) -> None:
    """An answer of this very model, as this run's instruments see it."""
    for measurement in ("differing_answers", "differing_verdicts", "missing_replays"):
        bench.bar(measurement).holding(0, low=0, high=0)
    _lay(bench, _real(bench).rows("known_good.jsonl"))


def near_miss_of_this_run(bench: Bench) -> None:
    """A near miss that is claimed to pass and to be the model's, as this run's instruments see it."""
    if bench.bar("differing_answers").satisfied_by(1):
        bench.bar("differing_verdicts").failing(1, low=1, high=1)
    _lay(bench, _real(bench).rows("known_bad.jsonl"))


def answers_of_somebody_else(bench: Bench) -> None:
    """None of the recorded passes is this model's: reference solutions, noise, a better model, another sampler."""
    _replayed(bench, "differing_answers", differing=4)


def failures_of_somebody_else(bench: Bench) -> None:
    """What it solves it solves as another model does, and what it does not solve is that model's."""
    _replayed(bench, "differing_answers", differing=4, of_passes=False, passes=32)


def one_answer_of_somebody_else(bench: Bench) -> None:
    """One pass is not its own."""
    _replayed(bench, "differing_answers")


def one_failure_of_somebody_else(bench: Bench) -> None:
    """One of the answers that fail is not its own."""
    _replayed(bench, "differing_answers", of_passes=False)


def a_failure_recorded_as_a_pass(bench: Bench) -> None:
    """One recorded pass fails when it is executed again."""
    _replayed(bench, "differing_verdicts")


def a_pass_recorded_as_a_failure(bench: Bench) -> None:
    """One recorded failure passes when it is executed again: this model is held down."""
    _replayed(bench, "differing_verdicts", turned_passes=False)


def a_pass_that_nobody_looked_at(bench: Bench) -> None:
    """All but one of the passes are executed again."""
    _replayed(bench, "missing_replays", of_passes=False, unseen="a pass")


def a_pass_that_was_not_even_executed(bench: Bench) -> None:
    """It was nobody's turn to generate it again."""
    passes = int(bench.parameters["passes"]) + 8
    unseen: Unseen = "a pass beyond those generated"
    _replayed(bench, "missing_replays", of_passes=False, passes=passes, lazily=True, unseen=unseen)


def a_pass_that_was_only_executed(bench: Bench) -> None:
    """One that the draw chose was not generated again."""
    _replayed(bench, "missing_replays", of_passes=False, unseen="a pass that was executed")


def others_that_the_draw_did_not_choose(bench: Bench) -> None:
    """Not the failures whose turn it was, but ones that suit."""
    _replayed(bench, "missing_replays", unseen="the others")


def another_runs_answers(bench: Bench) -> None:
    """What was replayed is not what the run recorded."""
    _lay(bench, _rows())
    model = bench.parameters["model"]
    bench.put(
        f"humaneval_{model}",
        "samples.jsonl",
        [{**_who(row), "completion": "\n    return 3"} for row in _rows()],
    )


def a_draw_over_another_run(bench: Bench) -> None:
    """What was replayed is what the run recorded, and was drawn from something else."""
    _lay(bench, _rows())
    model = bench.parameters["model"]
    bench.put(f"humaneval_replay_{model}", "draw.json", {"entropy": _ENTROPY, "run_sha256": "0" * 64})


def answers_that_were_never_recorded(bench: Bench) -> None:
    """Drawn from this run, and replayed with other answers than it recorded."""
    rows = _rows()
    _lay(bench, rows, [{**row, "recorded": "\n    return 3", "completion": "\n    return 3"} for row in rows])


def nothing_replayed(bench: Bench) -> None:
    """No answer was made again: nothing different would be nothing compared."""
    _lay(bench, _rows())
    bench.put(f"humaneval_replay_{bench.parameters['model']}", "replay.jsonl", "")


def _real(bench: Bench) -> Evidence:
    return bench.real[f"humaneval_replay_{bench.parameters['model']}"]


def _of_every_model(measure: Measure) -> Measure:
    """The same falsifier once for each model, with evidence and records of its own."""
    for model in _MODELS:
        falsifier(
            f"{model}-answers-replayed",
            needs=(f"humaneval_replay_{model}", f"humaneval_{model}"),
            measures={"differing_answers": "answers", "differing_verdicts": "problems", "missing_replays": "problems"},
            parameters={"model": model, "passes": 32, "others": 8},
            controls=(
                known_good(answers_that_come_again),
                known_good(passes_beyond_those_generated_again),
                known_good(only_those_whose_turn_it_was),
                known_good(no_pass_at_all),
                known_good(known_answer_of_this_run),
                known_bad(near_miss_of_this_run),
                known_bad(answers_of_somebody_else),
                known_bad(failures_of_somebody_else),
                known_bad(one_answer_of_somebody_else),
                known_bad(one_failure_of_somebody_else),
                known_bad(a_failure_recorded_as_a_pass),
                known_bad(a_pass_recorded_as_a_failure),
                known_bad(a_pass_that_nobody_looked_at),
                known_bad(a_pass_that_was_only_executed),
                known_bad(a_pass_that_was_not_even_executed),
                known_bad(others_that_the_draw_did_not_choose),
                known_unusable(another_runs_answers, raises=ValueError),
                known_unusable(a_draw_over_another_run, raises=ValueError),
                known_unusable(answers_that_were_never_recorded, raises=ValueError),
                known_unusable(nothing_replayed, raises=ValueError),
            ),
        )(measure)
    return measure


@_of_every_model
def answers_replayed(context: Context) -> Iterator[Measurement]:
    """Refuted when the model answers otherwise than recorded, or a recorded pass was not, or does not pass once more.

    Which answers had to be made again is found anew from the run and the entropy that was drawn after it: every pass
    is executed, `passes` of them and `others` of the rest are generated.
    """
    model = context.parameters["model"]
    run, replay = context.evidence(f"humaneval_{model}"), context.evidence(f"humaneval_replay_{model}")
    rows = by_answer(replay, "replay.jsonl")
    generated = [row for row in rows.values() if "completion" in row]
    if not generated:
        raise ValueError(f"no answer of {run.name} was generated again")
    _require_same_run(run, rows, replay)
    other = sum(row["completion"] != row["recorded"] for row in generated)
    yield Measurement("differing_answers", other, "answers", n=len(generated))
    turned = sum(row["passed"] is not row["recorded_passed"] for row in rows.values())
    yield Measurement("differing_verdicts", turned, "problems", n=len(rows))
    executed, again = _demanded(context, run, replay)
    missing = sum(name not in rows for name in executed) + sum("completion" not in rows.get(name, ()) for name in again)
    yield Measurement("missing_replays", missing, "problems", n=len(executed))


def _recorded(run: Evidence) -> list[tuple[str, str, bool]]:
    """(name, answer, passed) of each answer of the run that has a verdict."""
    texts = {name: row["completion"] for name, row in by_answer(run, "samples.jsonl").items()}
    judged = [(name, row) for name, row in by_answer(run, "results.jsonl").items() if row["outcome"] != "error"]
    return [(name, texts[name], row["passed"]) for name, row in judged]


def _require_same_run(run: Evidence, rows: dict[str, Row], replay: Evidence) -> None:
    """Raise ValueError where what was replayed is not what the run recorded."""
    recorded = {name: (text, passed) for name, text, passed in _recorded(run)}
    strange = [name for name, row in rows.items() if recorded.get(name) != (row["recorded"], row["recorded_passed"])]
    if strange or replay.json("draw.json")["run_sha256"] != _run_sha256(_recorded(run)):
        raise ValueError(f"{replay.name} is not about {run.name}: {', '.join(strange) or 'another digest'}")


def _demanded(context: Context, run: Evidence, replay: Evidence) -> tuple[list[str], list[str]]:
    """Answers to execute again, and those to generate again: every pass, and the others whose turn it was."""
    draw, recorded = replay.json("draw.json"), _recorded(run)
    ordered = sorted(recorded, key=lambda each: _place(draw["entropy"], draw["run_sha256"], each[0]))
    passes = [name for name, _, passed in ordered if passed is True]
    others = [name for name, _, passed in ordered if passed is not True][: int(context.parameters["others"])]
    return [*passes, *others], [*passes[: int(context.parameters["passes"])], *others]


def _place(entropy: str, digest: str, name: str) -> bytes:
    return hashlib.sha256(f"{entropy}\0{digest}\0{name}".encode()).digest()


def _run_sha256(recorded: list[tuple[str, str, bool]]) -> str:
    rows = sorted([name, text, passed] for name, text, passed in recorded)
    return hashlib.sha256(json.dumps(rows).encode("ascii")).hexdigest()


def _digest(rows: Rows) -> str:
    return _run_sha256([(name_of(row), row["recorded"], row["recorded_passed"]) for row in rows])
