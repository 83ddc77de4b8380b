"""Answers that are no Python behind their prompt, and why: a zero is often a matter of format, and not of the model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.program import function_head

# What Python says of a text that it cannot compile. It is asked in the sandbox only: a compiler can be made to crash.
_NOT_COMPILED = frozenset({"SyntaxError", "IndentationError", "TabError"})
# Stands between what a call raised and the test's line.
_OF_A_CALL = " at: "
# What stands for quotes, brackets, commas, colons and spaces in other writing than Python's.
_FOREIGN = r"[\u00a0\u2000-\u200f\u2018-\u201f\u202f\u3000\u3001\uff01-\uff5e\ufeff]"
# How tokenizers write spaces, line ends and bytes in their vocabularies.
_PIECES = r"[\u0120\u010a\u2581]|<0x[0-9A-F]{2}>"
_CODE = r"[=(\[{:]|\b(?:return|pass|import|def)\b"
_ESCAPED = r"&(?:lt|gt|amp|quot|#39);"
# Behind white space, at the margin; comments and closing brackets may stand there within a body.
_AT_THE_MARGIN = r"\s*^(?=[^\s#)\]}])"


@dataclass(frozen=True, slots=True)
class Answer:
    """What follows a problem's head, and how its program ended (see `ending`)."""

    problem: Problem
    completion: str
    ended: str


def format_faults(answers: Iterable[Answer]) -> dict[str, int]:
    """How many answers are empty, do not compile, or define something else, by their first symptom, commonest first.

    Each is counted once, so that the counts add up to the answers with a fault. One that passed has none.
    """
    return _counts(_symptom(answer) for answer in answers if _faulty(answer))


def endings(answers: Iterable[Answer]) -> dict[str, int]:
    """How many answers ended in which way, commonest first; of a wrong answer, whether nothing is ever returned."""
    return _counts(
        f"{answer.ended}, nothing is returned" if _returns_nothing(answer) else answer.ended for answer in answers
    )


def ending(outcome: str, detail: str) -> str:
    """How a program ended, in words: the exception that failed it, such as `AssertionError`, or its outcome.

    One that was raised before the function was ever called says so: the program's own tests or its `input()`, say.
    """
    raised = re.match(r"([A-Za-z_]\w*)(?:: | at: |$)", detail)
    if not raised or outcome != "failed":
        return outcome
    # What a call raises is told with the line of the test that called.
    loading = _OF_A_CALL not in detail and raised[1] not in _NOT_COMPILED
    return f"{raised[1]} while the program loads" if loading else raised[1]


def _returns_nothing(answer: Answer) -> bool:
    return answer.ended == "AssertionError" and not _holds(r"\b(?:return[ \t]*[^\s#;]|return[ \t]*\\|yield|lambda)")(
        answer
    )


def _counts(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def _faulty(answer: Answer) -> bool:
    if answer.ended == "passed":
        return False
    return answer.ended in _NOT_COMPILED or not answer.completion.strip() or _defines_something_else(answer)


def _defines_something_else(answer: Answer) -> bool:
    """Whether it begins behind the function, whose body is then the prompt's alone, and does not define it again."""
    begins = f"{answer.problem.prompt[len(function_head(answer.problem)) :]}{answer.completion}"
    name = re.escape(answer.problem.entry_point)
    again = rf"^(?:(?:async )?def {name}\b|{name}\s*[:=])"
    return re.match(_AT_THE_MARGIN, begins, re.MULTILINE) is not None and not _holds(again)(answer)


def _is_a_method(answer: Answer) -> bool:
    name = re.escape(answer.problem.entry_point)
    return _defines_something_else(answer) and _holds(rf"^[ \t]+(?:async )?def {name}\b")(answer)


def _holds(pattern: str) -> Callable[[Answer], bool]:
    found = re.compile(pattern, re.MULTILINE)
    return lambda answer: found.search(answer.completion) is not None


def _repeats_the_prompt(answer: Answer) -> bool:
    return re.search(rf"^\s*def {re.escape(answer.problem.entry_point)}\b", answer.completion, re.MULTILINE) is not None


def _lost_its_indentation(answer: Answer) -> bool:
    return answer.ended == "IndentationError" or not answer.completion.lstrip("\n")[:1].isspace()


# The first that is so names the fault.
_SYMPTOMS: tuple[tuple[str, Callable[[Answer], bool]], ...] = (
    ("are empty", lambda answer: not answer.completion.strip()),
    ("begin with a code fence", lambda answer: answer.completion.lstrip().startswith(("```", "~~~"))),
    ("hold a draft in reasoning tags", _holds("</?think(?:ing)?>")),
    ("hold a special token", _holds(r"<\|\w+\|>|</s>")),
    ("hold a code fence", _holds("```")),
    ("define the function as a method of a class", _is_a_method),
    ("hold signs as HTML writes them", _holds(_ESCAPED)),
    ("hold pieces of a tokenizer: they were not decoded", _holds(_PIECES)),
    ("hold typographic quotes, full-width signs or spaces that Python does not know", _holds(_FOREIGN)),
    ("repeat the prompt", _repeats_the_prompt),
    ("define something else than the function", _holds(rf"\A{_AT_THE_MARGIN}(?:async def|def|class)\b")),
    ("are prose without a sign of code: a refusal?", lambda answer: not _holds(_CODE)(answer)),
    ("begin without the body's indentation: was the text stripped?", _lost_its_indentation),
)


def _symptom(answer: Answer) -> str:
    return next((name for name, holds in _SYMPTOMS if holds(answer)), "are no Python")
