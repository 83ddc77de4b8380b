"""Which release and which specs a pytest run is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from refute.errors import UsageError
from refute.gate.options import FALSIFIER_PATHS, SPEC_PATHS
from refute.spec.criteria import LoadedSpec
from refute.spec.files import LoadedRelease
from refute.spec.folders import FALSIFIERS, SPECS
from refute.spec.selection import is_yaml, select, spec_files


def selected(config: pytest.Config) -> tuple[LoadedRelease, tuple[LoadedSpec, ...]]:
    """The release and the specs of this run, as `select` finds them; a bare call gets these specs as its arguments.

    Raises UsageError and SpecError as `select` does.
    """
    roots = _configured(config, SPEC_PATHS, SPECS)
    release = config.getoption("--release")
    named = _named_specs(config, roots) if config.args_source is pytest.Config.ArgsSource.ARGS else None
    path = (config.invocation_params.dir / release).resolve() if release else None
    found, specs = select(path, roots, named=named)
    if named is None:
        config.args[:] = [str(loaded.path) for loaded in specs]
    return found, specs


def falsifier_folders(config: pytest.Config) -> tuple[Path, ...]:
    """The folders with falsifiers of this repository. Raises UsageError where the configuration names an absent one."""
    return tuple(each for each in _configured(config, FALSIFIER_PATHS, FALSIFIERS) if each.exists())


def _configured(config: pytest.Config, setting: str, default: Path) -> list[Path]:
    """What the configuration names, all of it present, or else the default, which may be absent."""
    named: list[Path] = list(config.getini(setting))
    absent = [str(path) for path in named if not path.exists()]
    if absent:
        raise UsageError(f"{setting} in {config.inipath} names what is not there: {', '.join(absent)}")
    return named or [config.rootpath / default]


def _named_specs(config: pytest.Config, roots: Sequence[Path]) -> list[Path]:
    named = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    return [
        path for given in named for path in (_specs_below(given, roots) if given.is_dir() else [given]) if is_yaml(path)
    ]


def _specs_below(folder: Path, roots: Sequence[Path]) -> list[Path]:
    """The specs of the roots in `folder`, such as of `specs` for `.`; its own YAML files where it holds no root."""
    inside = [root for root in roots if root.resolve().is_relative_to(folder)]
    return spec_files(inside or [folder])
