"""Everything before publishing, as one table: what a model lacks, and what was not looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from refute.attest.model_manifest import hash_model
from refute.engines.model.tools.asking.qa import GateResult, refuse_the_same_format, run_gates
from refute.engines.model.tools.lint.lint import lint_model
from refute.engines.model.tools.quality import POINTS, quality_of
from refute.engines.model.tools.stored import open_stored


def look_at_readiness(model: Path, *, exports: tuple[Path, ...], floor: float, threads: int) -> list[GateResult]:
    """Digest, lint, quality and gates of the model, and lint and gates of each export beside it, by name.

    Raises as `open_stored` for a model that cannot be opened, and as `refuse_the_same_format` for an export.
    """
    for export in exports:
        refuse_the_same_format(model, export)
    return list(_rows(model, exports, floor, threads))


def _rows(model: Path, exports: tuple[Path, ...], floor: float, threads: int) -> Iterator[GateResult]:
    open_stored(model)  # what is no model has no digest that anybody asks for
    yield GateResult("digest", "passed", hash_model(model).root_digest)
    yield from _looked_over(model, "model")
    yield from _gates(model, next(iter(exports), None), "model", floor, threads)
    if not exports:
        yield GateResult("exports", "not run", "no export was named: give --export")
    for export in exports:
        yield from _looked_over(export, export.name)
        yield from _gates(export, model, export.name, floor, threads)


def _looked_over(path: Path, name: str) -> Iterator[GateResult]:
    findings = lint_model(path)
    errors = [each for each in findings if each.severity == "error"]
    told = errors[0].found if errors else f"{len(findings)} warnings and notes"
    yield GateResult(f"{name}: lint", "failed" if errors else "passed", told)
    quality = quality_of(open_stored(path).format, findings)
    for group, points in quality.groups.items():
        yield GateResult(f"{name}: {group}", "passed" if points else "failed", f"{points} of {POINTS[group]}")


def _gates(model: Path, beside: Path | None, name: str, floor: float, threads: int) -> Iterator[GateResult]:
    for each in run_gates(model, beside=beside, floor=floor, threads=threads):
        yield GateResult(f"{name}: {each.gate}", each.state, each.found)
