"""The problem grids of a report: outcomes, and of each answer its beginning and the digest of the whole.

A verdict must stay small: however long completions are, the signed texts together stay within fixed budgets, shared
evenly. The whole completions are evidence (samples.jsonl), and their digests are signed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from refute.judge.exhibits.reading import Lines, read_object, read_rows
from refute.judge.predicate.exhibits import CompletionExcerpt, Grid, Prompt
from refute.spec.experiments.evidence.humaneval import Result, Sample
from refute.spec.experiments.evidence_files import (
    CONTAMINATION,
    HUMANEVAL_INIT,
    HUMANEVAL_SEQUENTIAL,
    HUMANEVAL_STUDENT,
    HUMANEVAL_TEACHER,
    OVERLAP,
    PROMPTS,
    RESULTS,
    SAMPLES,
)

SCORED = (
    ("teacher", HUMANEVAL_TEACHER),
    ("init", HUMANEVAL_INIT),
    ("student", HUMANEVAL_STUDENT),
    ("student, until decided", HUMANEVAL_SEQUENTIAL),
)

# Characters: of all prompts, of all completions with their reasons, and of one text at most.
_PROMPTS, _ANSWERS, _LONGEST = 65_536, 131_072, 1_200
_LONGEST_REASON = 200


def grids(lines: Lines) -> tuple[Grid, ...]:
    """One grid for each model that was scored, in the order of its results."""
    found = [(label, name, rows) for label, name in SCORED if (rows := read_rows(lines, name, RESULTS))]
    share = min(_LONGEST, _ANSWERS // max(sum(len(rows) for *_, rows in found), 1))
    return tuple(_grid(label, rows, read_rows(lines, name, SAMPLES), share) for label, name, rows in found)


def prompts(lines: Lines) -> tuple[Prompt, ...]:
    """The problems of the grids as they were put, each once, in order of first appearance; and what was trained on."""
    texts = {row.task_id: row.prompt for _, name in SCORED for row in read_rows(lines, name, PROMPTS)}
    share = min(_LONGEST, _PROMPTS // max(len(texts), 1))
    trained = _trained_ngrams(lines)
    return tuple(
        Prompt(problem=task, text=_sound(text)[:share], characters=len(text), trained_ngrams=trained.get(task))
        for task, text in texts.items()
    )


def _trained_ngrams(lines: Lines) -> dict[str, int]:
    """By task, as far as a model was put the problems in the order of their file: the search names their places."""
    found = read_object(lines, CONTAMINATION, OVERLAP)
    put = next(
        (rows for _, name in SCORED if name != HUMANEVAL_SEQUENTIAL and (rows := read_rows(lines, name, PROMPTS))), ()
    )
    if found is None or len(put) > found.problems:
        return {}
    return {row.task_id: found.corpus.contaminated.get(str(place), 0) for place, row in enumerate(put)}


def _grid(label: str, results: Sequence[Result], samples: Iterable[Sample], share: int) -> Grid:
    completions = {sample.task_id: sample.completion for sample in samples}
    # A problem without a verdict may have no answer, but it has a reason.
    answers = tuple(
        _answer(completions.get(result.task_id, ""), result.detail, share)
        for result in results
        if result.task_id in completions or (completions and result.outcome == "error")
    )
    return Grid(
        name=label,
        problems=tuple(result.task_id for result in results),
        outcomes=tuple(result.outcome for result in results),
        answers=answers,
    )


def _answer(completion: str, reason: str, share: int) -> CompletionExcerpt:
    return CompletionExcerpt(
        completion=_sound(completion)[:share],
        completion_sha256=hashlib.sha256(completion.encode("utf-8", "surrogatepass")).hexdigest(),
        characters=len(completion),
        reason=_sound(reason)[:_LONGEST_REASON],
    )


def _sound(text: str) -> str:
    """Text that UTF-8 can hold: a server may have sent half of a pair."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
