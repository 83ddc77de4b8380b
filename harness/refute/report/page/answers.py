"""The answers behind the problem grid, arranged by problem: what was asked, what each model wrote, why it failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refute.judge.predicate.exhibits import CompletionExcerpt, Grid, Prompt


@dataclass(frozen=True, slots=True)
class AnswerView:
    """One model's answer to one problem. `note` says what was cut from `text`, and how to find the whole."""

    model: str
    outcome: str
    reason: str
    text: str
    note: str


@dataclass(frozen=True, slots=True)
class ProblemView:
    """One problem with every answer to it; `prompt` is empty where the verdict does not hold it.

    `anchor` is unique within the report and safe in a link.
    """

    problem: str
    anchor: str
    prompt: str
    note: str
    answers: tuple[AnswerView, ...]


def problem_views(grids: Sequence[Grid], prompts: Sequence[Prompt]) -> tuple[ProblemView, ...]:
    """Every problem that somebody answered, in order of first appearance; a grid without answers adds none."""
    asked = {prompt.problem: prompt for prompt in prompts}
    found: dict[str, list[AnswerView]] = {}
    for grid in grids:
        if not len(grid.problems) == len(grid.outcomes) == len(grid.answers):
            continue
        for problem, outcome, answer in zip(grid.problems, grid.outcomes, grid.answers, strict=True):
            view = AnswerView(grid.name, outcome, answer.reason, answer.completion, _answer_note(answer))
            found.setdefault(problem, []).append(view)
    return tuple(
        _problem(problem, f"problem-{number}", asked.get(problem), tuple(answers))
        for number, (problem, answers) in enumerate(found.items(), start=1)
    )


def _problem(problem: str, anchor: str, prompt: Prompt | None, answers: tuple[AnswerView, ...]) -> ProblemView:
    if prompt is None:
        return ProblemView(problem, anchor, "", "", answers)
    notes = (_cut(prompt.text, prompt.characters), _trained(prompt.trained_ngrams))
    return ProblemView(problem, anchor, prompt.text, " ".join(note for note in notes if note), answers)


def _trained(ngrams: int | None) -> str:
    if ngrams is None:
        return ""
    return (
        f"Contamination: {f'{ngrams:,}' if ngrams else 'none'} of its word n-grams in the tokens that were trained on."
    )


def _answer_note(answer: CompletionExcerpt) -> str:
    cut = _cut(answer.completion, answer.characters)
    return f"{cut} The whole has SHA-256 {answer.completion_sha256}." if cut else ""


def _cut(text: str, characters: int) -> str:
    return f"Cut: the first {len(text):,} of {characters:,} characters." if len(text) < characters else ""
