"""A rule: what it looks for, how much it weighs, what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from refute.engines.model.tools.stored import StoredModel

Severity = Literal["error", "warn", "info"]
# What the quality of a model is made of; `engines/model/tools/quality.py` weighs them.
Group = Literal["physics", "structure", "provenance", "identity", "tokenizer"]
Look = Callable[[StoredModel], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """`look` yields one sentence for each place where a model breaks it; `formats` are those that it is about."""

    id: str
    severity: Severity
    group: Group
    fix: str
    look: Look
    formats: tuple[str, ...] = ("hf",)


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where a model breaks a rule."""

    rule: str
    severity: Severity
    group: Group
    found: str
    fix: str
