"""What breaking the falsifiers on purpose writes: the mutants, and the falsifiers that they were made of."""

from __future__ import annotations

from refute.spec.experiments.evidence.base import EvidenceModel, Several
from refute.spec.fields import Sha256


class Mutant(EvidenceModel):
    """A falsifier broken on purpose, the controls (`use/control`) that noticed, or why none had to."""

    falsifier: str
    number: int
    place: str
    change: str
    killed_by: Several[str]
    accepted: str


class MutatedFalsifier(EvidenceModel):
    """A falsifier: the SHA-256 of its file, how many mutants it has, and controls that would have needed a run."""

    falsifier: str
    code: Sha256
    mutants: int
    untried: Several[str]
