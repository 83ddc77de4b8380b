"""The falsifiers of a run as they were registered, and the installed package that each came from."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from refute.loading import GROUP
from refute.predicate import FalsifierOrigin
from refute.registry import Registry


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
