"""Experiment: the falsifiers that a run uses, broken on purpose, and the control that noticed each time.

It needs no evidence of the release, so an unchanged gate finds its own from the day before: the key is the code of
falsifiers, bars and engine. Controls that tamper with a run's evidence are not tried; the rows say which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import TypeAdapter

from refute.check.controls.kill_matrix import ACCEPTED, Fate, Mutated, kill_matrix
from refute.check.controls.trials import NoRun, falsifier_of
from refute.disk import file_sha256
from refute.errors import ExperimentError
from refute.evidence.experiment import Experiment, Locate, Located
from refute.evidence.manifest import manifest_digest
from refute.falsifier.loading import load_registry
from refute.falsifier.registry import Registry
from refute.job import Job
from refute.spec.criteria import FalsifierUse
from refute.spec.experiments.evidence.base import EvidenceModel
from refute.spec.experiments.evidence.kill_matrix import Mutant, MutatedFalsifier
from refute.spec.experiments.evidence_files import KILL_MATRIX, MUTANTS, MUTATED_FALSIFIERS
from refute.spec.fields import Closed, Sha256

# Nothing of it depends on the release, so no release can set it. The built-in falsifiers take half a minute.
_LIMIT_S = 1800.0


_USES = TypeAdapter(tuple[FalsifierUse, ...])


class MutationConfig(Closed):
    """What enters `mutate_falsifiers`: uses as JSON, the code of their falsifiers by name, where these lie.

    `packs` and `scipy` are there for the key alone: the code of installed falsifiers, and what computes intervals.
    """

    uses: str
    code: dict[str, Sha256]
    folders: dict[str, str]
    packs: dict[str, str]
    scipy: str


def mutation_experiment(uses: Sequence[FalsifierUse], registry: Registry, folders: Sequence[Path]) -> Experiment:
    """The experiment over all `uses`; `folders` are those of the repository's own falsifiers.

    Raises LoadingError for a use of a falsifier that is nowhere.
    """
    used = {falsifier.name: falsifier for falsifier in (falsifier_of(use, registry) for use in uses)}
    roots = [folder.resolve() for folder in folders]
    places = {falsifier.file.resolve().parent for falsifier in used.values()}
    packs = sorted(place for place in places if not any(place.is_relative_to(root) for root in roots))
    # Of a use, what decides about its controls: its titles may be worded anew.
    dumped = _USES.dump_python(tuple(uses), mode="json", by_alias=True)
    return Experiment(
        KILL_MATRIX,
        "break the falsifiers and see which control notices",
        f"{__name__}:mutate_falsifiers",
        config=lambda at: MutationConfig(
            uses=json.dumps([{**use, "title": ""} for use in dumped], sort_keys=True),
            code={name: falsifier.code for name, falsifier in sorted(used.items())},
            folders=_sources(roots, at),
            packs=_sources(packs, at),
            scipy=version("scipy"),
        ),
        limit_s=_LIMIT_S,
    )


def mutate_falsifiers(job: Job) -> None:
    """Write mutants.jsonl and falsifiers.jsonl, a row each, in the order of names and of the source.

    A mutant: {falsifier, number, place, change, killed_by: [`use/control`] or [], accepted: why none had to notice}.
    A falsifier: {falsifier, code, mutants: how many, untried: [control]}. Raises ExperimentError where the falsifiers
    are not those that the plan saw, and what `kill_matrix` raises.
    """
    config = MutationConfig.model_validate_json(job.config)
    uses = _USES.validate_json(config.uses)
    registry = load_registry(Path(folder) for _, folder in sorted(config.folders.items()))
    found = {name: registry[name].code for name in config.code if name in registry}
    if found != config.code:
        other = ", ".join(sorted(name for name in config.code if found.get(name) != config.code[name]))
        raise ExperimentError(f"not the falsifiers that this run began with: {other}", hint="start the run again")
    matrix = kill_matrix(
        uses,
        registry,
        NoRun(),
        first=True,
        tell=lambda name, done, total: job.progress(f"mutants of {name}", done, total),
    )
    fates = sorted(matrix.fates, key=lambda fate: (fate.falsifier, fate.number))
    _write(job.out / MUTANTS.name, map(_mutant, fates))
    _write(job.out / MUTATED_FALSIFIERS.name, map(_falsifier, matrix.falsifiers))


def _mutant(fate: Fate) -> Mutant:
    return Mutant(
        falsifier=fate.falsifier,
        number=fate.number,
        place=fate.place,
        change=fate.change,
        killed_by=fate.killed_by,
        accepted=fate.accepted,
    )


def _falsifier(found: Mutated) -> MutatedFalsifier:
    return MutatedFalsifier(
        falsifier=found.falsifier, code=found.code, mutants=found.mutants, untried=tuple(found.untried)
    )


def _sources(folders: Sequence[Path], at: Locate) -> dict[str, str]:
    """Folders whose place never enters a key, but what lies in them: code, and the list of excused mutants."""
    return {str(number): at(_located(folder)) for number, folder in enumerate(folders)}


def _located(folder: Path) -> Located:
    def digest() -> str:
        files = sorted([*folder.rglob("*.py"), *folder.rglob(ACCEPTED)])
        return manifest_digest({path.relative_to(folder).as_posix(): file_sha256(path) for path in files})

    return Located(digest, lambda: folder)


def _write(path: Path, rows: Iterable[EvidenceModel]) -> None:
    path.write_text("".join(f"{json.dumps(row.as_json())}\n" for row in rows), encoding="utf-8")
