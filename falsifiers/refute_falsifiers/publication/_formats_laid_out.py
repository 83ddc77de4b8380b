"""Files that answered HumanEval's problems, right and wrong: what the controls of `publication-formats` are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from refute import Bench, Measurement, stats

SCORES, ANSWERS, AGAIN, CONVERSION = "formats.json", "answers.jsonl", "again.jsonl", "conversion.json"
CALLS, RESULTS, MANIFEST = "model_calls.jsonl", "results.jsonl", "manifest.jsonl"
# Of any other label the blocks have fewer bits.
WIDTHS = {"F32": "kl_16_bit", "F16": "kl_16_bit", "BF16": "kl_16_bit", "Q8_0": "kl_8_bit"}
FEWER = "kl_below_8_bit"
Row = dict[str, Any]
_COUNTED = ("wrong_files", "wrong_scores", "unlike", "unrepeated")
NEAR = {"kl_16_bit": 1e-6, "kl_8_bit": 5e-3, "kl_below_8_bit": 0.5}

# Of each width the last is as far off as it is to be; one in the middle stands alone.
_LABELS, _TASKS, _MOST = ("F16", "BF16", "Q8_0", "Q4_K_M", "Q4_0"), 164, 400
_ALONE, _FAR = "Q8_0", ("BF16", "Q8_0", "Q4_0")
_ASKED: Mapping[str, Any] = {"prompt_ids": [5, 6], "max_new_tokens": 80, "stop_sequences": ["\n(?=\\S)"]}


class _Table(NamedTuple):
    """Of all problems, how many both solve, a file alone, the folder alone."""

    both: int
    gained: int
    lost: int


_ALIKE = _Table(40, 0, 0)


def _tables(preferred: _Table) -> Iterator[_Table]:
    yield preferred
    for both in (preferred.both, 0, _TASKS // 2):
        for part in range(_TASKS - both + 1):
            yield from (_Table(both, part, 0), _Table(both, 0, part), _Table(both, part, _TASKS - both - part))


def _of_each_file(table: _Table, *, alone: bool) -> list[_Table]:
    """`table` of one file, and of the others, too, unless it stands `alone`: they solve what the folder does."""
    return [_Table(table.both + table.lost, 0, 0) if alone and label != _ALONE else table for label in _LABELS]


def _worst_of(tables: Iterable[_Table]) -> Iterator[Measurement]:
    found = [(each.both, each.gained, each.lost, _TASKS - sum(each)) for each in tables]
    worst = min(found, key=lambda table: stats.paired_difference(*table).low)
    share = 100 * (worst[1] - worst[2]) / _TASKS
    yield Measurement("difference", share, "%", n=_TASKS, interval=stats.paired_difference(*worst))


def _amount(bench: Bench, measurement: str, own: int) -> int:
    bar = bench.bar(measurement)
    return int((bar.failing if own else bar.holding)(own, low=own, high=_MOST, whole=True))


def _divergence(bench: Bench, name: str, value: float, *, failing: bool) -> float:
    bar = bench.bar(name)
    return (bar.failing if failing else bar.holding)(value, low=0.0, high=100.0, clear=True)


def _lay_out(
    bench: Bench,
    table: _Table = _ALIKE,
    *,
    alone: bool = False,
    unsure: bool = False,
    spoilt: Mapping[str, Any] | None = None,
    **wrong: float,
) -> None:
    """Files that answered, some of their answers asked for again, and how far each is from the folder.

    `wrong` says which measurements fail their bars, and by how much: `difference` by `table`, an answer that is
    `spoilt` is unlike what the folder was asked. More is added where the bars want more of it, or of the rest.
    """
    count = {name: _amount(bench, name, int(wrong.get(name, 0))) for name in ("wrong_files", "wrong_scores")}
    count |= {name: _amount(bench, name, int(wrong.get(name, 0))) for name in ("unlike", "unrepeated")}
    sides = {"failing": ["difference"] * ("difference" in wrong), "unsure": ["difference"] * unsure}
    candidates = [_of_each_file(each, alone=one) for one in (alone, False) for each in _tables(table)]
    tables = dict(zip(_LABELS, bench.choose(candidates, _worst_of, **sides), strict=True))
    tables |= {f"Q6_K {n}": tables["F16"] for n in range(count["wrong_scores"])}
    far = {name: _divergence(bench, name, wrong.get(name, near), failing=name in wrong) for name, near in NEAR.items()}
    answers = [row for label, each in tables.items() for row in _answers(label, each)]
    again = [_again(row) for row in answers if row["task_id"] == "HumanEval/0" or row["label"] == _LABELS[-1]]
    scores = [_score(label, each.both + each.gained + (label not in _LABELS)) for label, each in tables.items()]
    staged = [{"path": each["file"], "sha256": each["sha256"]} for each in scores]
    for row in answers[: count["unlike"]]:
        row |= spoilt or {"prompt_ids": [5, 7]}
    for row in again[len(again) - count["unrepeated"] :] if count["unrepeated"] else ():
        row["completion"] = "    return 7"
    staged += [{"path": f"another.{n}.gguf", "sha256": "0" * 64} for n in range(count["wrong_files"])]
    _put(
        bench,
        tables["F16"],
        scores,
        answers,
        again,
        staged,
        {label: far[WIDTHS.get(label, FEWER)] if label in _FAR else 0.0 for label in tables},
    )


def _put(
    bench: Bench,
    table: _Table,
    scores: Sequence[Row],
    answers: Sequence[Row],
    again: Sequence[Row],
    staged: Sequence[Row],
    far: Mapping[str, float],
) -> None:
    solved = set(range(table.both + table.gained, _TASKS)[: table.lost]) | set(range(table.both))
    bench.put("humaneval_student", RESULTS, [_verdict(n, n in solved) for n in range(_TASKS)])
    bench.put("humaneval_student", CALLS, [{"task_id": f"HumanEval/{n}", "sample": 0, **_ASKED} for n in range(_TASKS)])
    bench.put("humaneval_formats", SCORES, {"files": list(scores)})
    bench.put("humaneval_formats", ANSWERS, list(answers))
    bench.put("formats_again", AGAIN, list(again))
    bench.put("staged", MANIFEST, [*staged, {"path": "config.json", "sha256": "1" * 64}])
    divergences = {label: {"kl": [value] * 4} for label, value in far.items()}
    first = divergences.pop("F16", {"kl": []})
    bench.put("converted", CONVERSION, {"label": "F16", "divergence": first, "formats": divergences})


def _verdict(number: int, passed: bool) -> Row:
    return {"task_id": f"HumanEval/{number}", "passed": passed, "outcome": "passed" if passed else "failed"}


def _answers(label: str, table: _Table) -> list[Row]:
    solved = range(table.both + table.gained)
    own = {"label": label, **_ASKED, "completion": "    return 1"}
    return [{**own, **_verdict(number, number in solved)} for number in range(_TASKS)]


def _score(label: str, passed: int) -> Row:
    return {"label": label, "file": f"m.{label}.gguf", "sha256": _sha256(label), "problems": _TASKS, "passed": passed}


def _again(row: Mapping[str, Any]) -> Row:
    said = row["completion"]
    own = {name: row[name] for name in ("label", "task_id")}
    return {**own, "file_sha256": _sha256(row["label"]), "recorded": said, "completion": said}


def _sha256(label: str) -> str:
    return hashlib.sha256(label.encode()).hexdigest()


def as_good_as_the_folder(bench: Bench) -> None:
    """Every file solves what the folder does, asked in the same words, and says it again."""
    _lay_out(bench)


def more_than_the_folder(bench: Bench) -> None:
    """Twenty that the folder does not solve, two lost."""
    _lay_out(bench, _Table(40, 20, 2))


def three_lost(bench: Bench) -> None:
    """Or another difference whose interval reaches over the bar."""
    _lay_out(bench, _Table(10, 0, 3), unsure=True)


def files_that_solve_less(bench: Bench) -> None:
    """Every file loses most of what the folder solves."""
    _lay_out(bench, _Table(10, 0, 90), difference=1)


def one_file_that_solves_less(bench: Bench) -> None:
    """The smallest alone, beside two that are as good as the folder."""
    _lay_out(bench, _Table(10, 4, 94), alone=True, difference=1)


def a_file_that_nobody_asked(bench: Bench) -> None:
    """It is published, and has no answer of its own."""
    _lay_out(bench, wrong_files=1)


def a_score_of_another_file(bench: Bench) -> None:
    """The score that is stated is not what the file's own answers come to."""
    _lay_out(bench, wrong_scores=1)


