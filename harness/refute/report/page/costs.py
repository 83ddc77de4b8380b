"""Time and memory of a run, as far as the signed content tells them; what it does not tell is named as absent."""

from __future__ import annotations

from collections.abc import Iterable

from refute.errors import VerificationError
from refute.judge.predicate.exhibits import Fact
from refute.judge.predicate.model import Predicate
from refute.report.page.rounding import rounded
from refute.report.page.summary import named
from refute.spec.fields import moment

_SPEED = "Speed"
_MEMORY = frozenset({"B", "bytes", "kB", "KiB", "MB", "MiB", "GB", "GiB"})
_TIME = frozenset({"s", "ms", "min", "h", "tokens/s"})


def costs(predicate: Predicate) -> tuple[Fact, ...]:
    """Facts in reading order: the run's wall clock, its machine, speeds, and what was measured in time or memory."""
    return (*_wall_clock(predicate), *_speeds(predicate), *_measured(predicate))


def _wall_clock(predicate: Predicate) -> Iterable[Fact]:
    run = predicate.run
    yield Fact(label="From start to verdict", value=_lasted(run.started_at, predicate.evaluated_at))
    yield Fact(label="Machine", value=f"{run.platform}, {run.cpus} CPUs")


def _lasted(started: str, ended: str) -> str:
    try:
        seconds = int((moment(ended) - moment(started)).total_seconds())
    except VerificationError:
        return "absent from the signed content"
    minutes, rest = divmod(max(seconds, 0), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def _speeds(predicate: Predicate) -> Iterable[Fact]:
    for section in predicate.exhibits.sections:
        if section.title == _SPEED:
            yield from section.facts


def _measured(predicate: Predicate) -> Iterable[Fact]:
    found = [each for record in predicate.records for each in record.measurements]
    for each in found:
        if each.unit in _MEMORY | _TIME:
            yield Fact(label=named(each.name).capitalize(), value=f"{rounded(each)} {each.unit}")
    if not any(each.unit in _MEMORY for each in found):
        yield Fact(label="Memory", value="absent from the signed content")
