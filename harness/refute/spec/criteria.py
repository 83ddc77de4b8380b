"""Spec YAML -> frozen models: criteria, the falsifiers that attack them, and the bars they must clear.

Every bar is parsed and every id compared when the file is loaded, so a `Spec` that exists is consistent
in itself. Whether its falsifiers exist and measure what it bars is for lint.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from refute.errors import Problem, SpecError
from refute.outcome import RunClass, Severity
from refute.spec.bars.sequential import Design
from refute.spec.bars.text import ThresholdText
from refute.spec.bars.threshold import Threshold
from refute.spec.fields import Closed
from refute.spec.release import Release
from refute.spec.yaml.document import Document, KeyPath, located, parse_yaml, read_text, validate
from refute.spec.yaml.kinds import require_kind
from refute.spec.yaml.model_paths import has_path

_WORDS = "[A-Z0-9]+(-[A-Z0-9]+)*$"
Text = Annotated[str, Field(pattern=r"\S")]
Constant = bool | int | float | str
Parameter = Constant | tuple[Constant, ...]

# The same, told apart before it is read, so that a fault in a list is reported once and at its item.
ParameterField = Annotated[
    Annotated[Constant, Tag("one")] | Annotated[tuple[Constant, ...], Tag("many")],
    Discriminator(lambda value: "many" if isinstance(value, list | tuple) else "one"),
]


class FalsifierUse(Closed):
    """One attack on a criterion: a registered falsifier with parameters and bars, or one that is planned."""

    id: Annotated[str, Field(pattern=f"^F-{_WORDS}", description="Unique in all specs; never reused.")]
    title: str = ""
    uses: Text | None = Field(default=None, description="Name of a registered falsifier.")
    planned: Text | None = Field(default=None, description="Why it cannot run yet. Its outcome is `not_run`.")
    parameters: dict[str, ParameterField] = Field(
        default={},
        alias="with",
        description="Values for the falsifier's parameters; others keep their defaults.",
    )
    thresholds: dict[str, ThresholdText] = Field(default={}, description="Bars, by name of the measurement.")
    timeout_s: Annotated[float, Field(gt=0, description="Seconds for one call, on evidence that is ready.")] = 60.0
    requires_run_class: RunClass | None = Field(
        default=None, description="Smallest run that may discharge it, where that is larger than the criterion's."
    )

    @model_validator(mode="after")
    def _runs_or_is_planned(self) -> Self:
        if (self.uses is None) == (self.planned is None):
            raise ValueError("name either `uses` or `planned`, not both and not neither")
        if self.uses is not None and not self.thresholds:
            raise ValueError("a falsifier in use needs `thresholds`: without a bar nothing is decided")
        return self

    def parsed_thresholds(self) -> dict[str, Threshold]:
        """The bars by measurement name, for `threshold.decide_all`."""
        return {name: text.parsed() for name, text in sorted(self.thresholds.items())}

    def designs(self) -> dict[str, Design]:
        """The sequential tests by measurement name."""
        found = {name: text.design() for name, text in sorted(self.thresholds.items())}
        return {name: design for name, design in found.items() if design is not None}


class Criterion(Closed):
    """A claim about a release. Without falsifiers it is `uncovered`, which is never a pass."""

    id: Annotated[str, Field(pattern=f"^AC-{_WORDS}", description="Unique in all specs; never reused.")]
    title: Text
    statement: Text = Field(description="What must be true, in words that a falsifier could refute.")
    severity: Severity = Field(description="`block` stops a release, `warn` taints it, `info` is only shown.")
    phase: Annotated[int, Field(ge=0, le=9)]
    requires_run_class: RunClass = Field(
        default=RunClass.QUICK, description="Smallest run that may discharge this criterion."
    )
    not_applicable_when: dict[str, Constant | None] = Field(
        default={},
        description="Dotted paths into the release and values; where all of them match, it does not apply.",
    )
    source: str = Field(default="", description="Where the claim or its bar comes from.")
    effective_on: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = Field(
        default=None, description="UTC date, quoted, from which a `block` criterion blocks; before it, it warns."
    )
    inconclusive: Literal["block", "warn"] = Field(
        default="block",
        description="What a `block` criterion does while it is open: stops the release, or only taints it.",
    )
    falsifiers: tuple[FalsifierUse, ...]

    @field_validator("effective_on")
    @classmethod
    def _is_date(cls, text: str | None) -> str | None:
        if text is not None:
            date.fromisoformat(text)
        return text

    @model_validator(mode="after")
    def _only_blocks_later(self) -> Self:
        if self.effective_on is not None and self.severity is not Severity.BLOCK:
            message = f"only a `block` criterion can begin to block; this one has severity `{self.severity}`"
            raise located([(("effective_on",), message)])
        return self

    @model_validator(mode="after")
    def _only_blocks_when_open(self) -> Self:
        if self.inconclusive == "warn" and self.severity is not Severity.BLOCK:
            message = f"only a `block` criterion can merely warn while it is open; this one is `{self.severity}`"
            raise located([(("inconclusive",), message)])
        return self

    def severity_at(self, moment: datetime | None) -> Severity:
        """What it weighs at a moment in UTC; without one, what it weighs once it is in effect."""
        if self.effective_on is None or moment is None:
            return self.severity
        begins = datetime.combine(date.fromisoformat(self.effective_on), datetime.min.time(), UTC)
        return self.severity if moment >= begins else Severity.WARN


class Retired(Closed):
    """An id that was in use once and must not come back with another meaning."""

    id: Annotated[str, Field(pattern=f"^(AC|F)-{_WORDS}")]
    reason: Text


class Spec(Closed):
    """What must be true of a release, and how each claim is attacked."""

    spec: Annotated[str, Field(pattern=f"^SPEC-{_WORDS}", description="The id of this specification.")]
    version: Annotated[int, Field(ge=1, description="Counted up with every change of meaning.")]
    title: Text
    subject: Text | None = Field(
        default=None, description="Evidence that the criteria are about: a release with another subject is NO-GO."
    )
    criteria: tuple[Criterion, ...] = Field(json_schema_extra={"minItems": 1})
    retired: tuple[Retired, ...] = ()

    @field_validator("criteria")
    @classmethod
    def _claims_something(cls, criteria: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
        # Not `min_length`: that also complains wherever a criterion is invalid.
        if not criteria:
            raise ValueError("expected at least one criterion: an empty spec would be satisfied by anything")
        return criteria

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        faults = list(_repeated_ids(self.model_dump(mode="json", by_alias=True)))
        if faults:
            raise located(faults)
        return self


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """A spec with the file it came from. `sha256` is of the file's bytes, which are `text` in UTF-8."""

    spec: Spec
    path: Path
    sha256: str
    text: str
    document: Document


