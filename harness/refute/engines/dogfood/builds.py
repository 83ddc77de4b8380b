"""Sabotaged builds of refute: what each does wrong, and which probe has to notice. Planted into the called process."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from refute.engines.dogfood.called import Plant
from refute.spec.experiments.evidence.dogfood import Probe

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Sabotage:
    """`target` (`module:name`, where it is looked up) is replaced by what `wrong` makes of it.

    `probe` has to notice, asked about the command `asked` alone.
    """

    name: str
    probe: Probe
    what: str
    asked: str
    target: str
    wrong: Callable[[Function], Function]

    def planted(self) -> Plant:
        """What replaces it, for the rest of the process that calls this. Raises AttributeError for an absent target."""
        module, _, name = self.target.partition(":")

        def plant() -> None:
            owner = import_module(module)
            setattr(owner, name, self.wrong(getattr(owner, name)))

        return plant


def _answers(value: Any) -> Callable[[Function], Function]:
    return lambda _real: lambda *_arguments, **_settings: value


def _ends_well(real: Function) -> Function:
    @wraps(real)
    def told(*arguments: Any) -> int:
        real(*arguments)
        return 0

    return told


def _says_nothing(_real: Function) -> Function:
    return lambda *_arguments: 2


def _without_limit(real: Function) -> Function:
    return lambda *_arguments, **_settings: real(8)


def _one_parameter_more(real: Function) -> Function:
    @wraps(real)
    def inspect(*arguments: Any, **settings: Any) -> Any:
        found = real(*arguments, **settings)
        return replace(found, parameters=found.parameters + 1)

    return inspect


def _really(real: Function) -> Function:
    @wraps(real)
    def prune(*arguments: Any, **settings: Any) -> Any:
        shutil.rmtree(".refute/store/keys")
        return real(*arguments, **settings)

    return prune


def _renamed(real: Function) -> Function:
    @wraps(real)
    def printed(content: Any, **settings: Any) -> None:
        real({name.replace("parameters", "size_in_parameters"): each for name, each in content.items()}, **settings)

    return printed


def _with_nan(_real: Function) -> Function:
    def printed(content: Any, **_settings: Any) -> None:
        spoilt = {name: float("nan") if isinstance(value, int) else value for name, value in content.items()}
        sys.stdout.write(json.dumps(spoilt))

    return printed


def _unbuilt(_real: Function) -> Function:
    def lint(*_arguments: Any) -> Any:
        raise ValueError("this command is not implemented")

    return lint


def _falls_back(real: Function) -> Function:
    """What cannot be opened becomes the sound model beside it."""

    @wraps(real)
    def opened(path: Path, **settings: Any) -> Any:
        try:
            return real(path, **settings)
        except Exception:  # noqa: BLE001  # whatever it is: this is what a silent fallback does
            return real(Path("model"), **settings)

    return opened


def _over_what_lies_there(real: Function) -> Function:
    @wraps(real)
    def created(pair: Any, *arguments: Any) -> Any:
        for path in (pair.private, pair.public):
            path.unlink(missing_ok=True)
        return real(pair, *arguments)

    return created


_INSPECT: Final = "refute.cli.model.inspect:print_json"
_LINT: Final = "refute.engines.model.tools.lint.lint:lint_model"
_FAILURE: Final = "refute.cli.run:tell_failure"
# At least one a probe.
SABOTAGES: Final = (
    Sabotage(
        "flag-ignored",
        "P1",
        "--quality is accepted, and nothing is measured",
        "model inspect",
        "refute.engines.model.tools.quality:measure_quality",
        _answers(None),
    ),
    Sabotage("status-swallowed", "P2", "errors are told, and end in 0", "model inspect", _FAILURE, _ends_well),
    Sabotage("message-swallowed", "P2", "errors end in 2 without a word", "model inspect", _FAILURE, _says_nothing),
    Sabotage(
        "refusal-ends-in-0",
        "P2",
        "a NO-GO ends in 0",
        "gate",
        "refute.cli.commands.gate:status_of_ruling",
        _answers(0),
    ),
    Sabotage(
        "settings-ignored",
        "P3",
        "temperature, top-p, seed and limit never reach the engine",
        "model run",
        "refute.engines.model.tools.asking.engine:Sampling",
        _without_limit,
    ),
    Sabotage(
        "two-counts",
        "P4",
        "one command counts a parameter more than another",
        "",
        "refute.engines.model.tools.pull:inspect_model",
        _one_parameter_more,
    ),
    Sabotage(
        "dry-run-removes",
        "P5",
        "a dry run of prune removes what is listed",
        "",
        "refute.evidence.store.prune:prune",
        _really,
    ),
    Sabotage(
        "nan-let-through",
        "P7",
        "no weight is looked at",
        "model lint",
        "refute.engines.model.tools.lint.weights:scan_tensors",
        _answers(()),
    ),
    Sabotage(
        "nan-printed",
        "P7",
        "a count is printed as NaN",
        "model inspect",
        "refute.cli.model.inspect:asdict",
        _answers({"parameters": float("nan")}),
    ),
    Sabotage("another-version", "P8", "it says another version", "", "refute.cli.app:version", _answers("0.0.0")),
    Sabotage(
        "phantom-command",
        "P9",
        "a command that is listed does nothing yet",
        "model lint",
        _LINT,
        _unbuilt,
    ),
    Sabotage("schema-changed", "P10", "a key of --json has another name", "model inspect", _INSPECT, _renamed),
    Sabotage("json-with-nan", "P10", "--json holds NaN, which is no JSON", "model inspect", _INSPECT, _with_nan),
    Sabotage(
        "healthy-defamed",
        "P11",
        "every answer is called degenerate",
        "model run",
        "refute.engines.model.tools.asking.degenerate:degenerate",
        _answers("the same few tokens over and over"),
    ),
    Sabotage(
        "silently-on-the-cpu",
        "P12",
        "a device that is not there becomes the CPU without a word",
        "distill certify",
        "refute.engines.distill.certificate.certify:require_device",
        _answers("cpu"),
    ),
    Sabotage(
        "another-model-instead",
        "SILENT",
        "a folder that cannot be opened becomes another model without a word",
        "model run",
        "refute.engines.model.tools.asking.opening:TransformersEngine",
        _falls_back,
    ),
    Sabotage("lint-passes-all", "SILENT", "nothing is looked at", "model lint", _LINT, _answers(())),
    Sabotage("interrupt-swallowed", "CHAOS", "a Ctrl-C ends in 0", "model bench", _FAILURE, _ends_well),
    Sabotage(
        "overwrites",
        "CHAOS",
        "a key of the same name is overwritten",
        "keygen",
        "refute.attest.keys:_create",
        _over_what_lies_there,
    ),
)