def another_prompt(bench: Bench) -> None:
    """One answer is to other words than the folder was asked in."""
    _lay_out(bench, unlike=1)


def more_room(bench: Bench) -> None:
    """A file may say more than the folder."""
    _lay_out(bench, unlike=1, spoilt={"max_new_tokens": 512})


def another_stop(bench: Bench) -> None:
    """A file's answer ends elsewhere."""
    _lay_out(bench, unlike=1, spoilt={"stop_sequences": []})


def an_answer_of_another_file(bench: Bench) -> None:
    """Asked again, the file says something else."""
    _lay_out(bench, unrepeated=1)


def one_width_far_off(name: str, value: float) -> Any:
    """A control in which files of one width alone are further from the folder than the bar allows."""

    def build(bench: Bench) -> None:
        """Files of one width predict something else."""
        wrong: dict[str, Any] = {name: value}
        _lay_out(bench, **wrong)

    build.__name__ = f"{name}_far_off"
    return build


def _by_hand(
    bench: Bench, *failing: str, labels: Sequence[str] = ("F16",), table: _Table = _ALIKE, **changed: Any
) -> None:
    """Right files of these labels, anything of them `changed`, under bars that see what is `failing` and no more."""
    for name in _COUNTED:
        bar, own = bench.bar(name), int(name in failing)
        (bar.failing if own else bar.holding)(own, low=own, high=own, whole=True)
    for name in NEAR:
        bench.bar(name).holding(0.0, low=0.0, high=0.0)
    bench.choose([[table]], _worst_of)
    _change(bench, labels, **changed)


