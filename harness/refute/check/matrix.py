"""The matrix criterion x falsifier x control x contract: what stands behind a claim, and what behind that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from refute.check.contracts.links import linked_contracts, readable_contracts
from refute.check.gate_experiments import gate_experiments
from refute.evidence.experiment import Experiment
from refute.evidence.plan import plan_release
from refute.evidence.spec_demands import sequential_design
from refute.falsifier.loading import load_registry
from refute.falsifier.registry import Registry
from refute.outcome import RunClass
from refute.spec.criteria import Spec, attacks, load_spec, uses_of
from refute.spec.files import load_release
from refute.spec.selection import find_files


@dataclass(frozen=True, slots=True)
class Trace:
    """A falsifier of a criterion. `uses` is empty for one that is only planned; `controls` are (name, expected)."""

    spec: str
    criterion: str
    severity: str
    phase: int
    falsifier: str
    uses: str
    evidence: tuple[str, ...]
    controls: tuple[tuple[str, str], ...]
    contracts: tuple[str, ...]

    def line(self) -> str:
        """For people."""
        contracts = ", ".join(self.contracts) or "no contract"
        return f"{self.criterion:24} {self.falsifier:36} {len(self.controls):3} controls  {contracts}"

    def as_json(self) -> dict[str, object]:
        """For programs."""
        controls = [{"name": name, "expected": expected} for name, expected in self.controls]
        return {**asdict(self), "controls": controls}


def trace_matrix(
    specs: Sequence[Spec], registry: Registry, contracts: Mapping[str, Sequence[str]]
) -> tuple[Trace, ...]:
    """A row for every falsifier of every criterion, in the order of the specs; `contracts` are those by falsifier."""
    return tuple(
        Trace(
            spec.spec,
            criterion.id,
            criterion.severity.value,
            criterion.phase,
            use.id,
            use.uses or "",
            () if found is None else found.needs,
            () if found is None else tuple((control.name, control.expected.value) for control in found.controls),
            tuple(contracts.get(use.uses or "", ())),
        )
        for spec, criterion, use in attacks(specs)
        for found in [registry.get(use.uses or "")]
    )


def matrix_of(
    paths: Sequence[Path], falsifier_folders: Sequence[Path], contract_folders: Sequence[Path]
) -> tuple[Trace, ...]:
    """The matrix of the specs at `paths`; contracts are linked through what their releases plan.

    Raises SpecError and LoadingError for files that `refute check` finds at fault.
    """
    registry = load_registry(falsifier_folders)
    spec_paths, release_paths = find_files(paths)
    specs = [load_spec(path).spec for path in spec_paths]
    plan: dict[str, Experiment] = {}
    for path in release_paths:
        plan |= plan_release(load_release(path).release, path.parent, sequential=sequential_design(specs, registry))
    plan |= {each.name: each for each in gate_experiments(uses_of(specs), registry, falsifier_folders, RunClass.FULL)}
    links = linked_contracts(registry, plan, readable_contracts(contract_folders))
    return trace_matrix(specs, registry, links)
