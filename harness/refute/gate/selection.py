"""Which release and which specs a pytest run is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from refute.errors import UsageError
from refute.spec.criteria import LoadedSpec, load_spec, merge
from refute.spec.files import LoadedRelease, choose_release, is_yaml, resolve, spec_files


def _release_path(config: pytest.Config, roots: Sequence[Path]) -> Path:
    if named := config.getoption("--release"):
        return (config.invocation_params.dir / str(named)).resolve()
    return choose_release(roots)


def _specs(config: pytest.Config, roots: Sequence[Path], release: LoadedRelease) -> tuple[LoadedSpec, ...]:
    """The specs of this run: those that the release demands, and those named on the command line.

    A bare `pytest --falsifiers` runs what the release demands or, where it demands nothing, every spec there is.
    """
    demanded = [resolve(release, text).resolve() for text in release.release.specs]
    named = _named_specs(config, roots)
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        named = demanded or spec_files(roots)
        config.args[:] = [str(path) for path in named]
    paths = list(dict.fromkeys([*demanded, *named]))
    if not paths:
        places = ", ".join(map(str, roots))
        raise UsageError(f"no specs: nothing to refute (looked in {places})", hint="start with `refute init`")
    return merge([load_spec(path) for path in paths])


def _configured(config: pytest.Config, setting: str, default: str) -> list[Path]:
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
