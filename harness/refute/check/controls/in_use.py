"""The falsifiers that a run uses, for an experiment about them: what enters its key, and how they are found again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from refute.check.controls.kill_matrix import ACCEPTED
from refute.check.controls.trials import falsifier_of
from refute.disk import file_sha256
from refute.errors import ExperimentError
from refute.evidence.experiment import Locate, Located
from refute.evidence.manifest import manifest_digest
from refute.falsifier.loading import load_registry
from refute.falsifier.registry import Registry
from refute.spec.criteria import FalsifierUse
from refute.spec.fields import Closed, Sha256

_USES = TypeAdapter(tuple[FalsifierUse, ...])


class FalsifiersInUse(Closed):
    """Uses as JSON, the code of their falsifiers by name, where these lie.

    `packs` is there for the key alone: the code of installed falsifiers.
    """

    uses: str
    code: dict[str, Sha256]
    folders: dict[str, str]
    packs: dict[str, str]

    def load(self) -> tuple[tuple[FalsifierUse, ...], Registry]:
        """The uses, and the falsifiers. Raises ExperimentError where these are not those that the plan saw."""
        registry = load_registry(Path(folder) for _, folder in sorted(self.folders.items()))
        found = {name: registry[name].code for name in self.code if name in registry}
        if found != self.code:
            other = ", ".join(sorted(name for name in self.code if found.get(name) != self.code[name]))
            raise ExperimentError(f"not the falsifiers that this run began with: {other}", hint="start the run again")
        return _USES.validate_json(self.uses), registry


def in_use(
    uses: Sequence[FalsifierUse], registry: Registry, folders: Sequence[Path]
) -> Callable[[Locate], FalsifiersInUse]:
    """The configuration over `uses`; `folders` are those of the repository's own falsifiers.

    Raises LoadingError for a use of a falsifier that is nowhere.
    """
    used = {falsifier.name: falsifier for falsifier in (falsifier_of(use, registry) for use in uses)}
    roots = [folder.resolve() for folder in folders]
    places = {falsifier.file.resolve().parent for falsifier in used.values()}
    packs = sorted(place for place in places if not any(place.is_relative_to(root) for root in roots))
    # Of a use, what decides about its controls: its titles may be worded anew.
    dumped = [{**use, "title": ""} for use in _USES.dump_python(tuple(uses), mode="json", by_alias=True)]
    return lambda at: FalsifiersInUse(
        uses=json.dumps(dumped, sort_keys=True),
        code={name: falsifier.code for name, falsifier in sorted(used.items())},
        folders=_sources(roots, at),
        packs=_sources(packs, at),
    )


def _sources(folders: Sequence[Path], at: Locate) -> dict[str, str]:
    """Folders whose place never enters a key, but what lies in them: code, and the list of excused mutants."""
    return {str(number): at(_located(folder)) for number, folder in enumerate(folders)}


def _located(folder: Path) -> Located:
    def digest() -> str:
        files = sorted([*folder.rglob("*.py"), *folder.rglob(ACCEPTED)])
        return manifest_digest({path.relative_to(folder).as_posix(): file_sha256(path) for path in files})

    return Located(digest, lambda: folder)
