"""The `publication` of a release: under which name, licence and formats the student is given to others, and where."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from refute.spec.fields import Closed, Positive

# The signed verdict on a release, beside its files under a name by which every reader knows that it is none of them.
VERDICT: Final = "verdict.sigstore.json"
# ORG/NAME as the hub has them.
RepoId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")]
Words = Annotated[str, Field(pattern=r"\S")]


class HubModel(Closed):
    """A model folder as a hub has it, by a whole commit: a branch or a tag may mean other files tomorrow."""

    format: Literal["hub"]
    repo: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class ExportLabel(StrEnum):
    """How a GGUF file is quantised, spelt as in file names and as the hub reads them."""

    F32 = "F32"
    F16 = "F16"
    BF16 = "BF16"
    Q8_0 = "Q8_0"
    Q4_0 = "Q4_0"
    Q4_K_M = "Q4_K_M"
    Q5_K_M = "Q5_K_M"
    Q6_K = "Q6_K"

    @property
    def is_kquant(self) -> bool:
        """Whether its blocks are llama.cpp's K-quants, which the package `gguf` reads and does not write."""
        return "_K" in self.value


class Repository(Closed):
    """A model repository on the Hugging Face hub. `gated`: readers ask first, and somebody or nobody has to agree."""

    repo: RepoId
    private: bool = False
    gated: Literal["auto", "manual"] | None = None


class Origin(Closed):
    """A model that the student comes from: its id on the hub, and the hub's id of its licence."""

    repo: RepoId
    licence: Words


class CardFacts(Closed):
    """What a card says that no evidence knows. `summary` is the first paragraph; languages are ISO 639 codes."""

    summary: Words
    languages: Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...], Field(min_length=1)]
    datasets: tuple[RepoId, ...] = ()
    tags: tuple[Words, ...] = ()


class Publication(Closed):
    """How the student is published: to the `hub`, or, with `rehearsal: true`, to one on this machine alone.

    `licence` and those of `teacher` and `init` are ids of the hub; `licence_file` is the text of the first. An init
    that was cut out of the teacher has its origin. `exports` are the GGUF files beside the folder, by label; each
    answers `format_problems` of HumanEval for itself, drawn from those that the release puts.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")]
    licence: Words
    licence_file: Words
    teacher: Origin
    init: Origin | None = None
    card: CardFacts
    exports: tuple[ExportLabel, ...] = ()
    format_problems: Positive = 20
    hub: Repository | None = None
    rehearsal: bool = False

    @property
    def repo(self) -> str:
        """Where readers find it, as ORG/NAME; of a rehearsal, under an organisation of no name."""
        return self.hub.repo if self.hub is not None else f"ORG/{self.name}"

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.hub is not None) == self.rehearsal:
            raise ValueError("name either `hub` or `rehearsal: true`, not both and not neither")
        if len(set(self.exports)) < len(self.exports):
            raise ValueError("`exports` names a label twice")
        return self
