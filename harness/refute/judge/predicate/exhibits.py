"""Shapes of what a verdict shows beside its measurements: facts, curves, prompts and answers."""

from __future__ import annotations

from typing import Literal

from refute.spec.fields import Closed, Sha256


class Fact(Closed):
    """One line of a report section."""

    label: str
    value: str


class Section(Closed):
    """One of the nine dogfood sections: filled from evidence, or `not_run` with the reason in `note`."""

    number: int
    title: str
    state: Literal["measured", "not_run"]
    note: str = ""
    facts: tuple[Fact, ...] = ()
    text: str = ""


class Curve(Closed):
    """A series over optimiser steps, such as held-out CE in nat per token."""

    chart: str
    name: str
    unit: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


class Prompt(Closed):
    """A problem as it was put: the beginning of its `characters`.

    `trained_ngrams`: how many of its word n-grams stand in the tokens that were trained on; None where nobody looked.
    """

    problem: str
    text: str
    characters: int
    trained_ngrams: int | None = None


class CompletionExcerpt(Closed):
    """What a model answered to a problem: the beginning of its `characters`, the digest of all, why it failed."""

    completion: str
    completion_sha256: Sha256
    characters: int
    reason: str = ""


Outcomes = Literal["passed", "failed", "timeout", "error"]


class Grid(Closed):
    """One row of the per-problem grid: `outcomes` has a word for each of `problems`, `answers` as many or none."""

    name: str
    problems: tuple[str, ...]
    outcomes: tuple[Outcomes, ...]
    answers: tuple[CompletionExcerpt, ...] = ()


class Exhibits(Closed):
    """What a report shows beyond the records; all of it read from evidence, none of it judged."""

    sections: tuple[Section, ...] = ()
    curves: tuple[Curve, ...] = ()
    grids: tuple[Grid, ...] = ()
    prompts: tuple[Prompt, ...] = ()