def load_spec(path: Path) -> LoadedSpec:
    """Read and validate one spec file. Raises SpecError with every problem of the file."""
    text = read_text(path)
    document = parse_yaml(text, str(path))
    return LoadedSpec(_validated(document), path, hashlib.sha256(text.encode("utf-8")).hexdigest(), text, document)


def parse_spec(text: str, name: str) -> Spec:
    """A spec from text, such as the one inside a signed verdict; `name` stands for the file in problems.

    Raises SpecError with every problem found.
    """
    return _validated(parse_yaml(text, name))


def merge(specs: Sequence[LoadedSpec]) -> tuple[LoadedSpec, ...]:
    """`specs` in their order, once no id of one (spec, criterion, falsifier or retired) occurs in another.

    Raises SpecError naming both places of every duplicate.
    """
    problems = duplicates_across(specs)
    if problems:
        raise SpecError(problems, hint="give the newer of the two another id")
    return tuple(specs)


def duplicates_across(specs: Sequence[LoadedSpec]) -> list[Problem]:
    """A problem for every id that an earlier file already uses."""
    holders: dict[str, str] = {}
    problems: list[Problem] = []
    for loaded in specs:
        document = loaded.document
        mine: dict[str, str] = {}
        for path, identifier in _ids(document.data):
            mine.setdefault(identifier, f"{document.file}:{document.line_of(path)}")
            if identifier in holders:
                message = f"duplicate id {identifier}, already used at {holders[identifier]}"
                problems.append(document.problem(path, message))
        holders |= {identifier: where for identifier, where in mine.items() if identifier not in holders}
    return problems


