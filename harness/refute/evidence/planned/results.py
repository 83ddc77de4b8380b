"""The plan of what others have found: results of other tools, and the verdict on the release before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from refute.evidence.experiment import Experiment, Locate
from refute.evidence.sources import located_folder
from refute.spec.experiments.evidence_files import HUMANEVAL_PREVIOUS, RESULTS_OF_OTHERS
from refute.spec.experiments.results import BaselineConfig, ResultPlace, ResultsConfig
from refute.spec.results import BenchmarkResults, RequiredVerdict

Results = Mapping[str, BenchmarkResults]


def results_experiments(results: Results, base: Path) -> Iterator[Experiment]:
    """The experiment that reads `results`; none where there are none."""
    if results:
        yield Experiment(
            RESULTS_OF_OTHERS,
            "read what other tools have measured",
            "refute.engines.results.experiment:read_results",
            partial(_configuration, results, base),
        )


def baseline_experiments(baseline: RequiredVerdict | None, base: Path) -> Iterator[Experiment]:
    """The experiment that reads the signed verdict of the release before; none where none is named."""
    if baseline is not None:
        yield Experiment(
            HUMANEVAL_PREVIOUS,
            f"read what the verdict on {baseline.release} says of its student",
            "refute.engines.results.baseline:read_baseline",
            partial(_before, baseline, base),
        )


def _before(baseline: RequiredVerdict, base: Path, at: Locate) -> BaselineConfig:
    return BaselineConfig(release=baseline.release, path=at(located_folder(base / Path(baseline.verdict).expanduser())))


def result_paths(results: Results, base: Path) -> dict[str, Path]:
    """Every file that `results` name, by its place in the release."""
    return {
        f"results.{name}.{side}{part}": base / Path(path).expanduser()
        for name, benchmark in sorted(results.items())
        for side, file in benchmark.sides().items()
        for part, path in (("", file.path), (".run", file.run))
        if path is not None
    }


def _configuration(results: Results, base: Path, at: Locate) -> ResultsConfig:
    paths = result_paths(results, base)

    def place(name: str) -> str | None:
        return at(located_folder(paths[name])) if name in paths else None

    return ResultsConfig(
        places=tuple(
            ResultPlace(
                benchmark=name,
                side=side,
                file=file,
                path=place(f"results.{name}.{side}") or "",
                run=place(f"results.{name}.{side}.run"),
            )
            for name, benchmark in sorted(results.items())
            for side, file in benchmark.sides().items()
        )
    )
