"""Does every published file do for itself what the judged folder does, as far as its own answers show?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refute import Context, Measurement, falsifier, known_bad, known_good, known_open, known_unusable, stats
from refute_falsifiers.publication._formats_laid_out import (
    AGAIN,
    ANSWERS,
    BAD,
    CALLS,
    CONVERSION,
    FEWER,
    GOOD,
    MANIFEST,
    NEAR,
    OPEN,
    RESULTS,
    SCORES,
    UNUSABLE,
    WIDTHS,
    Row,
)

_LIMITS = ("max_new_tokens", "stop_sequences")


@falsifier(
    "publication-formats",
    needs=("humaneval_formats", "formats_again", "humaneval_student", "converted", "staged"),
    measures={
        "wrong_files": "files",
        "wrong_scores": "files",
        "unlike": "answers",
        "unrepeated": "answers",
        "difference": "%",
        "kl_16_bit": "nat",
        "kl_8_bit": "nat",
        "kl_below_8_bit": "nat",
    },
    controls=(
        *(known_good(build) for build in GOOD),
        *(known_open(build) for build in OPEN),
        *(known_bad(build) for build in BAD),
        *(known_unusable(build, raises=ValueError) for build in UNUSABLE),
    ),
)
def publication_formats(context: Context) -> Iterator[Measurement]:
    """Refuted when a published file is not one that answered, its score not that of its answers, its answers to other
    words or limits than the folder's, or not what it says when asked again; when it solves less than the folder of the
    same problems (`difference`, of the file with the worst interval), or predicts something else (mean KL).

    Of two files the same answers are no fault: what is quantised little says the same.
    """
    asked, student = context.evidence("humaneval_formats"), context.evidence("humaneval_student")
    scores = {row["label"]: row for row in asked.json(SCORES)["files"]}
    answers = {(row["label"], row["task_id"]): row for row in asked.rows(ANSWERS)}
    calls, verdicts = student.rows_by(CALLS, "task_id"), student.rows_by(RESULTS, "task_id")
    tasks = _tasks(scores, answers, len(asked.rows(ANSWERS)))
    if unknown := tasks - verdicts.keys() or tasks - calls.keys():
        raise ValueError(f"the folder was not asked {', '.join(sorted(unknown))}")
    of_file = {label: {task: answers[label, task] for task in tasks} for label in scores}
    staged = {row["path"]: row["sha256"] for row in context.evidence("staged").rows(MANIFEST)}
    yield _wrong_files(scores, {path: sha256 for path, sha256 in staged.items() if path.endswith(".gguf")})
    wrong = [label for label, row in scores.items() if _is_wrong(row, of_file[label])]
    yield Measurement("wrong_scores", len(wrong), "files", n=len(scores))
    first = next(iter(of_file.values()))
    unlike = [row for (_, task), row in answers.items() if _is_unlike(row, calls[task], first[task])]
    yield Measurement("unlike", len(unlike), "answers", n=len(answers))
    yield _unrepeated(context.evidence("formats_again").rows(AGAIN), answers, scores)
    yield _worst([_pairs(rows, verdicts) for rows in of_file.values()])
    yield from _divergences(context.evidence("converted").json(CONVERSION), [*scores])


def _tasks(scores: Mapping[str, Row], answers: Mapping[tuple[str, str], Row], rows: int) -> set[str]:
    """What every file was asked. Raises ValueError where that is not the same, once each, or there is no file."""
    tasks = {task for _, task in answers}
    if not scores or rows != len(answers) or answers.keys() != {(label, task) for label in scores for task in tasks}:
        raise ValueError(
            f"{rows} answers of {len(scores)} files to {len(tasks)} problems, expected one of each to each"
        )
    return tasks


def _wrong_files(scores: Mapping[str, Row], staged: Mapping[str, str]) -> Measurement:
    asked = {row["file"]: row["sha256"] for row in scores.values()}
    wrong = [path for path in staged.keys() | asked.keys() if staged.get(path) != asked.get(path)]
    return Measurement("wrong_files", len(wrong), "files", n=len(staged.keys() | asked.keys()))


def _is_wrong(score: Row, answers: Mapping[str, Row]) -> bool:
    """Whether the score that is stated is another than its answers'."""
    return (score["problems"], score["passed"]) != (len(answers), sum(map(_passed, answers.values())))


def _is_unlike(row: Row, folder: Row, first: Row) -> bool:
    """Whether the file was asked otherwise than the folder; one behind a server has no ids, so than the first file."""
    ids = folder.get("prompt_ids") or first["prompt_ids"]
    return not ids or row["prompt_ids"] != ids or any(row[name] != folder[name] for name in _LIMITS)


def _unrepeated(again: Sequence[Row], answers: Mapping[tuple[str, str], Row], scores: Mapping[str, Row]) -> Measurement:
    if missing := scores.keys() - {row["label"] for row in again}:
        raise ValueError(f"no answer of {', '.join(sorted(missing))} was asked for again")
    other = [row for row in again if not _is_repeated(row, answers[row["label"], row["task_id"]], scores[row["label"]])]
    return Measurement("unrepeated", len(other), "answers", n=len(again))


def _is_repeated(again: Row, answer: Row, score: Row) -> bool:
    return bool(answer["completion"] == again["recorded"] == again["completion"]) and bool(
        again["file_sha256"] == score["sha256"]
    )


def _passed(row: Row) -> bool:
    """A pass says so twice."""
    return row["passed"] is True and row["outcome"] == "passed"


def _pairs(rows: Mapping[str, Row], folder: Mapping[str, Row]) -> tuple[int, int, int, int]:
    """Problems solved by both, by the file alone, by the folder alone, by neither."""
    pairs = [(_passed(row), _passed(folder[task])) for task, row in rows.items()]
    return (
        pairs.count((True, True)),
        pairs.count((True, False)),
        pairs.count((False, True)),
        pairs.count((False, False)),
    )


def _worst(tables: Sequence[tuple[int, int, int, int]]) -> Measurement:
    """The difference whose interval reaches lowest."""
    worst = min(tables, key=lambda table: stats.paired_difference(*table).low)
    _, gained, lost, _ = worst
    share = 100 * (gained - lost) / sum(worst)
    return Measurement("difference", share, "%", n=sum(worst), interval=stats.paired_difference(*worst))


def _divergences(found: Mapping[str, Any], labels: Sequence[str]) -> Iterator[Measurement]:
    """The largest mean of each width; 0 where no file is as wide."""
    kl = {found["label"]: found["divergence"]["kl"], **{name: each["kl"] for name, each in found["formats"].items()}}
    if missing := [label for label in labels if not kl.get(label)]:
        raise ValueError(f"how far {', '.join(missing)} is from the folder was not looked at")
    for name in NEAR:
        own = [sum(kl[label]) / len(kl[label]) for label in labels if WIDTHS.get(label, FEWER) == name]
        yield Measurement(name, max(own, default=0.0), "nat", n=sum(len(kl[label]) for label in labels))
