"""The catalogue of recorded failures: what happened elsewhere, and what ends it here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from refute.spec.fields import Closed
from refute.spec.yaml.document import parse_yaml, validate

FILE = Path(__file__).with_name("catalogue.yaml")


class Sabotage(Closed):
    """The failure, done on purpose, and the falsifier that must end it.

    `patch` is `module.function` of this package, applied in the processes of `experiments`; `release` and `bars` change
    inputs. `because` must stand in the reason of the record: a measurement, or words of the error.
    """

    patch: str | None = None
    experiments: tuple[str, ...] = ()
    release: dict[str, Any] = Field(default_factory=dict)
    bars: dict[str, dict[str, str]] = Field(default_factory=dict)
    falsifier: str
    because: str

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if (self.patch is None) != (not self.experiments):
            raise ValueError("a patch needs experiments, and experiments need a patch")
        if self.patch is None and not self.release and not self.bars:
            raise ValueError("nothing is sabotaged")
        return self

    @property
    def name(self) -> str:
        """Short and unlike the others'."""
        bars = [f"{name}{bar}" for each in self.bars.values() for name, bar in each.items()]
        what = self.patch or ",".join([*self.release, *bars])
        where = f"@{'+'.join(self.experiments)}" if self.experiments else ""
        return f"{what}{where}-{self.falsifier}-{self.because}".replace(" ", "-")


class Failure(Closed):
    """One recorded failure: ended by falsifiers, held by tests of the gate itself, or outside what this can judge."""

    id: Annotated[str, Field(pattern=r"^[a-z]+-[0-9]{2}[a-z]?$")]
    happened: str
    source: str
    sabotages: tuple[Sabotage, ...] = ()
    tests: tuple[str, ...] = ()
    outside: str | None = None

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        if (self.outside is None) == (not self.sabotages and not self.tests):
            raise ValueError(f"{self.id}: give sabotages or tests, or say why it is outside")
        return self


class Catalogue(Closed):
    """All of them."""

    failures: tuple[Failure, ...]

    def sabotages(self) -> Sequence[tuple[Failure, Sabotage]]:
        """Every sabotage with the failure that it repeats."""
        return [(failure, each) for failure in self.failures for each in failure.sabotages]


def load_catalogue(path: Path = FILE) -> Catalogue:
    """The catalogue. Raises UsageError for a file that is not one, with the line."""
    return validate(parse_yaml(path.read_text(encoding="utf-8"), str(path)), Catalogue)
