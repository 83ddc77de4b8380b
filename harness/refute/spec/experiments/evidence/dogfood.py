"""What refute finds out about itself: observations of its commands, in this build and in sabotaged ones."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from refute.spec.experiments.evidence.base import EvidenceModel

Probe = Literal["P1", "P2", "P3", "P4", "P5", "P7", "P8", "P9", "P10", "P11", "P12", "SILENT", "CHAOS"]


class Observation(EvidenceModel):
    """What `probe` makes of `subject` in `build`, a sabotaged one's name, or empty for refute as it is.

    `untried`: nobody knows how to ask. `excused`: by its nature there is nothing to see.
    """

    build: str
    probe: Probe
    subject: str
    state: Literal["kept", "broken", "untried", "excused"]
    found: str


class SabotagedBuild(EvidenceModel):
    """A build in which `target` does something wrong; `probe` has to notice."""

    name: str
    probe: Probe
    target: str
    what: str


class PrintedShape(EvidenceModel):
    """What `command` prints for programs: the keys of objects, one entry of a list, names of types for the rest."""

    command: str
    shape: JsonValue
