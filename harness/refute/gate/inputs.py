"""Inputs of a gate run: the release, its specs, the falsifiers and the plan, read before a model is touched."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from refute.check.controls.rehearsal import UNTESTABLE, rehearse
from refute.check.gate_experiments import gate_experiments
from refute.check.provided import unprovided
from refute.errors import Problem, SpecError, UsageError
from refute.evidence.experiment import Plan
from refute.evidence.plan import plan_for
from refute.evidence.store.opening import is_url
from refute.falsifier.loading import load_registry
from refute.falsifier.registry import Registry
from refute.gate.selection import falsifier_folders, selected
from refute.spec.criteria import LoadedSpec, uses_of
from refute.spec.files import LoadedRelease
from refute.spec.folders import REFUTE_DIR, store_folder
from refute.spec.lint import UNCOVERED, check_spec


@dataclass(frozen=True, slots=True)
class GateInputs:
    """What a run is about and where it writes. All paths are absolute; `spec_files` are by resolved path.

    `store` is a path, or a URL.
    """

    release: LoadedRelease
    spec_files: Mapping[Path, LoadedSpec]
    registry: Registry
    plan: Plan
    falsifier_folders: tuple[Path, ...]
    refute_dir: Path
    store: str | Path

    @property
    def specs(self) -> tuple[LoadedSpec, ...]:
        """The specs, in the order in which they were chosen."""
        return tuple(self.spec_files.values())


def read_inputs(config: pytest.Config) -> GateInputs:
    """Read everything that can be read before a model is touched. Raises RefuteError subclasses."""
    if sys.flags.optimize:
        raise UsageError("python -O removes checks; run the gate without -O and PYTHONOPTIMIZE")
    folders = falsifier_folders(config)
    release, specs = selected(config)
    registry = load_registry(folders)
    # An uncovered criterion is for the judge: it must end in a signed NO-GO, not in a refusal to run.
    problems = [problem for loaded in specs for problem in check_spec(loaded, registry) if problem.code != UNCOVERED]
    _refuse(problems)
    parsed = [loaded.spec for loaded in specs]
    others = gate_experiments(uses_of(parsed), registry, folders, release.release.run_class)
    plan = plan_for(release.release, release.path.parent, parsed, registry, others=others)
    _refuse(unprovided(release, specs, registry, plan))
    # A worker of xdist is told what its controller has read. Falsifiers that prove nothing are for the judge, too.
    if not hasattr(config, "workerinput"):
        _refuse([problem for problem in rehearse(specs, registry) if problem.code == UNTESTABLE])
    # Absolute, because a falsifier's file or a conftest may change the working folder.
    here = config.invocation_params.dir
    refute_dir = here / (config.getoption("--refute-dir") or config.rootpath / REFUTE_DIR)
    named = config.getoption("--store") or store_folder(refute_dir)
    return GateInputs(
        release=release,
        spec_files={loaded.path.resolve(): loaded for loaded in specs},
        registry=registry,
        plan=plan,
        falsifier_folders=folders,
        refute_dir=refute_dir,
        store=named if is_url(named) else here / named,
    )


def _refuse(problems: Sequence[Problem]) -> None:
    """Raises SpecError where there are any."""
    if problems:
        raise SpecError(problems, hint="`refute check` lists these without running anything")
