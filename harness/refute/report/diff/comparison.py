"""Two predicates -> their difference. A pure function; who calls it has verified both.

What counts as a regression of the newer verdict:
  the ruling is worse (GO < WARN < NO-GO)
  the outcome of a block or warn criterion is worse, or it became uncovered
  a criterion, or a falsifier of one, is gone
  a bar under the same ids is looser, gone, or neither looser nor tighter (another unit, the other direction)
  a term asks for less: a lower severity or run class, a wider excuse, a later date, a falsifier that is only planned
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from refute.judge.predicate.model import Predicate
from refute.judge.verdict import CriterionRuling
from refute.outcome import Measurement, Outcome, Ruling, Severity
from refute.report.diff.difference import (
    BarDifference,
    Change,
    CriterionDifference,
    Difference,
    MetricDifference,
    Side,
    SpecDifference,
    State,
    TermDifference,
    WaiverDifference,
    WaiverState,
)
from refute.report.diff.rules import Criteria, bar_text, compare_all_bars, compare_terms
from refute.spec.criteria import Spec, parse_spec
from refute.spec.texts import SpecText
from refute.spec.waiver import Waiver

_RULINGS, _SEVERITIES, _OUTCOMES = list(Ruling), list(Severity), list(Outcome)
_Metrics = Mapping[tuple[str, str, str], Measurement]


def compare_verdicts(old: Predicate, new: Predicate, *, old_payload: str, new_payload: str) -> Difference:
    """Everything in which `new` differs from `old`; the payload digests only name the two.

    Ids are unique over all specifications, so a criterion that moved to another one is the same criterion.

    Raises SpecError where a specification inside does not parse, which a verified verdict's does.
    """
    specs, specs_now = _specs(old), _specs(new)
    rules, rules_now = _criteria(specs.values()), _criteria(specs_now.values())
    terms, bars = tuple(compare_terms(rules, rules_now)), tuple(compare_all_bars(rules, rules_now))
    criteria = tuple(_outcomes(old, new))
    return Difference(
        old=_side(old, old_payload),
        new=_side(new, new_payload),
        regressions=tuple(_regressions(old, new, terms, bars, criteria)),
        specs=tuple(_spec_differences(old, specs, new, specs_now)),
        terms=terms,
        bars=bars,
        criteria=criteria,
        metrics=tuple(_metric_differences(_metrics(old), _metrics(new), rules_now)),
        waivers=tuple(_waiver_differences(old, new)),
        inputs=_changes(_inputs(old), _inputs(new)),
        evidence=_changes(_evidence(old), _evidence(new)),
        environment=_changes(_environment(old), _environment(new)),
    )


def _side(predicate: Predicate, payload: str) -> Side:
    subject, release = predicate.subject.sha256, predicate.release.id
    return Side(predicate.verdict.ruling, release, subject, payload, predicate.evaluated_at)


def _specs(predicate: Predicate) -> dict[str, Spec]:
    return {each.id: parse_spec(each.text, each.name) for each in predicate.specs}


def _criteria(specs: Iterable[Spec]) -> Criteria:
    return {criterion.id: criterion for spec in specs for criterion in spec.criteria}


def _spec_differences(
    old: Predicate, specs: Mapping[str, Spec], new: Predicate, specs_now: Mapping[str, Spec]
) -> Iterator[SpecDifference]:
    texts, texts_now = _by_id(old), _by_id(new)
    for name in sorted(specs.keys() | specs_now.keys()):
        before, after = specs.get(name), specs_now.get(name)
        yield SpecDifference(
            spec=name,
            old_version=None if before is None else before.version,
            new_version=None if after is None else after.version,
            old_sha256=None if before is None else texts[name].sha256,
            new_sha256=None if after is None else texts_now[name].sha256,
        )


def _by_id(predicate: Predicate) -> dict[str, SpecText]:
    return {each.id: each for each in predicate.specs}


def _outcomes(old: Predicate, new: Predicate) -> Iterator[CriterionDifference]:
    before, after = ({each.criterion: each for each in side.verdict.criteria} for side in (old, new))
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        found = [each for each in (was, now) if each is not None]
        yield CriterionDifference(
            criterion=name,
            title=found[-1].title,
            severity=min((each.severity for each in found), key=_SEVERITIES.index),
            old=None if was is None else _word(was),
            new=None if now is None else _word(now),
            state=_state(was, now),
        )


def _state(old: CriterionRuling | None, new: CriterionRuling | None) -> State:
    if new is None:
        return "removed"
    if old is None:
        return "added"
    if _badness(new) > _badness(old):
        return "regressed"
    if not new.holds:
        return "still failing"
    return "unchanged" if old.holds else "fixed"


def _badness(ruling: CriterionRuling) -> int:
    """Nothing was even tried where a criterion is uncovered: that is worse than any outcome."""
    return len(_OUTCOMES) if ruling.uncovered else ruling.outcome.rank


def _word(ruling: CriterionRuling) -> str:
    return "uncovered" if ruling.uncovered else ruling.outcome.value.replace("_", " ")


def _metrics(predicate: Predicate) -> _Metrics:
    return {
        (record.criterion, record.falsifier, each.name): each
        for record in predicate.records
        for each in record.measurements
    }


def _metric_differences(old: _Metrics, new: _Metrics, rules: Criteria) -> Iterator[MetricDifference]:
    bars = {
        (criterion.id, use.id, measurement): bar_text(threshold)
        for criterion in rules.values()
        for use in criterion.falsifiers
        for measurement, threshold in use.thresholds.items()
    }
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        delta = None
        if before is not None and after is not None and before.unit == after.unit:
            delta = after.value - before.value
        yield MetricDifference(*key, before, after, delta, bars.get(key))


def _waiver_differences(old: Predicate, new: Predicate) -> Iterator[WaiverDifference]:
    before, after = ({each.model_dump_json(): each for each in side.waivers} for side in (old, new))
    then, now = (datetime.fromisoformat(side.evaluated_at) for side in (old, new))
    for text, waiver in sorted((before | after).items()):
        if _expired(waiver, now) and not (text in before and _expired(waiver, then)):
            state: WaiverState = "expired"
        elif text not in before:
            state = "new"
        elif text not in after:
            state = "removed"
        else:
            continue
        yield WaiverDifference(waiver.criterion, waiver.approver, waiver.expires_at, waiver.reason, state)


def _expired(waiver: Waiver, at: datetime) -> bool:
    try:
        return datetime.fromisoformat(waiver.expires_at) <= at
    except ValueError:  # a date that does not exist has always expired
        return True


def _inputs(predicate: Predicate) -> dict[str, str]:
    release, subject = predicate.release, predicate.subject
    return {
        "release": release.id,
        "release file": release.sha256,
        "run class": release.run_class.value,
        "operator": release.operator,
        "subject": f"{subject.kind} {subject.name}",
        "subject digest": subject.sha256,
        "signing key": predicate.signer.key_id,
    }


def _evidence(predicate: Predicate) -> dict[str, str]:
    return {f"{name}/{file}": digest for name, files in predicate.evidence.items() for file, digest in files.items()}


def _environment(predicate: Predicate) -> dict[str, str]:
    run = predicate.run
    return {
        "python": run.python,
        "platform": run.platform,
        "CPUs": str(run.cpus),
        # Every run of a gate has a folder of its own.
        "arguments": " ".join(each for each in run.argv if not each.startswith("--refute-run=")),
        predicate.verifier: predicate.verifier_version,
        "engine": "" if predicate.engine is None else predicate.engine.sentence,
        **{f"version of {name}": version for name, version in run.versions.items()},
        **{f"pytest plugin {name}": version for name, version in run.plugins.items()},
        **{f"variable {name}": value for name, value in run.pytest_environment.items()},
        **{
            f"variable {variable} of {name}": value
            for name, made_by in predicate.made_by.items()
            for variable, value in made_by.variables.items()
        },
        **{f"code of {record.falsifier} ({record.uses})": record.code for record in predicate.records if record.code},
    }


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Change, ...]:
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return tuple(Change(name, old.get(name), new.get(name)) for name in names)


def _regressions(
    old: Predicate,
    new: Predicate,
    terms: Iterable[TermDifference],
    bars: Iterable[BarDifference],
    criteria: Iterable[CriterionDifference],
) -> Iterator[str]:
    was, now = old.verdict.ruling, new.verdict.ruling
    if _RULINGS.index(now) > _RULINGS.index(was):
        yield f"the ruling went from {was} to {now}"
    for each in criteria:
        if each.state == "regressed" and each.severity is not Severity.INFO:
            yield f"{each.criterion} ({each.severity}) went from {each.old} to {each.new}"
        elif each.state == "removed":
            yield f"{each.criterion} ({each.severity}), formerly {each.old}, is gone"
    for term in terms:
        if term.weaker:
            yield f"{term.where}: {term.term} asks for less: {term.old} before, {term.new or 'gone'} now"
    for bar in bars:
        if bar.direction not in ("neutral", "tighter", "added"):
            said = {"looser": "is looser", "removed": "is gone"}.get(bar.direction, "is another, not a tighter one")
            where = f"{bar.criterion}, {bar.falsifier}: the bar of {bar.measurement}"
            yield f"{where} {said}: {bar.old} before, {bar.new or 'none'} now"
