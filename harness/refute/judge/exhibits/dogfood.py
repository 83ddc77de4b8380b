"""The nine sections of a release that is refute itself: from observations, and not run where nothing was observed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from refute.judge.exhibits.reading import Lines, read_rows
from refute.judge.predicate.exhibits import Fact, Section
from refute.outcome import Record
from refute.spec.experiments.evidence.dogfood import Observation, SabotagedBuild
from refute.spec.experiments.evidence_files import DOGFOOD, OBSERVATIONS, SABOTAGED_BUILDS

Choose = Callable[[Observation], bool]


def _of(probe: str, *beginnings: str) -> Choose:
    return lambda each: each.probe == probe and each.subject.startswith(beginnings or "")


# Sections that observations fill: which of them.
_FILLED: Final[Mapping[int, tuple[str, Choose]]] = MappingProxyType(
    {
        1: ("Provenance: what was put to use", _of("P8")),
        3: ("Inference smoke in both engines, on a small model", _of("P11", "model run")),
        4: ("Benchmark: a speed that nobody reaches", _of("P1", "model qa --at-least", "model readiness --at-least")),
        5: ("Export round trip: folder and GGUF file", _of("P4", "architecture", "parameters")),
        6: ("Quality gates on a healthy model", _of("P11", "model lint", "model inspect", "model qa")),
    }
)
# Sections that nobody has built, and the command by which somebody can do it.
_NOT_BUILT: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        2: ("Clean install as a stranger", "not built: pip install the wheel into a new environment, refute --version"),
        8: ("Independent consumer", "nobody has attested to using this: refute consume VERDICT --key THEIRS.key"),
    }
)
_UNASKED: Final = (
    "Not built: P6, the same answers on CPU and GPU; of the companion contracts the metamorphic and differential ones,"
    " coverage, and of chaos memory budgets, full disks and concurrent runs."
)


def dogfood_sections(lines: Lines, records: Iterable[Record]) -> tuple[Section, ...]:
    """Nine sections, in their order; what was not built says so."""
    seen = read_rows(lines, DOGFOOD, OBSERVATIONS)
    own = [each for each in seen if each.build == ""]
    found = [_filled(number, title, filter(choose, own)) for number, (title, choose) in _FILLED.items()]
    found += [Section(number=n, title=title, state="not_run", note=note) for n, (title, note) in _NOT_BUILT.items()]
    found += [_probes(seen, read_rows(lines, DOGFOOD, SABOTAGED_BUILDS)), _decision(tuple(records))]
    return tuple(sorted(found, key=lambda each: each.number))


def _filled(number: int, title: str, chosen: Iterable[Observation]) -> Section:
    facts = tuple(Fact(label=f"{each.subject}: {each.state}", value=each.found) for each in chosen)
    if not facts:
        return Section(number=number, title=title, state="not_run", note="nothing was observed")
    return Section(number=number, title=title, state="measured", facts=facts)


def _probes(seen: Sequence[Observation], builds: Sequence[SabotagedBuild]) -> Section:
    """By probe what was kept and what was not, and how many sabotaged builds it noticed."""
    facts = tuple(
        Fact(label=probe, value=_told(probe, seen, builds)) for probe in dict.fromkeys(each.probe for each in seen)
    )
    title = "P1 to P12, silent fallbacks and chaos"
    if not facts:
        return Section(number=7, title=title, state="not_run", note="nothing was observed")
    return Section(number=7, title=title, state="measured", facts=facts, text=_UNASKED)


def _told(probe: str, seen: Sequence[Observation], builds: Sequence[SabotagedBuild]) -> str:
    states = [each.state for each in seen if each.probe == probe and each.build == ""]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    planted = [each.name for each in builds if each.probe == probe]
    noticed = {each.build for each in seen if each.state == "broken"}
    return f"{counts}; noticed {len(noticed.intersection(planted))} of {len(planted)} sabotaged builds"


def _decision(records: tuple[Record, ...]) -> Section:
    stands = sorted({each.criterion for each in records if each.outcome not in ("corroborated", "not_applicable")})
    facts = tuple(Fact(label="stands open", value=criterion) for criterion in stands)
    text = "refute status --key PUB" if not stands else "refute report VERDICT --key PUB, mend it, refute dogfood"
    title = "Verdict, and what to do next"
    if not records:
        return Section(number=9, title=title, state="not_run", note="no falsifier has a record")
    return Section(number=9, title=title, state="measured", facts=facts, text=text)
