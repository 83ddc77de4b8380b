"""run.json of a gate run: what was asked, by which texts, and the machine and packages that it ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import distributions
from pathlib import Path

import pytest

from refute.falsifier.origins import falsifier_origins
from refute.gate.inputs import GateInputs
from refute.isolation.hooks import hooks_that_ran
from refute.judge.run.facts import CitedVerdict, RunFacts
from refute.judge.run.folder import RunFile
from refute.lock.model import RunLock
from refute.spec.fields import utc_now
from refute.spec.files import LoadedRelease
from refute.spec.folders import CONTRACTS, without_folders
from refute.spec.texts import ReleaseText, SpecText


def describe_run(
    run_id: str, config: pytest.Config, inputs: GateInputs, lock: RunLock | None, requires: tuple[CitedVerdict, ...]
) -> RunFile:
    """What is known of a run before its first experiment; `requires` are the verdicts that its release cites."""
    here = config.invocation_params.dir
    return RunFile(
        facts=_facts(run_id, config, inputs),
        release=_release_text(inputs.release, here),
        release_path=str(inputs.release.path.resolve()),
        specs=tuple(
            SpecText(
                id=loaded.spec.spec,
                name=without_folders(str(loaded.path), here),
                sha256=loaded.sha256,
                text=loaded.text,
            )
            for loaded in inputs.specs
        ),
        store=str(inputs.store.resolve() if isinstance(inputs.store, Path) else inputs.store),
        lock=lock,
        requires=requires,
        falsifiers=tuple(str(folder.resolve()) for folder in inputs.falsifier_folders),
    )


def _facts(run_id: str, config: pytest.Config, inputs: GateInputs) -> RunFacts:
    contracts = _contracts(inputs, config.rootpath / CONTRACTS)
    here = config.invocation_params.dir
    environment = {name: text for name, text in sorted(os.environ.items()) if name.startswith("PYTEST_")}
    return RunFacts(
        id=run_id,
        started_at=utc_now(),
        argv=tuple(without_folders(str(word), here) for word in config.invocation_params.args),
        pytest_environment={name: without_folders(text, here) for name, text in environment.items()},
        plugins={dist.project_name: dist.version for _, dist in config.pluginmanager.list_plugin_distinfo()},
        python=platform.python_version(),
        platform=platform.platform(),
        cpus=os.cpu_count() or 0,
        versions=_versions(),
        falsifiers=falsifier_origins(inputs.registry, contracts),
        evidence_needs={name: tuple(inputs.plan[name].needs) for name in sorted(inputs.plan)},
        hooks=hooks_that_ran(),
    )


def _contracts(inputs: GateInputs, folder: Path) -> dict[str, tuple[str, ...]]:
    """By falsifier, the contracts of this repository that cover the code behind it."""
    if not folder.is_dir():
        return {}
    # Where there are some: their models cost every other gate a tenth of a second.
    from refute.check.contracts.links import linked_contracts, readable_contracts

    return linked_contracts(inputs.registry, inputs.plan, readable_contracts([folder]))


def _release_text(loaded: LoadedRelease, here: Path) -> ReleaseText:
    release = loaded.release
    return ReleaseText(
        id=release.release,
        title=release.title,
        run_class=release.run_class,
        operator=release.operator,
        name=without_folders(str(loaded.path), here),
        sha256=loaded.sha256,
        text=loaded.text,
    )


def _versions() -> dict[str, str]:
    """Every installed distribution with its version."""
    found = {dist.metadata["Name"]: dist.version for dist in distributions()}
    return dict(sorted((name, version) for name, version in found.items() if name))
