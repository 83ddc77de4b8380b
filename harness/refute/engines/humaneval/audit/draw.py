"""Which answers of a run are made again: drawn after it has ended, from its own answers and fresh entropy."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from refute.spec.experiments.evidence.humaneval import ReplayDraw


@dataclass(frozen=True, slots=True)
class Recorded:
    """An answer, its name (`answer_name`) and its verdict, as the run has them."""

    name: str
    completion: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """Recorded answers that are executed again, and the names of those that are generated, too."""

    executed: tuple[Recorded, ...]
    generated: frozenset[str]


def fresh_draw(recorded: Sequence[Recorded], passes: int, others: int, executor: str) -> ReplayDraw:
    """A draw over `recorded` that nobody could know before now."""
    passed = sum(each.passed for each in recorded)
    return ReplayDraw.model_validate(
        {
            "entropy": secrets.token_hex(16),
            "run_sha256": run_sha256(recorded),
            "passes": passed,
            "others": len(recorded) - passed,
            "passes_at_most": passes,
            "others_at_most": others,
            "executor": executor,
        }
    )


def run_sha256(recorded: Iterable[Recorded]) -> str:
    """SHA-256 of the JSON list of [name, completion, passed], sorted by name."""
    rows = sorted([each.name, each.completion, each.passed] for each in recorded)
    return hashlib.sha256(json.dumps(rows).encode("ascii")).hexdigest()


def drawn(draw: ReplayDraw, recorded: Iterable[Recorded]) -> Drawn:
    """What `draw` chooses of `recorded`: every pass, and a few of the others."""

    def order(each: Recorded) -> bytes:
        return hashlib.sha256(f"{draw.entropy}\0{draw.run_sha256}\0{each.name}".encode()).digest()

    ordered = sorted(recorded, key=order)
    passes = [each for each in ordered if each.passed]
    others = [each for each in ordered if not each.passed][: draw.others_at_most]
    generated = [*passes[: draw.passes_at_most], *others]
    return Drawn((*passes, *others), frozenset(each.name for each in generated))
