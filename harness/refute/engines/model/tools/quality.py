"""A model's quality, 0 to 100, in five groups; a group at zero blocks, whatever the others sum to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from refute.engines.model.tools.lint.lint import RULES, lint_model
from refute.engines.model.tools.lint.rule import Finding, Group
from refute.engines.model.tools.stored import open_stored

POINTS: Mapping[Group, int] = MappingProxyType(
    {"physics": 20, "structure": 20, "provenance": 25, "identity": 20, "tokenizer": 15}
)


@dataclass(frozen=True, slots=True)
class Quality:
    """Points by group, of POINTS. `blocked` names the groups at zero."""

    groups: Mapping[Group, int]

    @property
    def score(self) -> int:
        """All points, of 100."""
        return sum(self.groups.values())

    @property
    def blocked(self) -> tuple[Group, ...]:
        """Groups without a point: each of them alone is a reason not to publish."""
        return tuple(group for group, points in self.groups.items() if points == 0)


def measure_quality(path: Path) -> Quality:
    """The quality of the folder or GGUF file at `path`, of which every weight is read. Raises as `lint_model`."""
    return quality_of(open_stored(path).format, lint_model(path))


def quality_of(format_: str, findings: Sequence[Finding]) -> Quality:
    """A group has its points but for the share of its rules that warn; one error in it leaves none."""
    return Quality({group: _points(group, format_, findings) for group in POINTS})


def _points(group: Group, format_: str, findings: Sequence[Finding]) -> int:
    here = [each for each in findings if each.group == group]
    if any(each.severity == "error" for each in here):
        return 0
    rules = {rule.id for rule in RULES if rule.group == group and format_ in rule.formats}
    warned = {each.rule for each in here if each.severity == "warn"}
    return round(POINTS[group] * (1 - len(warned) / max(len(rules), 1)))
