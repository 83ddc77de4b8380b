"""One form for the results of all tools, and what is wrong with a table before anybody looks at its scores."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from refute.errors import ExperimentError

# Values of a field that are longer are texts, and no category of an item.
_LONGEST_FIELD = 80


@dataclass(frozen=True, slots=True)
class Item:
    """One answer to one item; `score` is None where there is none, and `error` says why."""

    item: str
    sample: int
    score: float | None
    error: str | None = None
    prompt_sha256: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """What a file of results says. `settings` must be the same on both sides of a comparison."""

    tool: str
    metric: str
    items: tuple[Item, ...]
    version: str | None = None
    model: str | None = None
    declared_items: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


def refuse_gaps(table: Table, where: str) -> None:
    """Raise ExperimentError where rows are missing, or stand there twice: what is left is another benchmark."""
    if not table.items:
        raise ExperimentError(f"{where} holds no item", hint="name the file that the tool wrote item by item")
    twice = [each for each, count in Counter((row.item, row.sample) for row in table.items).items() if count > 1]
    if twice:
        item, sample = twice[0]
        raise ExperimentError(
            f"{where}: {len(twice)} answers stand there twice, the first is sample {sample} of item {item!r}",
            hint="name the file of one run, not of several put together",
        )
    samples = Counter(row.item for row in table.items)
    if table.declared_items not in (None, len(samples)):
        raise ExperimentError(
            f"{where} holds {len(samples)} items, and its run says that there were {table.declared_items}",
            hint="name the whole file: items that are left out are no zeros, and no passes",
        )
    uneven = sorted(item for item, count in samples.items() if count != max(samples.values()))
    if uneven:
        raise ExperimentError(
            f"{where}: {len(uneven)} items have fewer answers than others, the first is {uneven[0]!r}",
            hint="name a run in which each item was answered equally often",
        )


def number(value: object) -> tuple[float | None, str | None]:
    """A score, or why it is none: what is no finite number is never a zero."""
    if isinstance(value, bool):
        return float(value), None
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value), None
    return None, f"the score is {value!r}, expected a finite number"


def digest(value: object) -> str | None:
    """SHA-256 of what a model was asked; None where the tool does not say."""
    if value in (None, "", [], {}):
        return None
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def fields_of(value: object) -> dict[str, str]:
    """Of an item's own data, the short values: by these it may be put into a category."""
    if not isinstance(value, Mapping):
        return {}
    found = {str(name): each for name, each in value.items() if isinstance(each, str | int | bool)}
    return {name: str(each) for name, each in found.items() if len(str(each)) <= _LONGEST_FIELD}
