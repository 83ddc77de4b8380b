"""Rules about what a model says of where it comes from: in the card of a folder, in the metadata of a GGUF file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from refute.engines.model.tools.lint.rule import Rule
from refute.engines.model.tools.stamp import stated
from refute.engines.model.tools.stored import StoredModel

_PLACEHOLDER = re.compile(r"\[More Information Needed\]|\bTODO\b|\bTBD\b|<insert[^>]*>|lorem ipsum", re.IGNORECASE)
_NO_LICENCE = frozenset({"", "unknown", "proprietary", "tbd", "none", "other"})


def _card_missing(stored: StoredModel) -> Iterator[str]:
    if not (stored.path / "README.md").is_file():
        yield "no README.md: a model without a card"


def _placeholder(stored: StoredModel) -> Iterator[str]:
    card = stored.path / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    for found in sorted({each[0] for each in _PLACEHOLDER.finditer(text)}):
        yield f"README.md says {found!r}"


def _licence(stored: StoredModel) -> Iterator[str]:
    found = stated(stored, "license")
    if found is None or found.lower() in _NO_LICENCE:
        yield f"the licence is {'not stated' if found is None else repr(found)}"


def _origin(stored: StoredModel) -> Iterator[str]:
    if stated(stored, "base_model") is None:
        yield "no base_model: of which model it was made"


def _data(stored: StoredModel) -> Iterator[str]:
    if stated(stored, "datasets") is None:
        yield "no datasets: what it was trained on"


_STAMP = "`refute model stamp`, or write it into the card"
_BOTH = ("hf", "gguf")
RULES = (
    Rule("card/missing", "error", "provenance", "write README.md (`refute publish stage` does)", _card_missing),
    Rule("card/placeholder", "error", "provenance", "say it, or take the section out", _placeholder),
    Rule("card/license", "error", "provenance", _STAMP, _licence, _BOTH),
    Rule("card/base-model", "warn", "provenance", _STAMP, _origin, _BOTH),
    Rule("card/datasets", "warn", "provenance", _STAMP, _data, _BOTH),
)
