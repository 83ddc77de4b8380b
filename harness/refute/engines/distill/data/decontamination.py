"""Recognises documents that share a word n-gram with a benchmark, or a solution of it under other names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from refute.engines.distill.data.renamed import owners, runs
from refute.errors import ExperimentError, MissingInputsError
from refute.problem_rows.formats import humaneval_rows, published

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Every n-gram of words of a benchmark's problems, and every run of tokens of its solutions, whatever their names.

    Words are lower-case runs of letters, digits, `_`; runs are those of `renamed`.
    """

    ngram: int
    problems: tuple[str, ...]
    grams: frozenset[str]
    runs: frozenset[int] = frozenset()

    @classmethod
    def of(cls, problems: Sequence[str], ngram: int, solutions: Sequence[str] = ()) -> Self:
        """The benchmark made of these problem texts and solutions; without any, it recognises nothing."""
        grams = frozenset(gram for text in problems for gram in word_grams(text, ngram))
        return cls(ngram, tuple(problems), grams, frozenset(owners(solutions)))

    @classmethod
    def read(cls, path: Path, ngram: int) -> Self:
        """The benchmark of a HumanEval file. Raises as `read_problems` does."""
        return cls.of(read_problems(path), ngram, read_solutions(path))

    def found_in(self, text: str) -> bool:
        """Whether `text` shares at least one n-gram with a problem, or a run of tokens with a renamed solution."""
        shares = not self.grams.isdisjoint(word_grams(text, self.ngram))
        return shares or not self.runs.isdisjoint(runs(text).tolist())

    def count_rejected(self) -> int:
        """How many of its own problems it recognises by their words: the positive control, to be all of them.

        Raises ExperimentError when one is missed, which happens when it has fewer words than an n-gram.
        """
        by_words = replace(self, runs=frozenset())
        rejected = sum(by_words.found_in(text) for text in self.problems)
        if rejected != len(self.problems):
            raise ExperimentError(
                f"decontamination: {self.ngram}-grams recognise {rejected} of the benchmark's own "
                f"{len(self.problems)} problems, expected all",
                hint="lower `corpus.decontaminate_ngram`",
            )
        return rejected


def word_grams(text: str, ngram: int) -> list[str]:
    """All runs of `ngram` consecutive words, each joined by spaces; empty for shorter texts."""
    words = _WORD.findall(text.lower())
    return [" ".join(words[start : start + ngram]) for start in range(len(words) - ngram + 1)]


def read_problems(path: Path) -> list[str]:
    """One text a problem (prompt, canonical solution and tests) of a problem file of HumanEval, EvalPlus or MBPP.

    Raises MissingInputsError when the file is absent, or holds anything but problems.
    """
    return ["\n".join(texts) for texts in _texts(path)]


def read_solutions(path: Path) -> list[str]:
    """As `read_problems`, without the tests: what somebody would copy, and rename."""
    return ["".join(texts[:2]) for texts in _texts(path)]


def _texts(path: Path) -> list[list[str]]:
    if not path.is_file():
        raise MissingInputsError(f"decontamination: the problems {path} are missing")
    try:
        found = [published(row) for row in humaneval_rows(path.read_bytes())]
    except (OSError, ValueError, KeyError) as error:
        raise MissingInputsError(f"decontamination: {path} is no problem file: {error!r}") from error
    if not found or not all(isinstance(text, str) for texts in found for text in texts):
        raise MissingInputsError(f"decontamination: {path} holds no problem, expected at least one")
    return found
