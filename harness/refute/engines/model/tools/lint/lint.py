"""Every rule, and what they find in one model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from refute.engines.model.tools.lint import card, config, files, gguf_file, tokenizer, weights
from refute.engines.model.tools.lint.rule import Finding, Rule
from refute.engines.model.tools.stored import StoredModel, open_stored
from refute.errors import MissingInputsError

RULES: tuple[Rule, ...] = (
    *files.RULES,
    *config.RULES,
    *tokenizer.RULES,
    *card.RULES,
    *gguf_file.RULES,
    *weights.RULES,
)
UNREADABLE = "unreadable"


def lint_model(path: Path) -> list[Finding]:
    """What the rules find in the folder or GGUF file at `path`, the worst first; reads every weight once.

    Raises UnreadableInputError where there is neither; a folder whose weights cannot be read is a finding.
    """
    if not path.is_dir():
        return list(_worst_first(apply_rules(open_stored(path))))
    empty = StoredModel(path, "hf", {}, {})
    found = [each for rule in files.RULES for each in _apply(rule, empty)]
    try:
        stored = open_stored(path)
    except MissingInputsError as error:
        found.append(Finding(UNREADABLE, "error", "structure", str(error), error.hint))
        return list(_worst_first(found))
    return list(_worst_first([*found, *apply_rules(stored, without=files.RULES)]))


def apply_rules(stored: StoredModel, *, without: tuple[Rule, ...] = ()) -> list[Finding]:
    """What the rules of its format find in an open model."""
    return [each for rule in RULES if rule not in without for each in _apply(rule, stored)]


def _apply(rule: Rule, stored: StoredModel) -> Iterator[Finding]:
    if stored.format not in rule.formats:
        return
    try:
        for found in rule.look(stored):
            yield Finding(rule.id, rule.severity, rule.group, found, rule.fix)
    # A file in which everything may stand: whatever a rule trips over is in the way of every other reader, too.
    except (MissingInputsError, OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        yield Finding(rule.id, "error", rule.group, f"cannot be looked at: {type(error).__name__}: {error}", rule.fix)


def _worst_first(found: list[Finding]) -> list[Finding]:
    return sorted(found, key=lambda each: ("error", "warn", "info").index(each.severity))