def _change(bench: Bench, labels: Sequence[str] = ("F16",), **changed: Any) -> None:
    """The same, whatever the bars: it cannot be used, or is what `_by_hand` has seen to."""
    answers = [row for label in labels for row in _answers(label, _ALIKE)]
    right = {
        "scores": [_score(label, 40) for label in labels],
        "answers": answers,
        "again": [_again(row) for row in answers[::_TASKS]],
        "staged": [{"path": f"m.{label}.gguf", "sha256": _sha256(label)} for label in labels],
        "far": dict.fromkeys(labels, 0.0),
    }
    _put(bench, _ALIKE, **{name: changed.get(name, content) for name, content in right.items()})
    for (need, file), rows in changed.get("files", {}).items():
        bench.put(need, file, rows)


def one_file_alone(bench: Bench) -> None:
    """A release without a quantised file."""
    _by_hand(bench)


def a_folder_behind_a_server(bench: Bench) -> None:
    """The folder's ids are not known; the files were all asked in the same."""
    _by_hand(bench, labels=("F16", "Q4_0"), files=_calls(prompt_ids=None, prompt="def f():"))


def other_words_than_another_file(bench: Bench) -> None:
    """The folder's ids are not known, and of two files one was asked in others."""
    rows = [row for label in ("F16", "Q4_0") for row in _answers(label, _ALIKE)]
    rows[-1]["prompt_ids"] = [5, 7]
    _by_hand(bench, "unlike", labels=("F16", "Q4_0"), answers=rows, files=_calls(prompt_ids=None))


def words_that_nobody_noted(bench: Bench) -> None:
    """In which words file and folder were asked, neither says."""
    rows = [{**row, "prompt_ids": []} for row in _answers("F16", _ALIKE)]
    _by_hand(bench, "unlike", answers=rows, files=_calls(prompt_ids=None))


def _calls(**changed: Any) -> dict[tuple[str, str], list[Row]]:
    rows = [{"task_id": f"HumanEval/{n}", "sample": 0, **_ASKED, **changed} for n in range(_TASKS)]
    return {("humaneval_student", CALLS): rows}


def another_file_of_that_name(bench: Bench) -> None:
    """What was asked is not what is published under its name."""
    _by_hand(bench, "wrong_files", staged=[{"path": "m.F16.gguf", "sha256": "0" * 64}])


def a_file_that_is_not_published(bench: Bench) -> None:
    """It answered, and is not staged."""
    _by_hand(bench, "wrong_files", labels=("F16", "Q4_0"), staged=[{"path": "m.F16.gguf", "sha256": _sha256("F16")}])


