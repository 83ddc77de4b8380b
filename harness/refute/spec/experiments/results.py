"""Configuration of the experiment that reads results of other tools."""

from __future__ import annotations

from typing import Literal

from refute.spec.fields import Closed
from refute.spec.results import ResultFile

Side = Literal["student", "baseline"]


class ResultPlace(Closed):
    """A file of results, whose they are, and where it was found."""

    benchmark: str
    side: Side
    file: ResultFile
    path: str
    run: str | None


class BaselineConfig(Closed):
    """What enters `read_baseline`: the release, and where its signed verdict was found."""

    release: str
    path: str


class ResultsConfig(Closed):
    """What enters `read_results`."""

    places: tuple[ResultPlace, ...]
