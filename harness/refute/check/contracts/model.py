"""Contract YAML -> frozen models: equations, invariants, tolerances, and the executable properties that attack them.

Every claim of a contract is attacked by at least one Hypothesis property, and every property names mutants: changed
engines on which it must fail. Whether they exist is for references.py, whether they do it for run.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from refute.check.contracts.tolerance import Tolerance
from refute.errors import Problem
from refute.spec.fields import Closed
from refute.spec.selection import yaml_files
from refute.spec.yaml.document import Document, KeyPath, located, parse_yaml, read_text, validate

_DOTTED = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"
REFERENCE_PATTERN = f"^{_DOTTED}:[A-Za-z_][A-Za-z0-9_]*$"
_WORDS = "[A-Z0-9]+(-[A-Z0-9]+)*$"
_NAME = r"^[a-z][a-z0-9-]*$"
Text = Annotated[str, Field(pattern=r"\S")]
Name = Annotated[str, Field(pattern=_NAME)]


def _executable(text: str) -> str:
    if not re.fullmatch(REFERENCE_PATTERN, text):
        raise ValueError(f"expected an import path such as `package.module:function`, not prose; found {text!r}")
    return text


Reference = Annotated[str, AfterValidator(_executable), Field(json_schema_extra={"pattern": REFERENCE_PATTERN})]


class Origin(Closed):
    """Where a claim comes from: exactly one of a paper, a standard and a measurement."""

    paper: Text | None = None
    standard: Text | None = None
    measurement: Text | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(text is not None for text in (self.paper, self.standard, self.measurement)) != 1:
            raise ValueError("name exactly one of `paper`, `standard` and `measurement`")
        return self


class Equation(Closed):
    """A formula with the set it is defined on and the set that its values lie in."""

    formula: Text
    domain: Text
    codomain: Text


class Attack(Closed):
    """A Hypothesis property that tries to refute claims of its contract, and the mutants that it must kill."""

    id: Annotated[str, Field(pattern=f"^P-{_WORDS}", description="Unique in all contracts.")]
    attacks: tuple[Name, ...] = Field(description="Names of equations and invariants of this contract.")
    property: Reference = Field(description="A function decorated with `hypothesis.given`.")
    tolerance: Name | None = Field(default=None, description="Handed to the property as its argument `within`.")
    mutants: tuple[Reference, ...] = Field(
        json_schema_extra={"minItems": 1},
        description="Callables without arguments that return a context manager; inside it the engine is changed.",
    )

    @model_validator(mode="after")
    def _kills_something(self) -> Self:
        # Not `min_length`: that also complains wherever an entry is invalid.
        if not self.mutants:
            raise located(
                [(("mutants",), "expected at least one: a property that was never seen to fail proves nothing")]
            )
        if not self.attacks:
            raise located([(("attacks",), "expected at least one equation or invariant")])
        if repeated := [place for place, mutant in enumerate(self.mutants) if mutant in self.mutants[:place]]:
            raise located([(("mutants", place), f"{self.mutants[place]} is listed twice") for place in repeated])
        return self


class Contract(Closed):
    """What an engine promises, precisely enough to be refuted."""

    contract: Annotated[str, Field(pattern=f"^C-{_WORDS}", description="The id of this contract.")]
    version: Annotated[int, Field(ge=1, description="Counted up with every change of meaning.")]
    title: Text
    sources: tuple[Origin, ...] = Field(json_schema_extra={"minItems": 1})
    modules: tuple[Annotated[str, Field(pattern=f"^{_DOTTED}$")], ...] = Field(
        json_schema_extra={"minItems": 1}, description="Import paths of the modules that this contract covers."
    )
    symbols: dict[Text, Text] = Field(default={}, description="What the letters of the equations stand for.")
    equations: dict[Name, Equation] = Field(json_schema_extra={"minProperties": 1})
    invariants: dict[Name, Text] = Field(default={})
    tolerances: dict[Name, Tolerance] = Field(default={})
    properties: tuple[Attack, ...] = Field(json_schema_extra={"minItems": 1})

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        faults = [*self._empty(), *self._unknown_names(), *self._unattacked(), *_repeated(self)]
        if faults:
            raise located(faults)
        return self

    def _empty(self) -> Iterator[tuple[KeyPath, str]]:
        for key in ("sources", "modules", "equations", "properties"):
            if not getattr(self, key):
                yield (key,), "expected at least one"

    def _unknown_names(self) -> Iterator[tuple[KeyPath, str]]:
        for index, attack in enumerate(self.properties):
            for place, claim in enumerate(attack.attacks):
                if claim not in self.claims:
                    yield ("properties", index, "attacks", place), f"no equation or invariant is called `{claim}`"
            if attack.tolerance is not None and attack.tolerance not in self.tolerances:
                yield ("properties", index, "tolerance"), f"no tolerance is called `{attack.tolerance}`"

    def _unattacked(self) -> Iterator[tuple[KeyPath, str]]:
        attacked = {claim for attack in self.properties for claim in attack.attacks}
        for key in ("equations", "invariants"):
            yield from (((key, name), "no property attacks it") for name in getattr(self, key) if name not in attacked)
        used = {attack.tolerance for attack in self.properties}
        yield from ((("tolerances", name), "no property uses it") for name in self.tolerances if name not in used)

    @property
    def claims(self) -> frozenset[str]:
        """Names of all equations and invariants."""
        return frozenset((*self.equations, *self.invariants))


def _repeated(contract: Contract) -> Iterator[tuple[KeyPath, str]]:
    claims = Counter((*contract.equations, *contract.invariants))
    yield from (((("invariants", name)), "is also an equation") for name in contract.invariants if claims[name] > 1)
    places: dict[str, int] = {}
    for index, module in enumerate(contract.modules):
        if places.setdefault(module, index) != index:
            yield ("modules", index), f"{module} is listed twice"
    firsts: dict[str, int] = {}
    for index, attack in enumerate(contract.properties):
        if firsts.setdefault(attack.id, index) != index:
            yield ("properties", index, "id"), f"duplicate id {attack.id}"


@dataclass(frozen=True, slots=True)
class LoadedContract:
    """A contract with the file it came from."""

    contract: Contract
    path: Path
    document: Document

    def problem(self, path: KeyPath, code: str, message: str) -> Problem:
        """A problem at `path` of the file, under a stable code such as `[contract/survivor]`."""
        return self.document.problem(path, f"[contract/{code}] {message}")


def load_contract(path: Path) -> LoadedContract:
    """Read and validate one contract file. Raises SpecError with every problem of the file."""
    document = parse_yaml(read_text(path), str(path))
    return LoadedContract(validate(document, Contract), path, document)


def contract_files(folder: Path) -> list[Path]:
    """The contract files of a folder, sorted."""
    return yaml_files(folder)


def duplicate_ids(contracts: Sequence[LoadedContract]) -> list[Problem]:
    """A problem for every id of a contract or property that an earlier file already uses."""
    holders: dict[str, str] = {}
    problems: list[Problem] = []
    for loaded in contracts:
        mine: dict[str, str] = {}
        for path, identifier in _ids(loaded.contract):
            if identifier in holders:
                message = f"duplicate id {identifier}, already used at {holders[identifier]}"
                problems.append(loaded.problem(path, "duplicate-id", message))
            mine[identifier] = f"{loaded.path}:{loaded.document.line_of(path)}"
        holders = mine | holders
    return problems


def _ids(contract: Contract) -> Iterator[tuple[KeyPath, str]]:
    yield ("contract",), contract.contract
    for index, attack in enumerate(contract.properties):
        yield ("properties", index, "id"), attack.id
