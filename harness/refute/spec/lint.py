"""Hold specs against the declared falsifiers and the shape of a release: later faults, found now, with lines.

Every message starts with a stable code, such as `[spec/unknown-falsifier]`. Nothing is run or loaded.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from refute.errors import Problem
from refute.outcome import Measurement, Outcome
from refute.spec.bars.text import ThresholdText
from refute.spec.bars.threshold import Threshold, decide
from refute.spec.criteria import Criterion, FalsifierUse, LoadedSpec, Parameter, duplicates_across
from refute.spec.release import Release
from refute.spec.yaml.document import KeyPath
from refute.spec.yaml.model_paths import has_path, keys_at
from refute.spec.yaml.suggest import suggestion

# Where, code, message.
Fault = tuple[KeyPath, str, str]

# A criterion without falsifiers. It stops no run: it is for the judge, and must end in a signed NO-GO.
UNCOVERED = "spec/uncovered"
_DUPLICATE = "spec/duplicate-id"


class Declaration(Protocol):
    """What linting needs to know of a falsifier; `refute.falsifier.registry.Falsifier` has it."""

    @property
    def name(self) -> str:
        """The name that specs write behind `uses`."""
        ...

    @property
    def measures(self) -> Mapping[str, str]:
        """Units by measurement."""
        ...

    @property
    def parameters(self) -> Mapping[str, object]:
        """Defaults by parameter."""
        ...


def check_spec(loaded: LoadedSpec, declarations: Mapping[str, Declaration]) -> list[Problem]:
    """Every problem of one spec in the order of its lines; `declarations` are the falsifiers by name."""
    faults: list[Fault] = []
    for index, criterion in enumerate(loaded.spec.criteria):
        place: KeyPath = ("criteria", index)
        faults.extend(_criterion_faults(criterion, place))
        for number, use in enumerate(criterion.falsifiers):
            faults.extend(_use_faults(use, (*place, "falsifiers", number), declarations))
    problems = [loaded.document.problem(path, f"[{code}] {message}", code) for path, code, message in faults]
    return sorted(problems, key=lambda problem: (problem.line, problem.key, problem.message))


def check_specs(specs: Sequence[LoadedSpec], declarations: Mapping[str, Declaration]) -> list[Problem]:
    """`check_spec` for each of `specs` in turn, then the ids that occur in more than one of them."""
    problems = [problem for loaded in specs for problem in check_spec(loaded, declarations)]
    repeated = duplicates_across(specs)
    return problems + [replace(each, message=f"[{_DUPLICATE}] {each.message}", code=_DUPLICATE) for each in repeated]


def _criterion_faults(criterion: Criterion, place: KeyPath) -> Iterator[Fault]:
    if not criterion.falsifiers:
        message = f"{criterion.id} has no falsifier: nothing can refute it, so nothing can discharge it"
        yield (*place, "falsifiers"), UNCOVERED, message
    for dotted_path in sorted(criterion.not_applicable_when):
        parts = dotted_path.split(".")
        if has_path(Release, parts):
            continue
        depth = next(end for end in range(1, len(parts) + 1) if not has_path(Release, parts[:end]))
        known = [".".join([*parts[: depth - 1], key]) for key in keys_at(Release, parts[: depth - 1], None)]
        message = f"a release has no `{'.'.join(parts[:depth])}`{suggestion('.'.join(parts[:depth]), known)}"
        yield (*place, "not_applicable_when", dotted_path), "spec/unknown-release-path", message


def _use_faults(use: FalsifierUse, place: KeyPath, declarations: Mapping[str, Declaration]) -> Iterator[Fault]:
    for measurement, text in sorted(use.thresholds.items()):
        yield from _bar_faults(text, (*place, "thresholds", measurement))
    if use.uses is None:
        return
    declaration = declarations.get(use.uses)
    if declaration is None:
        message = f"no falsifier is called `{use.uses}`{suggestion(use.uses, declarations)}"
        yield (*place, "uses"), "spec/unknown-falsifier", message
        return
    for measurement, text in sorted(use.thresholds.items()):
        yield from _measure_faults(measurement, text, declaration, (*place, "thresholds", measurement))
    for parameter, value in sorted(use.parameters.items()):
        yield from _parameter_faults(parameter, value, declaration, (*place, "with", parameter))


def _measure_faults(measurement: str, text: ThresholdText, declaration: Declaration, place: KeyPath) -> Iterator[Fault]:
    if measurement not in declaration.measures:
        known = suggestion(measurement, declaration.measures)
        message = f"`{declaration.name}` does not measure `{measurement}`{known}"
        yield place, "spec/unknown-measurement", message
        return
    declared, found = declaration.measures[measurement], text.parsed().holds_if.unit
    if found != declared:
        message = f"`{declaration.name}` measures `{measurement}` in {declared!r}, but the bar is in {found!r}"
        yield (*place, "holds_if"), "spec/unit-mismatch", message


def _bar_faults(text: ThresholdText, place: KeyPath) -> Iterator[Fault]:
    """A bar that no value can fail, or none can clear, is no bar."""
    threshold = text.parsed()
    reachable = {_outcome(value, threshold) for value in _probes(threshold)}
    if Outcome.FALSIFIED not in reachable:
        yield place, "spec/cannot-fail", "`inconclusive_if` covers all that would falsify: this cannot fail"
    if Outcome.CORROBORATED not in reachable:
        yield place, "spec/cannot-hold", "`inconclusive_if` covers all that would corroborate: this cannot hold"


def _outcome(value: float, threshold: Threshold) -> Outcome:
    return decide(Measurement("probe", value, threshold.holds_if.unit, n=1), threshold)[0]


def _probes(threshold: Threshold) -> list[float]:
    """One value from every stretch on which the outcome is constant: each bar, and both its neighbours."""
    bars = (threshold.holds_if, threshold.inconclusive_if)
    corners = [bar.value for bar in bars if bar is not None]
    beside = [math.nextafter(corner, way) for corner in corners for way in (-math.inf, math.inf)]
    return [*corners, *(value for value in beside if abs(value) <= sys.float_info.max)]


def _parameter_faults(parameter: str, value: Parameter, declaration: Declaration, place: KeyPath) -> Iterator[Fault]:
    if parameter not in declaration.parameters:
        known = suggestion(parameter, declaration.parameters) or "; it takes none"
        yield place, "spec/unknown-parameter", f"`{declaration.name}` takes no parameter `{parameter}`{known}"
        return
    default = declaration.parameters[parameter]
    if not _same_kind(value, default):
        wanted, found = type(default).__name__, type(value).__name__
        message = f"`{parameter}` should be like its default {default!r} ({wanted}), found {value!r} ({found})"
        yield place, "spec/parameter-type", message
    elif parameter.endswith("_share") and isinstance(value, int | float) and not 0 <= value <= 1:
        yield place, "spec/parameter-range", f"`{parameter}` is a share, from 0 to 1, found {value!r}"


def _same_kind(value: object, default: object) -> bool:
    """Whether `value` may replace `default`: the same type, an int for a float, a list of such for a list."""
    if isinstance(default, list | tuple) and isinstance(value, list | tuple):
        return not default or all(_same_kind(item, default[0]) for item in value)
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)
