"""Records -> verdict. A pure function: no file, no clock, no network; `refute verify` runs it again.

The algebra, worst first:
  falsifier   the record's outcome, if its own numbers give that outcome again; any disagreement is `error`
  criterion   the worst of its falsifiers; none at all is `uncovered`
  verdict     GO: every block and warn criterion corroborated, every control behaved, nothing uncovered or missing
              WARN: every block criterion corroborated or waived, or open where its spec says `inconclusive: warn`;
                    a warn criterion does not hold, a waiver applied, or no block criterion was corroborated
                    by evidence of the subject (judge/subject_evidence)
                    (a block criterion weighs as warn before the date in its `effective_on`)
              NO-GO: anything else, including no criteria, no evidence, unreadable or unknown records, a broken lock,
                    a spec that is about another subject

Without waivers it is monotone: a worse outcome never improves a verdict. Nor does another criterion, but where none
that blocks was corroborated on the subject before: nobody may go on nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType

from refute.judge.subject_evidence import evidence_about, other_subjects, rests_on
from refute.judge.verdict import CriterionRuling, FalsifierRuling, Verdict, WaiverRuling, WaiverState
from refute.judge.waivers import rule_waivers
from refute.lock.state import NOT_LOCKED, LockState, Preregistration
from refute.outcome import Outcome, Record, Ruling, Severity, worst
from refute.spec.bars.decide import control_faults, outcome_of
from refute.spec.criteria import Criterion, FalsifierUse, Spec, attacks, not_applicable
from refute.spec.policy import Policy
from refute.spec.release import Release
from refute.spec.waiver import MalformedWaiver, Waiver

_MEASURED = (Outcome.CORROBORATED, Outcome.FALSIFIED, Outcome.INCONCLUSIVE)
_Key = tuple[str, str, str]


def judge(
    spec: Spec | Sequence[Spec],
    records: Sequence[Record],
    *,
    policy: Policy | None = None,
    waivers: Sequence[Waiver] = (),
    malformed_waivers: Sequence[MalformedWaiver] = (),
    at: datetime | None = None,
    release: Release | None = None,
    evidence_needs: Mapping[str, Sequence[str]] = MappingProxyType({}),
    subject_sha256: str | None = None,
    subject_files: Collection[str] = (),
    faults: Sequence[str] = (),
    preregistration: Preregistration = NOT_LOCKED,
) -> Verdict:
    """The verdict that `records` earn under `spec`.

    Waivers count only when `at` and `subject_sha256` are given, for they expire and are bound to a subject, and only
    those of the approvers of a `policy`. Without `at` every block criterion blocks, whatever its `effective_on`.
    `release` lets a `not_applicable` record be checked against the condition in the spec; without it such
    a record is an error, and all evidence counts as the subject's. `evidence_needs` says of which evidence other was
    made, `subject_files` are the SHA-256 of the subject's files. `faults` are texts of records that could not be read.
    A broken `preregistration` is fatal.

    Raises ValueError when `at` names no time zone: the verdict would depend on where it is made.
    """
    if at is not None and at.tzinfo is None:
        raise ValueError(f"at = {at} must name its time zone")
    specs = (spec,) if isinstance(spec, Spec) else tuple(spec)
    by_key = _index(records)
    moment = None if at is None else at.astimezone(UTC)
    about = None if release is None else evidence_about(release, evidence_needs)
    criteria = tuple(
        _rule_criterion(one.spec, criterion, by_key, release, about, moment)
        for one in specs
        for criterion in one.criteria
    )
    waived = rule_waivers(
        waivers, criteria, subject_sha256=subject_sha256, at=moment, policy=policy, malformed=malformed_waivers
    )
    broken = preregistration.reasons if preregistration.state is LockState.BROKEN else ()
    others = () if release is None else other_subjects(specs, release)
    faults = (*broken, *others, *faults, *_unknown(specs, by_key), *_refused(criteria, by_key))
    verdict = _weigh(specs, criteria, records, waived, faults)
    return replace(verdict, preregistration=preregistration, subject_unread=_unread(subject_files, records))


def _unread(subject_files: Collection[str], records: Sequence[Record]) -> bool:
    read = {file for record in records for measurement in record.measurements for file in measurement.evidence}
    return bool(subject_files) and read.isdisjoint(subject_files)


def _index(records: Iterable[Record]) -> dict[_Key, list[Record]]:
    by_key: dict[_Key, list[Record]] = {}
    for record in records:
        by_key.setdefault(record.key, []).append(record)
    return by_key


def _unknown(specs: Sequence[Spec], by_key: Mapping[_Key, object]) -> tuple[str, ...]:
    known = {(spec.spec, criterion.id, use.id) for spec, criterion, use in attacks(specs)}
    return tuple(f"a record speaks of {'::'.join(key)}, which is in no spec" for key in sorted(set(by_key) - known))


def _refused(criteria: Sequence[CriterionRuling], by_key: Mapping[_Key, Sequence[Record]]) -> tuple[str, ...]:
    """Records that do not say what their own numbers say: fatal at every severity, for somebody's files are not true.

    A record that says `error` of itself is honest, and weighs what its criterion weighs.
    """
    return tuple(
        f"the record of {ruling.falsifier} was refused: {ruling.reason}"
        for criterion in criteria
        for ruling in criterion.falsifiers
        if ruling.outcome is Outcome.ERROR
        and [record.outcome for record in by_key[criterion.spec, criterion.criterion, ruling.falsifier]]
        != [Outcome.ERROR]
    )


def _rule_criterion(
    spec_id: str,
    criterion: Criterion,
    by_key: Mapping[_Key, list[Record]],
    release: Release | None,
    about: frozenset[str] | None,
    moment: datetime | None,
) -> CriterionRuling:
    records = {use.id: by_key.get((spec_id, criterion.id, use.id), []) for use in criterion.falsifiers}
    rulings = tuple(
        FalsifierRuling(use.id, *_rule_falsifier(criterion, use, records[use.id], release))
        for use in criterion.falsifiers
    )
    return CriterionRuling(
        spec=spec_id,
        criterion=criterion.id,
        title=criterion.title,
        severity=criterion.severity_at(moment),
        phase=criterion.phase,
        outcome=worst([ruling.outcome for ruling in rulings]),
        uncovered=not rulings,
        falsifiers=rulings,
        effective_on=criterion.effective_on or "",
        inconclusive=criterion.inconclusive,
        about_subject=about is None or any(rests_on(each, about) for each in records.values()),
    )


def _rule_falsifier(
    criterion: Criterion, use: FalsifierUse, records: Sequence[Record], release: Release | None
) -> tuple[Outcome, str]:
    """What its record comes to, and why; any disagreement is an error."""
    if not records:
        return Outcome.NOT_RUN, "no record: it was not selected, or the run ended early"
    if len(records) > 1:
        return Outcome.ERROR, f"{len(records)} records claim this falsifier; there must be one"
    record = records[0]
    excuse = None if release is None else not_applicable(criterion, release)
    if excuse is not None:
        return Outcome.NOT_APPLICABLE, excuse  # whatever was recorded: the spec grants it, and nobody else
    if record.outcome is Outcome.NOT_APPLICABLE:
        return Outcome.ERROR, "recorded as not applicable, but the spec does not excuse this release"
    if use.planned is not None:
        if record.outcome is not Outcome.NOT_RUN:
            return Outcome.ERROR, f"recorded as {record.outcome}, but the spec only plans it: {use.planned}"
        return Outcome.NOT_RUN, use.planned
    if record.uses != use.uses:
        return Outcome.ERROR, f"recorded for falsifier {record.uses!r}, the spec uses {use.uses!r}"
    if release is not None and record.run_class is not release.run_class:
        return (
            Outcome.ERROR,
            f"recorded in a run of class {record.run_class}, the release says {release.run_class}",
        )
    if record.outcome not in _MEASURED and not record.measurements:
        return record.outcome, record.reason
    return _remeasure(criterion, use, record)


def _remeasure(criterion: Criterion, use: FalsifierUse, record: Record) -> tuple[Outcome, str]:
    """Decide again from the numbers; a record whose outcome its numbers do not give is an error."""
    if fault := control_faults(record, use):
        return Outcome.ERROR, fault
    if not record.evidence:
        return Outcome.ERROR, "recorded without any evidence"
    outcome, reason = outcome_of(criterion, use, record.run_class, record.measurements)
    if outcome is not record.outcome:
        return Outcome.ERROR, f"recorded as {record.outcome}, but its numbers say {outcome}: {reason}"
    return outcome, reason


def _weigh(
    specs: Sequence[Spec],
    criteria: Sequence[CriterionRuling],
    records: Sequence[Record],
    waivers: Sequence[WaiverRuling],
    faults: Sequence[str],
) -> Verdict:
    controls = [control for record in records for control in record.controls]
    behaved = sum(control.behaved for control in controls)
    fatal, doubts = [_Reason(fault) for fault in faults], list[_Reason]()
    applied = [each for each in waivers if each.state is WaiverState.APPLIED]
    waived = {each.criterion for each in applied}
    if not criteria:
        fatal.append(_Reason("the spec has no criteria: nothing was promised, so nothing can hold"))
    if behaved < len(controls):
        misbehaved = f"{len(controls) - behaved} of {len(controls)} controls misbehaved"
        fatal.append(_Reason(f"{misbehaved}: their falsifiers prove nothing"))
    weighing = [each for each in criteria if each.severity is not Severity.INFO and not each.excused]
    if not weighing:
        fatal.append(_Reason("no blocking or warning criterion applies: there is nothing to go on"))
    partial = _partial(specs, records)
    if partial:
        fatal.append(_Reason("partial run: not every falsifier of the spec has a record"))
    for each in criteria:
        if not each.holds and each.criterion not in waived:
            _file(each, fatal, doubts)
    if weighing and not any(each.carries for each in weighing):
        nothing = "no blocking criterion was corroborated on the subject: nothing shows that this release is ready"
        doubts.append(_Reason(nothing))
    accepted = tuple(
        f"{each.criterion} waived by {each.approver} until {each.expires_at}: {each.reason}" for each in applied
    )
    ruling = Ruling.NO_GO if fatal else Ruling.WARN if doubts or applied else Ruling.GO
    found = (*fatal, *doubts)
    return Verdict(
        ruling=ruling,
        reasons=(*(each.text for each in found), *accepted),
        criteria=tuple(criteria),
        controls_behaved=behaved,
        controls_total=len(controls),
        partial=partial,
        waivers_applied=accepted,
        waivers=tuple(waivers),
        decided_by=found[0].criterion if found else "",
    )


@dataclass(frozen=True, slots=True)
class _Reason:
    """Why a release is not GO, and the criterion that this is about, if it is about one."""

    text: str
    criterion: str = ""


def _file(ruling: CriterionRuling, fatal: list[_Reason], doubts: list[_Reason]) -> None:
    """Put what is wrong with a criterion where its severity says it belongs."""
    state = "uncovered" if ruling.uncovered else ruling.outcome.replace("_", " ")
    because = "; ".join(
        f"{each.falsifier}: {each.reason}" for each in ruling.falsifiers if each.outcome is ruling.outcome
    )
    text = f"{ruling.criterion} ({ruling.severity}) {state}" + (f": {because}" if because else "")
    reason = _Reason(text, ruling.criterion)
    if ruling.severity is Severity.BLOCK and not ruling.merely_open:
        fatal.append(reason)
    elif ruling.severity is not Severity.INFO or ruling.uncovered:
        doubts.append(reason)


def _partial(specs: Sequence[Spec], records: Sequence[Record]) -> bool:
    recorded = {record.key for record in records}
    return any((spec.spec, criterion.id, use.id) not in recorded for spec, criterion, use in attacks(specs))
