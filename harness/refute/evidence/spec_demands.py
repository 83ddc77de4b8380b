"""What specs demand of evidence before it is made: a sequential test that ends a run, shares of problems in error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from refute.errors import UsageError
from refute.falsifier.registry import Falsifier
from refute.spec.bars.sequential import Design
from refute.spec.criteria import FalsifierUse, Spec, uses_of
from refute.spec.experiments.evidence_files import HUMANEVAL_SEQUENTIAL, HUMANEVAL_STUDENT

# The parameter by which a use of a falsifier allows problems without a verdict.
ERROR_SHARE = "allowed_error_share"


def sequential_design(specs: Iterable[Spec], falsifiers: Mapping[str, Falsifier]) -> Design | None:
    """The sequential test that `specs` declare for a falsifier that needs the evidence of a run stopped by one.

    Raises UsageError where they declare two that differ: one run can stop by one rule only.
    """
    found: dict[Design, str] = {}
    for use, falsifier in _uses(specs, falsifiers):
        if HUMANEVAL_SEQUENTIAL in falsifier.needs:
            found |= {design: use.id for design in use.designs().values() if design not in found}
    if len(found) > 1:
        raise UsageError(
            f"{' and '.join(found.values())} declare different sequential tests of one run",
            hint=f"give them the same `sequential`, or judge one of them on all problems ({HUMANEVAL_STUDENT})",
        )
    return next(iter(found), None)


def error_shares(specs: Iterable[Spec], falsifiers: Mapping[str, Falsifier]) -> dict[str, float]:
    """By evidence, the largest share of problems without a verdict that a use of it states.

    A run goes on up to there; a falsifier whose own share is smaller gives an error then, and no measurement.
    """
    found: dict[str, float] = {}
    for use, falsifier in _uses(specs, falsifiers):
        share = use.parameters.get(ERROR_SHARE)
        if isinstance(share, int | float):
            found |= {need: max(float(share), found.get(need, 0.0)) for need in falsifier.needs}
    return found


def _uses(specs: Iterable[Spec], falsifiers: Mapping[str, Falsifier]) -> Iterator[tuple[FalsifierUse, Falsifier]]:
    """Every use of a falsifier that is there."""
    for use in uses_of(specs):
        falsifier = falsifiers.get(use.uses or "")
        if falsifier is not None:
            yield use, falsifier
