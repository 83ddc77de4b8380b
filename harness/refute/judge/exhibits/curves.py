"""The loss curves of a report, read out of the logs of training runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from refute.judge.exhibits.reading import Lines, read_rows
from refute.judge.predicate.exhibits import Curve
from refute.spec.experiments.evidence_files import CE_CONTROL, HELDOUT_EVALUATIONS, STEPS, STUDENT

# Enough for every step of a short run; of a long one, every n-th and the last.
_MOST_POINTS = 1000

_TRAINED = (("student", STUDENT), ("control", CE_CONTROL))


def curves(lines: Lines) -> Iterable[Curve]:
    """Training and held-out losses of student and control, each over the steps at which it was measured."""
    for label, name in _TRAINED:
        steps = read_rows(lines, name, STEPS)
        yield from _curve("Training loss", f"CE, {label}", [(row.step, row.ce) for row in steps])
        # The control has no KL term: its logged zeros would read as a perfect match.
        if name != CE_CONTROL:
            yield from _curve("Training loss", f"KL, {label}", [(row.step, row.kl) for row in steps])
        evaluations = read_rows(lines, name, HELDOUT_EVALUATIONS)
        yield from _curve("Held-out cross-entropy", label, [(row.step, row.heldout_ce) for row in evaluations])
        yield from _curve("Held-out KL to the teacher", label, [(row.step, row.heldout_kl) for row in evaluations])


def _curve(chart: str, name: str, measured: Sequence[tuple[int, float | None]]) -> Iterable[Curve]:
    points = [(step, value) for step, value in measured if value is not None]
    stride = -(-len(points) // _MOST_POINTS) or 1
    kept = points[::stride] + (points[-1:] if (len(points) - 1) % stride else [])
    if len(kept) > 1:
        steps, values = zip(*kept, strict=True)
        yield Curve(chart=chart, name=name, unit="nat/token", steps=steps, values=values)