def asked_again_of_another_file(bench: Bench) -> None:
    """The same answers, of other bytes."""
    _by_hand(bench, "unrepeated", again=[{**_first_again(), "file_sha256": "0" * 64}])


def another_answer_on_record(bench: Bench) -> None:
    """What was asked again is an answer that the file never gave."""
    _by_hand(bench, "unrepeated", again=[{**_first_again(), "recorded": "x", "completion": "x"}])


def _first_again() -> Row:
    return _again(_answers("F16", _ALIKE)[0])


def other_words_of_one_file_alone(bench: Bench) -> None:
    """No other file shows that it was asked otherwise: the folder was."""
    rows = _answers("F16", _ALIKE)
    rows[0]["prompt_ids"] = [5, 7]
    _by_hand(bench, "unlike", answers=rows)


def passes_that_are_none(bench: Bench) -> None:
    """Rows of a file whose flag and outcome contradict each other count for nothing, and the folder solves nothing."""
    halves = [{"passed": True, "outcome": "failed"}, {"passed": False, "outcome": "passed"}]
    rows = [{**row, **halves[n % 2]} for n, row in enumerate(_answers("F16", _ALIKE))]
    _by_hand(bench, table=_Table(0, 0, 0), scores=[_score("F16", 0)], answers=rows, files=_solved(range(0)))


def _solved(tasks: range) -> dict[tuple[str, str], list[Row]]:
    return {("humaneval_student", RESULTS): [_verdict(n, n in tasks) for n in range(_TASKS)]}


def nobody_asked(bench: Bench) -> None:
    """No file was asked, and none is published."""
    _change(bench, labels=())


def other_problems(bench: Bench) -> None:
    """One problem of the files is not one of the folder's."""
    rows = _answers("F16", _ALIKE)
    _change(bench, answers=[*rows[1:], {**rows[0], "task_id": "HumanEval/999"}])


def no_verdict_of_the_folder(bench: Bench) -> None:
    """Of one problem nobody knows whether the folder solves it."""
    rows = _solved(range(40))["humaneval_student", RESULTS][1:]
    _change(bench, files={("humaneval_student", RESULTS): rows})


def no_word_of_what_the_folder_was_asked(bench: Bench) -> None:
    """Of one problem nobody knows in which words it was put."""
    rows = _calls()["humaneval_student", CALLS][1:]
    _change(bench, files={("humaneval_student", CALLS): rows})


def another_problem_of_one(bench: Bench) -> None:
    """Two files, of which one was asked what suits it."""
    rows = [row for label in ("F16", "Q4_0") for row in _answers(label, _ALIKE)]
    rows[-1]["task_id"] = "HumanEval/999"
    _change(bench, labels=("F16", "Q4_0"), answers=rows)


def one_problem_twice(bench: Bench) -> None:
    """A problem counts double."""
    rows = _answers("F16", _ALIKE)
    _change(bench, answers=[*rows, rows[0]])


def one_file_not_asked_again(bench: Bench) -> None:
    """Its answers may be the other one's."""
    _change(bench, labels=("F16", "Q4_0"), again=[_first_again()])


def no_divergence(bench: Bench) -> None:
    """How far the file is from the folder nobody looked at."""
    _change(bench, far={})


GOOD = (as_good_as_the_folder, more_than_the_folder, one_file_alone, a_folder_behind_a_server, passes_that_are_none)
OPEN = (three_lost,)
BAD = (
    *(files_that_solve_less, one_file_that_solves_less, a_score_of_another_file),
    *(a_file_that_nobody_asked, another_file_of_that_name, a_file_that_is_not_published),
    *(another_prompt, more_room, another_stop, other_words_than_another_file, words_that_nobody_noted),
    *(other_words_of_one_file_alone, an_answer_of_another_file, asked_again_of_another_file, another_answer_on_record),
    *(one_width_far_off(name, 5.0) for name in NEAR),
)
UNUSABLE = (
    *(nobody_asked, other_problems, one_problem_twice, another_problem_of_one, one_file_not_asked_again, no_divergence),
    *(no_verdict_of_the_folder, no_word_of_what_the_folder_was_asked),
)
