"""Configurations of what exports a student and proves its exports."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from refute.spec.fields import Closed, Positive
from refute.spec.publication import ExportLabel

# Full precision, by which a conversion is proven and against which quantised files are held.
REFERENCE: Final = ExportLabel.F16


class ExportConfig(Closed):
    """What enters `export`: what the files are called, and their labels. F16 is made in any case."""

    name: str
    labels: tuple[ExportLabel, ...]


class ConversionConfig(Closed):
    """What enters `prove_conversion`: how many positions, the last of them far out, and processors."""

    positions: Annotated[int, Field(ge=32)] = 33
    far: Positive = 1024
    threads: Positive


class ProofConfig(Closed):
    """What enters the other proofs."""

    threads: Positive


class AskAgainConfig(Closed):
    """What enters `ask_again`: how many answers of each file, and processors."""

    answers: Positive = 3
    threads: Positive


class UsageConfig(Closed):
    """What enters `try_paths`: the name under which a hub will have the release, and processors."""

    name: str
    threads: Positive
