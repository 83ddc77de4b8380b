"""The falsifiers of a run as they were registered, and the installed package that each came from."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from refute.falsifier.loading import GROUP
from refute.falsifier.registry import Registry
from refute.spec.fields import Closed, Sha256


def falsifier_origins(
    registry: Registry, contracts: Mapping[str, tuple[str, ...]] | None = None
) -> dict[str, FalsifierOrigin]:
    """Every registered falsifier by name; one of a repository's own files has no package.

    `contracts` are the ids of those that cover the code behind it.
    """
    packs = {point.module.partition(".")[0]: point.dist for point in entry_points(group=GROUP)}
    found: dict[str, FalsifierOrigin] = {}
    for name, declared in registry.items():
        pack = packs.get(declared.measure.__module__.partition(".")[0])
        found[name] = FalsifierOrigin(
            code_sha256=declared.code,
            needs=tuple(sorted(set(declared.needs))),
            controls=tuple(control.name for control in declared.controls),
            package=None if pack is None else pack.name,
            version=None if pack is None else pack.version,
            contracts=(contracts or {}).get(name, ()),
        )
    return found


class FalsifierOrigin(Closed):
    """A falsifier as it was registered: its file, what it declares, its package; a repository's own file has none.

    `contracts` are those that name a module behind it or its evidence (docs/contracts.md).
    """

    code_sha256: Sha256
    needs: tuple[str, ...]
    controls: tuple[str, ...]
    package: str | None
    version: str | None
    contracts: tuple[str, ...] = ()