def not_applicable(criterion: Criterion, release: Release) -> str | None:
    """Why the spec excuses `release` from `criterion`, or None if the criterion applies.

    It applies unless every entry of `not_applicable_when` equals the release's value, booleans and
    numbers kept apart. A path below a part that this release leaves out equals nothing.

    Raises SpecError for a path that no release can have.
    """
    conditions = criterion.not_applicable_when
    unknown = [path for path in sorted(conditions) if not has_path(Release, path.split("."))]
    if unknown:
        raise SpecError(
            [Problem(criterion.id, 0, f"not_applicable_when.{path}", "a release has no such key") for path in unknown],
            hint="`refute check` lists these with their lines",
        )
    values = release.model_dump(mode="json", by_alias=True)
    if not conditions or not all(_matches(values, path, wanted) for path, wanted in conditions.items()):
        return None
    facts = ", ".join(f"{path} is {wanted!r}" for path, wanted in sorted(conditions.items()))
    return f"the spec excuses this release: {facts}"


def _validated(document: Document) -> Spec:
    """The spec, or SpecError. Duplicate ids are looked for even where the models already failed."""
    require_kind(document, "spec")
    problems: tuple[Problem, ...] = ()
    try:
        return validate(document, Spec)
    except SpecError as error:
        problems = error.problems
    repeated = [document.problem(path, message) for path, message in _repeated_ids(document.data)]
    raise SpecError(sorted({*problems, *repeated}, key=lambda problem: (problem.line, problem.key, problem.message)))


def _repeated_ids(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    first: dict[str, KeyPath] = {}
    for path, identifier in _ids(data):
        if identifier not in first:
            first[identifier] = path
        elif path[0] == "retired":
            yield path, f"id {identifier} is retired, yet used or retired elsewhere in this file"
        else:
            yield path, f"duplicate id {identifier}"


def _ids(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Every id of a spec with its path, in file order; parts of the wrong shape are passed over."""
    if isinstance(data.get("spec"), str):
        yield ("spec",), data["spec"]
    for index, criterion in _mappings(data.get("criteria")):
        yield from _own_id(criterion, ("criteria", index))
        for number, use in _mappings(criterion.get("falsifiers")):
            yield from _own_id(use, ("criteria", index, "falsifiers", number))
    for index, retired in _mappings(data.get("retired")):
        yield from _own_id(retired, ("retired", index))


def _own_id(mapping: Mapping[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(mapping.get("id"), str):
        yield (*path, "id"), mapping["id"]


def _mappings(items: object) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if isinstance(items, list):
        yield from ((index, item) for index, item in enumerate(items) if isinstance(item, dict))


def _matches(values: object, path: str, wanted: Constant | None) -> bool:
    for key in path.split("."):
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return isinstance(values, bool) == isinstance(wanted, bool) and values == wanted


def attacks(specs: Iterable[Spec]) -> Iterator[tuple[Spec, Criterion, FalsifierUse]]:
    """Every use of a falsifier, planned ones too, with the spec and the criterion that it is in, in file order."""
    for spec in specs:
        for criterion in spec.criteria:
            for use in criterion.falsifiers:
                yield spec, criterion, use


def uses_of(specs: Iterable[Spec]) -> list[FalsifierUse]:
    """Every use of a falsifier that is not only planned."""
    return [use for _, _, use in attacks(specs) if use.uses is not None]
