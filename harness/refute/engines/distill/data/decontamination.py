"""Recognises documents that share a word n-gram with a benchmark."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from refute.errors import ExperimentError, MissingInputsError

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Every n-gram of words of a benchmark's problems. Words are lower-case runs of letters, digits, `_`."""

    ngram: int
    problems: tuple[str, ...]
    grams: frozenset[str]

    @classmethod
    def of(cls, problems: Sequence[str], ngram: int) -> Self:
        """The benchmark made of these problem texts; without any, it recognises nothing."""
        grams = frozenset(gram for text in problems for gram in word_grams(text, ngram))
        return cls(ngram, tuple(problems), grams)

    def found_in(self, text: str) -> bool:
        """Whether `text` shares at least one n-gram with a problem."""
        return not self.grams.isdisjoint(word_grams(text, self.ngram))

    def count_rejected(self) -> int:
        """How many of its own problems it recognises: the positive control, to be all of them.

        Raises ExperimentError when one is missed, which happens when it has fewer words than an n-gram.
        """
        rejected = sum(self.found_in(text) for text in self.problems)
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
    """One text a problem (prompt, canonical solution and tests) of a HumanEval JSONL file, gzipped or not.

    Raises MissingInputsError when the file is absent, or holds anything but problems.
    """
    if not path.is_file():
        raise MissingInputsError(f"decontamination: the problems {path} are missing")
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        problems = ["\n".join((row["prompt"], row["canonical_solution"], row["test"])) for row in rows]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise MissingInputsError(f"decontamination: {path} is not a HumanEval file: {error!r}") from error
    if not problems:
        raise MissingInputsError(f"decontamination: {path} holds no problem, expected at least one")
    return problems
