"""What a fire drill writes: the faults that were planted and what became of them, and how they were drawn."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from refute.spec.experiments.drill import Kind
from refute.spec.experiments.evidence.base import EvidenceModel, Several

# `excused`: the evidence is the honest one's to the last bit. `stopped`: the engine itself refused, so there is none.
# `unable`: nobody named it, and an auditor or a falsifier ended in an exception that nobody foresaw.
DrillOutcome = Literal["named", "unable", "survived", "excused", "stopped"]


class PlantedFault(EvidenceModel):
    """A fault of `kind` at `place`, `when`, in the process of `experiment`; `named_by` a falsifier, for `reason`."""

    number: int
    place: str
    kind: Kind
    when: str
    experiment: str
    outcome: DrillOutcome
    named_by: str
    reason: str


class DrillSummary(EvidenceModel):
    """`seed` is hexadecimal and each run's own; `drawn_at` a moment in UTC; `generator` counts the faults to draw from.

    `on_guard` are the uses that let an honest line stand and were asked; `off_guard` all others of the run.
    """

    seed: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    drawn_at: str
    generator: int
    on_guard: Several[str]
    off_guard: Several[str]
