"""Traceability: falsifiers that no spec uses, measurements that no bar judges, ids that nobody knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType

from refute.disk import read_regular
from refute.errors import Problem
from refute.falsifier.registry import Falsifier
from refute.spec.criteria import LoadedSpec, Spec, uses_of
from refute.spec.yaml.suggest import close_to

# Two words at least, so that F-16 in a text is a plane. What starts with EXAMPLE is an example, as with example.com.
_ID = re.compile(r"(?<![\w-])(?:AC|F|SPEC)-(?!EXAMPLE)[A-Z0-9]+(?:-[A-Z0-9]+)+(?![\w-])")


def unused(specs: Iterable[Spec], own: Mapping[str, Falsifier]) -> Iterator[Problem]:
    """A problem for each falsifier in `own` that no spec uses, and for each measurement that no use gives a bar."""
    judged: dict[str, set[str]] = {}
    for use in uses_of(specs):
        judged.setdefault(use.uses or "", set()).update(use.thresholds)
    for name, declared in sorted(own.items()):
        place = str(declared.file), _line(declared)
        if name not in judged:
            yield Problem(*place, name, f"[trace/orphan-falsifier] no spec uses the falsifier {name!r}")
            continue
        for measurement in sorted(set(declared.measures) - judged[name]):
            message = f"{name!r} measures {measurement!r}, and no spec has a bar for it: nothing depends on it"
            yield Problem(*place, name, f"[trace/unthresholded] {message}")


def unknown_ids(specs: Sequence[LoadedSpec], documents: Iterable[Path]) -> Iterator[Problem]:
    """A problem for each id in `documents` or in a spec's own text that no spec defines or retires.

    A criterion's `source` may name the ids of others.
    """
    known = {name for loaded in specs for name in _defined(loaded.spec)}
    for loaded in specs:
        foreign = {name for criterion in loaded.spec.criteria for name in _ID.findall(criterion.source)}
        yield from _strangers(loaded.path, loaded.text, known | foreign)
    for path in documents:
        yield from _strangers(path, read_regular(path).decode("utf-8", "replace"), known)


def _line(declared: Falsifier) -> int:
    code = getattr(declared.measure, "__code__", None)
    return code.co_firstlineno if isinstance(code, CodeType) else 1


def _defined(spec: Spec) -> Iterator[str]:
    yield spec.spec
    yield from (retired.id for retired in spec.retired)
    for criterion in spec.criteria:
        yield criterion.id
        yield from (use.id for use in criterion.falsifiers)


def _strangers(path: Path, text: str, known: set[str]) -> Iterator[Problem]:
    for number, line in enumerate(text.split("\n"), start=1):
        for name in sorted(set(_ID.findall(line)) - known):
            yield Problem(str(path), number, "", f"[trace/unknown-id] no spec knows {name}{close_to(name, known)}")
