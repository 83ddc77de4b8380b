"""Experiment: results of other tools, in one form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from refute.disk import file_sha256, write_whole
from refute.engines.results.readers.code import read_evalplus, read_human_eval
from refute.engines.results.readers.inspect import read_inspect
from refute.engines.results.readers.lm_eval import read_lm_eval
from refute.engines.results.readers.tables import read_helm, read_items, read_lighteval
from refute.engines.results.table import Table, refuse_gaps
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.evidence.base import EvidenceModel
from refute.spec.experiments.evidence.results import ScoredItem, ScoredRun
from refute.spec.experiments.evidence_files import SCORED_ITEMS, SCORED_RUNS
from refute.spec.experiments.parsing import parse_config
from refute.spec.experiments.results import ResultPlace, ResultsConfig
from refute.spec.results import ResultFile, ResultFormat

Reader = Callable[[ResultFile, Path, Path | None], Table]

READERS: dict[ResultFormat, Reader] = {
    "lm-eval": read_lm_eval,
    "inspect": read_inspect,
    "evalplus": read_evalplus,
    "human-eval": read_human_eval,
    "lighteval": read_lighteval,
    "helm": read_helm,
    "items": read_items,
}


def read_results(job: Job) -> None:
    """Write items.jsonl, a row an answer, and runs.jsonl, a row a file, of all benchmarks that the release names.

    Raises ExperimentError for a file that its tool did not write, or from which rows are missing.
    """
    config = parse_config(ResultsConfig, job)
    items, runs = list[ScoredItem](), list[ScoredRun]()
    for done, place in enumerate(config.places, start=1):
        table = table_of(place)
        items += _items(place, table)
        runs.append(_run(place, table))
        job.progress("read results", done, len(config.places), items=len(table.items))
    _write(job.out / SCORED_ITEMS.name, items)
    _write(job.out / SCORED_RUNS.name, runs)


def table_of(place: ResultPlace) -> Table:
    """What a file says. Raises as `read_results` does."""
    path, run = Path(place.path), None if place.run is None else Path(place.run)
    where = f"{place.benchmark} of the {place.side}: {path.name}"
    try:
        table = READERS[place.file.format](place.file, path, run)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        # A file in which everything may stand: whatever a reader trips over was not written by its tool.
        message = f"{where} is not as {place.file.format} writes it: {type(error).__name__}: {error}"
        raise ExperimentError(message, hint="name the file as the tool wrote it") from error
    refuse_gaps(table, where)
    return table


def _items(place: ResultPlace, table: Table) -> Iterable[ScoredItem]:
    for row in sorted(table.items, key=lambda each: (each.item, each.sample)):
        yield ScoredItem(
            benchmark=place.benchmark,
            side=place.side,
            item=row.item,
            sample=row.sample,
            score=row.score,
            error=row.error,
            prompt_sha256=row.prompt_sha256,
            fields=dict(row.fields),
        )


def _run(place: ResultPlace, table: Table) -> ScoredRun:
    return ScoredRun(
        benchmark=place.benchmark,
        side=place.side,
        tool=table.tool,
        version=table.version,
        model=table.model,
        metric=table.metric,
        items=len({row.item for row in table.items}),
        declared_items=table.declared_items,
        settings=dict(table.settings),
        sha256=file_sha256(Path(place.path)),
    )


def _write(path: Path, rows: Iterable[EvidenceModel]) -> None:
    write_whole(path, "".join(f"{json.dumps(row.as_json(), sort_keys=True)}\n" for row in rows).encode("ascii"))
