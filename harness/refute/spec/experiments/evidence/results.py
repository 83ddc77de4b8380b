"""Results of other tools in one form: a row an item and sample, and what was said of each run."""

from __future__ import annotations

from typing import Literal

from refute.spec.experiments.evidence.base import EvidenceModel
from refute.spec.fields import Sha256


class ScoredItem(EvidenceModel):
    """What one item came to. `sample` counts the answers to it from 0.

    `score` is None where there is none, and `error` says why. `prompt_sha256` is of what the model was asked, None
    where the tool does not say. `fields` are what the tool says of the item, such as its category.
    """

    benchmark: str
    side: Literal["student", "baseline"]
    item: str
    sample: int
    score: float | None
    error: str | None
    prompt_sha256: Sha256 | None
    fields: dict[str, str]


class ScoredRun(EvidenceModel):
    """How the items of one side came to be, as the tool says; None and empty where it does not.

    `declared_items` is how many items the tool says there were. `settings` are those that must be the same on both
    sides of a comparison, such as the number of examples in the prompt. Whose answers they are is what the tool claims.
    """

    benchmark: str
    side: Literal["student", "baseline"]
    tool: str
    version: str | None
    model: str | None
    metric: str
    items: int
    declared_items: int | None
    settings: dict[str, str]
    sha256: Sha256
