"""Answers that are no Python behind their prompt, and why: a zero is often a matter of format, and not of the model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from refute.engines.humaneval.problems.problems import Problem

# What Python says of a text that it cannot compile. It is asked in the sandbox only: a compiler can be made to crash.
_NOT_COMPILED = frozenset({"SyntaxError", "IndentationError", "TabError"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What follows a problem's head, and how its program ended (see `ending`)."""

    problem: Problem
    completion: str
    ended: str


def format_faults(answers: Iterable[Answer]) -> dict[str, int]:
    """How many answers are empty, or made a program that did not compile, by their first symptom, commonest first.

    Each is counted once, so that the counts add up to the answers with a fault. One that passed has none.
    """
    return _counts(_symptom(answer) for answer in answers if _faulty(answer))


def endings(answers: Iterable[Answer]) -> dict[str, int]:
    """How many answers ended in which way, commonest first."""
    return _counts(answer.ended for answer in answers)


def ending(outcome: str, detail: str) -> str:
    """How a program ended, in a word: the exception that failed it, such as `AssertionError`, or its outcome."""
    raised = re.match(r"([A-Za-z_]\w*)(?:: | at: |$)", detail)
    return raised[1] if raised and outcome == "failed" else outcome


def _counts(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def _faulty(answer: Answer) -> bool:
    return answer.ended in _NOT_COMPILED or (answer.ended != "passed" and not answer.completion.strip())


def _repeats_the_prompt(answer: Answer) -> bool:
    return re.search(rf"^\s*def {re.escape(answer.problem.entry_point)}\b", answer.completion, re.MULTILINE) is not None


def _lost_its_indentation(answer: Answer) -> bool:
    return answer.ended == "IndentationError" or not answer.completion.lstrip("\n")[:1].isspace()


# The first that is so names the fault.
_SYMPTOMS: tuple[tuple[str, Callable[[Answer], bool]], ...] = (
    ("are empty", lambda answer: not answer.completion.strip()),
    ("begin with a code fence", lambda answer: answer.completion.lstrip().startswith(("```", "~~~"))),
    ("hold a draft in reasoning tags", lambda answer: re.search(r"</?think(?:ing)?>", answer.completion) is not None),
    ("hold a special token", lambda answer: re.search(r"<\|\w+\|>|</s>", answer.completion) is not None),
    ("hold a code fence", lambda answer: "```" in answer.completion),
    ("repeat the prompt", _repeats_the_prompt),
    ("begin without the body's indentation: was the text stripped?", _lost_its_indentation),
)


def _symptom(answer: Answer) -> str:
    return next((name for name, holds in _SYMPTOMS if holds(answer)), "are no Python")
