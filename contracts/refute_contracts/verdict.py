"""The verdict algebra against an oracle of its own: GO only if everything holds, and never by leaving out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from refute.check.contracts.rewrite import Rewrite
from refute.judge.verdict import WaiverState
from refute.outcome import ControlResult, Outcome, Ruling, Severity
from refute.spec.policy import Policy
from refute.spec.waiver import MalformedWaiver
from refute_contracts.verdict_cases import (
    ANCHOR,
    AT,
    BAD,
    CONTROLS,
    DERIVED,
    ELSEWHERE,
    GOOD,
    HOLDS,
    NEEDS,
    NUMBERS,
    RECORDED,
    RELEASE,
    SUBJECT,
    Case,
    build,
    criterion,
    record,
    rule,
    spec,
    waiver,
)

_OUTCOMES = st.lists(st.sampled_from(RECORDED), max_size=3)
_ANY = st.builds(Case, st.sampled_from(Severity), _OUTCOMES, st.booleans(), st.booleans(), st.booleans())
CASES = st.lists(_ANY, max_size=4)
# Properties about outcomes alone leave waivers out.
_MEASURED = st.lists(st.sampled_from(RECORDED), min_size=1, max_size=2)
_UNWAIVED = st.builds(Case, st.sampled_from(Severity), _MEASURED, st.just(False), st.booleans(), st.booleans())
UNWAIVED = st.lists(_UNWAIVED, min_size=1, max_size=4)


def weight(severity: Severity, outcomes: Sequence[Outcome], waived: bool = False, lenient: bool = False) -> Ruling:
    """What one criterion may do to a verdict, straight from the contract's equations."""
    if outcomes and set(outcomes) == {Outcome.CORROBORATED}:
        return Ruling.GO
    if waived and outcomes and set(outcomes) <= set(NUMBERS):
        return Ruling.WARN
    if severity is Severity.INFO:
        return Ruling.GO if outcomes else Ruling.WARN
    open_at_worst = set(outcomes) in ({Outcome.INCONCLUSIVE}, {Outcome.INCONCLUSIVE, Outcome.CORROBORATED})
    return Ruling.WARN if severity is Severity.WARN or (lenient and open_at_worst) else Ruling.NO_GO


def heaviness(ruling: Ruling) -> int:
    """GO < WARN < NO-GO."""
    return list(Ruling).index(ruling)


@given(outcomes=st.lists(st.sampled_from(RECORDED), max_size=2), severity=st.sampled_from(Severity))
def a_criterion_weighs_what_its_worst_falsifier_weighs(outcomes: list[Outcome], severity: Severity) -> None:
    """One criterion beside one that holds: every outcome, alone and beside another; waived, lenient, and not."""
    for waived, lenient in product((False, True), repeat=2):
        case = Case(severity, outcomes, waived, lenient)
        criteria, records, waivers = build([case])
        verdict = rule([ANCHOR, *criteria], [HOLDS, *records], *waivers)
        assert verdict.ruling is weight(severity, outcomes, waived, lenient)
        assert verdict.criteria[1].outcome is max([*outcomes] or [Outcome.NOT_RUN], key=list(Outcome).index)


@given(cases=CASES)
def a_run_is_as_good_as_its_heaviest_criterion(cases: list[Case]) -> None:
    """Any number of criteria and falsifiers, waived or not, beside one criterion that holds, and without it."""
    criteria, records, waivers = build(cases)
    verdict = rule([ANCHOR, *criteria], [HOLDS, *records], *waivers)
    assert verdict.ruling is _heaviest(cases)
    assert not verdict.partial
    if not criteria:
        return
    alone = rule(criteria, records, *waivers).ruling
    if all(case.severity is Severity.INFO for case in cases):
        assert alone is Ruling.NO_GO
    else:
        assert alone is (_heaviest(cases) if _anchored(cases) else max(_heaviest(cases), Ruling.WARN, key=heaviness))


@given(cases=CASES, data=st.data())
def less_is_never_better(cases: list[Case], data: st.DataObject) -> None:
    """Taking a record away makes the run partial, and NO-GO."""
    criteria, records, waivers = build(cases)
    records.append(HOLDS)
    gone = data.draw(st.integers(0, len(records) - 1))
    less = rule([ANCHOR, *criteria], records[:gone] + records[gone + 1 :], *waivers)
    assert (less.ruling, less.partial) == (Ruling.NO_GO, True)


@given(cases=UNWAIVED, data=st.data())
def worse_is_never_better(cases: list[Case], data: st.DataObject) -> None:
    """Without waivers, a worse outcome of one falsifier never improves the verdict, whatever is beside it."""
    place = data.draw(st.integers(0, len(cases) - 1))
    changed = cases[place]
    before, rank = heaviness(_ruling(cases)), list(Outcome).index
    for worse in (each for each in RECORDED if rank(each) > rank(changed.outcomes[0])):
        spoilt = [*cases[:place], changed._replace(outcomes=[worse, *changed.outcomes[1:]]), *cases[place + 1 :]]
        assert before <= heaviness(_ruling(spoilt))


@given(cases=UNWAIVED, more=UNWAIVED)
def more_is_never_better(cases: list[Case], more: list[Case]) -> None:
    """Without waivers, further criteria never improve a verdict that rests on a corroborated, blocking one about the
    subject.

    Where there is none, a criterion weighs beside others what it weighs alone.
    """
    before, after = _ruling(cases), _ruling([*cases, *more])
    assert heaviness(before if _anchored(cases) else _heaviest(cases)) <= heaviness(after)


def _anchored(cases: Sequence[Case]) -> bool:
    return any(
        case.severity is Severity.BLOCK and set(case.outcomes) == {Outcome.CORROBORATED} and not case.aside
        for case in cases
    )


@given(severities=st.lists(st.sampled_from(Severity), max_size=3))
def go_rests_on_the_subject(severities: list[Severity]) -> None:
    """Where all hold, one of them on some evidence and the others on none of the subject's."""
    aside = [Case(severity, [Outcome.CORROBORATED], aside=True) for severity in (Severity.BLOCK, *severities)]
    criteria, records, _ = build(aside)
    for on, severity in product((*NEEDS, "unknown"), Severity):
        one = criterion("ONE", severity)
        ruling = rule([one, *criteria], [record(one, Outcome.CORROBORATED, on=on), *records]).ruling
        carried = severity is Severity.BLOCK and on in ("corpus", "probe", DERIVED)
        assert ruling is (Ruling.GO if carried else Ruling.WARN)


@given(named=st.sampled_from([None, "corpus", "probe", ELSEWHERE]))
def specs_are_about_their_subject(named: str | None) -> None:
    """A spec that names another subject than the release's stops it; one that names none does not."""
    from refute.judge.algebra import judge

    asked = spec(ANCHOR).model_copy(update={"subject": named})
    verdict = judge(asked, [HOLDS], release=RELEASE, evidence_needs=NEEDS)
    assert verdict.ruling is (Ruling.GO if named in (None, "corpus") else Ruling.NO_GO)


def _heaviest(cases: Sequence[Case]) -> Ruling:
    return max([Ruling.GO, *(weight(*case[:4]) for case in cases)], key=heaviness)


def _ruling(cases: list[Case]) -> Ruling:
    criteria, records, _ = build(cases)
    return rule(criteria, records).ruling


@given(cases=CASES, data=st.data())
def order_does_not_matter(cases: list[Case], data: st.DataObject) -> None:
    """The same records in another order give the same verdict, and are not changed."""
    criteria, records, waivers = build(cases)
    records.append(HOLDS)
    shuffled = data.draw(st.permutations(records))
    kept = list(shuffled)
    assert rule([ANCHOR, *criteria], shuffled, *waivers) == rule([ANCHOR, *criteria], records, *waivers)
    assert shuffled == kept


@given(expected=st.sampled_from([*NUMBERS, Outcome.ERROR]), severity=st.sampled_from(Severity))
def a_control_that_misbehaves_is_fatal(expected: Outcome, severity: Severity) -> None:
    """A falsifier that does not tell good from bad proves nothing, however its record reads, at any severity."""
    one = criterion("ONE", severity)
    numbers = BAD if expected is Outcome.CORROBORATED else GOOD
    seen = Outcome.FALSIFIED if expected is Outcome.CORROBORATED else Outcome.CORROBORATED
    controls = [control for control in CONTROLS if control.expected is not expected]
    wrong = ControlResult("wrong", expected, seen, "", (numbers,))
    forged = replace(wrong, observed=expected)
    empty = replace(forged, measurements=()) if expected in NUMBERS else forged
    for control in (wrong, forged, empty):
        broken = replace(record(one, Outcome.CORROBORATED), controls=(*controls, control))
        verdict = rule([ANCHOR, one], [HOLDS, broken])
        assert verdict.ruling is Ruling.NO_GO
        assert verdict.criteria[1].outcome is Outcome.ERROR


@given(claimed=st.sampled_from(list(NUMBERS)), true=st.sampled_from(list(NUMBERS)), severity=st.sampled_from(Severity))
def records_are_held_to_their_numbers(claimed: Outcome, true: Outcome, severity: Severity) -> None:
    """An outcome that the numbers of its own record do not give is an error, and fatal at any severity."""
    one = criterion("ONE", severity)
    forged = replace(record(one, claimed), measurements=NUMBERS[true])
    verdict = rule([ANCHOR, one], [HOLDS, forged])
    assert verdict.criteria[1].outcome is (claimed if claimed is true else Outcome.ERROR)
    assert claimed is true or verdict.ruling is Ruling.NO_GO
    empty = rule([ANCHOR, one], [HOLDS, replace(forged, measurements=())])
    assert (empty.ruling, empty.criteria[1].outcome) == (Ruling.NO_GO, Outcome.ERROR)


@given(first=st.sampled_from(RECORDED), second=st.sampled_from(RECORDED), severity=st.sampled_from(Severity))
def records_are_of_the_spec_and_single(first: Outcome, second: Outcome, severity: Severity) -> None:
    """Two records of one falsifier, equal or not, and a record of none in the spec are fatal at any severity."""
    one = criterion("ONE", severity)
    twice = rule([ANCHOR, one], [HOLDS, record(one, first), record(one, second)])
    assert (twice.ruling, twice.criteria[1].outcome) == (Ruling.NO_GO, Outcome.ERROR)
    foreign = record(criterion("OTHER", severity), first)
    assert rule([ANCHOR, one], [HOLDS, record(one, Outcome.CORROBORATED), foreign]).ruling is Ruling.NO_GO


@given(severity=st.sampled_from(Severity), outcome=st.sampled_from(list(NUMBERS)))
def numbers_rest_on_evidence(severity: Severity, outcome: Outcome) -> None:
    """A measurement that names no evidence file decides nothing."""
    one = criterion("ONE", severity)
    numbers = tuple(replace(each, evidence=()) for each in NUMBERS[outcome])
    verdict = rule([ANCHOR, one], [HOLDS, replace(record(one, outcome), measurements=numbers)])
    assert verdict.criteria[1].outcome is Outcome.ERROR
    assert verdict.ruling is Ruling.NO_GO


@given(
    seconds=st.sampled_from([None, -1, 0]) | st.integers(-(10**7), 10**7),
    subject=st.just(SUBJECT) | st.sampled_from(["6" * 64, None]),
)
def waivers_are_bound(seconds: int | None, subject: str | None) -> None:
    """In force exactly for its criterion and subject, before it ends, and given by an approver of the policy."""
    one = criterion("ONE")
    records = [HOLDS, record(one, Outcome.FALSIFIED)]
    for of, approvers in product((one, criterion("OTHER")), (None, (), ("Ann",), ("Bob",))):
        given_one = waiver(of)
        at = None if seconds is None else datetime.fromisoformat(given_one.expires_at) + timedelta(seconds=seconds)
        policy = None if approvers is None else Policy(approvers=approvers)
        faults = {
            WaiverState.WRONG_SUBJECT: subject != SUBJECT,
            WaiverState.EXPIRED: seconds is None or seconds >= 0,
            WaiverState.APPROVER_NOT_ALLOWED: "Ann" not in (approvers or ()),
            WaiverState.UNKNOWN_CRITERION: of is not one,
        }
        expected = {state for state, is_so in faults.items() if is_so} or {WaiverState.APPLIED}
        verdict = rule([ANCHOR, one], records, given_one, at=at, subject=subject, policy=policy)
        assert verdict.waivers[0].state in expected
        assert verdict.ruling is (Ruling.WARN if expected == {WaiverState.APPLIED} else Ruling.NO_GO)


@given(outcomes=st.lists(st.sampled_from(RECORDED), max_size=2))
def only_what_was_measured_can_be_waived(outcomes: list[Outcome]) -> None:
    """Applied to a measured shortfall, needed by none that holds, and powerless where anything was not measured."""
    one = criterion("ONE", falsifiers=len(outcomes))
    records = [record(one, outcome, number) for number, outcome in enumerate(outcomes)]
    verdict = rule([ANCHOR, one], [HOLDS, *records], waiver(one))
    if not outcomes or not set(outcomes) <= set(NUMBERS):
        expected = WaiverState.CANNOT_BE_WAIVED, Ruling.NO_GO
    elif set(outcomes) == {Outcome.CORROBORATED}:
        expected = WaiverState.NOT_NEEDED, Ruling.GO
    else:
        expected = WaiverState.APPLIED, Ruling.WARN
    assert (verdict.waivers[0].state, verdict.ruling) == expected


@given(
    days=st.lists(st.integers(-40, 40), max_size=4),
    malformed=st.integers(0, 2),
    notice=st.integers(0, 30),
    outcome=st.sampled_from(list(NUMBERS)),
)
def every_waiver_is_listed(days: list[int], malformed: int, notice: int, outcome: Outcome) -> None:
    """Used or not, in the order of the file, malformed ones last; those in force that end within the notice say so."""
    one = criterion("ONE")
    dates = [f"{AT + timedelta(days=each):%Y-%m-%dT%H:%M:%SZ}" for each in days] + ["2026-02-30T00:00:00Z"]
    waivers = [waiver(one).model_copy(update={"expires_at": date}) for date in dates]
    broken = [MalformedWaiver(criterion=f"AC-{n}", approver="", fault=f"no entry {n}") for n in range(malformed)]
    policy = Policy(approvers=("Ann",), waiver_notice_days=notice)
    verdict = rule([ANCHOR, one], [HOLDS, record(one, outcome)], *waivers, policy=policy, malformed=broken)
    listed = verdict.waivers
    assert [each.expires_at for each in listed] == [*dates, *[""] * malformed]
    assert [each.why for each in listed[len(dates) :]] == [each.fault for each in broken]
    in_force = WaiverState.NOT_NEEDED if outcome is Outcome.CORROBORATED else WaiverState.APPLIED
    states = [in_force if each > 0 else WaiverState.EXPIRED for each in days]
    assert [each.state for each in listed] == [*states, *[WaiverState.MALFORMED] * (1 + malformed)]
    assert [each.expires_soon for each in listed] == [0 < each <= notice for each in days] + [False] * (1 + malformed)
    used = in_force in states and in_force is WaiverState.APPLIED
    assert verdict.ruling is (Ruling.WARN if used else weight(Severity.BLOCK, [outcome], waived=False))


@given(
    seconds=st.none() | st.integers(-2, 2) | st.integers(-(10**6), 10**6),
    hours=st.integers(-12, 12),
    outcome=st.sampled_from(RECORDED),
)
def bars_tighten_on_their_day(seconds: int | None, hours: int, outcome: Outcome) -> None:
    """A `block` criterion weighs as `warn` before the first second of its day in UTC, and not without a moment."""
    one = criterion("ONE", effective_on=f"{AT:%Y-%m-%d}")
    at = None if seconds is None else (AT + timedelta(seconds=seconds)).astimezone(timezone(timedelta(hours=hours)))
    severity = Severity.WARN if seconds is not None and seconds < 0 else Severity.BLOCK
    verdict = rule([ANCHOR, one], [HOLDS, record(one, outcome)], at=at)
    assert verdict.criteria[1].severity is severity
    assert verdict.ruling is weight(severity, [outcome], waived=False)


_WEIGH = "refute.judge.algebra:_weigh"
_MERELY_OPEN = "refute.judge.verdict:CriterionRuling.merely_open"
_REMEASURE = "refute.judge.algebra:_remeasure"
best_of_falsifiers = Rewrite("refute.outcome:worst", {"max(outcomes, key": "min(outcomes, key"})
warn_for_error = Rewrite(
    "refute.judge.algebra:_file",
    {"not ruling.merely_open": "not ruling.merely_open and ruling.outcome is not Outcome.ERROR"},
)
partial_runs_pass = Rewrite(_WEIGH, {"partial = _partial(specs, records)": "partial = False"})
not_run_is_doubt = Rewrite(
    "refute.judge.algebra:_file",
    {"not ruling.merely_open": "ruling.outcome.rank > Outcome.SKIPPED.rank"},
)
open_always_passes = Rewrite(_MERELY_OPEN, {' and self.inconclusive == "warn"': ""})
doubt_covers_everything = Rewrite(_MERELY_OPEN, {"self.outcome is Outcome.INCONCLUSIVE and ": ""})
absence_is_fatal = Rewrite(_WEIGH, {"doubts.append(_Reason(nothing))": "fatal.append(_Reason(nothing))"})
_CARRIES = "refute.judge.verdict:CriterionRuling.carries"
anything_carries = Rewrite(_CARRIES, {" and self.about_subject": ""})
warnings_carry = Rewrite(_CARRIES, {"self.severity is Severity.BLOCK and ": ""})
derived_is_forgotten = Rewrite("refute.judge.subject_evidence:evidence_about", {"found |= more": "break"})
anything_rests = Rewrite("refute.judge.subject_evidence:rests_on", {"name in evidence": "True"})
any_subject_will_do = Rewrite(
    "refute.judge.subject_evidence:other_subjects", {"spec.subject is not None and": "False and"}
)

last_criterion_decides = Rewrite(_WEIGH, {"for each in criteria:": "for each in criteria[-1:]:"})
order_of_records_shows = Rewrite(
    _WEIGH, {"for each in found), *accepted)": "for each in found), *accepted, records[0].falsifier)"}
)
controls_not_asked = Rewrite(_REMEASURE, {"if fault := control_faults(record, use):": "if fault := '':"})
records_believed = Rewrite(
    _REMEASURE,
    {"if outcome is not record.outcome:": "return record.outcome, ''\n    if outcome is not record.outcome:"},
)


skipped_counts_as_corroborated = Rewrite(
    "refute.judge.verdict:CriterionRuling.corroborated",
    {"self.outcome is Outcome.CORROBORATED": "self.outcome in (Outcome.SKIPPED, Outcome.CORROBORATED)"},
)
misbehaviour_forgiven = Rewrite("refute.spec.bars.decide:misbehaviour", {"if not control.behaved": "if False"})
numbers_without_evidence = Rewrite("refute.spec.bars.decide:outcome_of", {"if without:": "if False:"})
_IN_FORCE = "refute.judge.waivers:_not_in_force"
waivers_for_any_subject = Rewrite(_IN_FORCE, {"if waiver.subject_sha256 != subject_sha256:": "if False:"})
waivers_without_policy = Rewrite(
    _IN_FORCE, {'WaiverState.APPROVER_NOT_ALLOWED, "no policy says who may waive; give one with --policy"': "None"}
)
waivers_for_ever = Rewrite(_IN_FORCE, {"if at >= expires:": "if False:"})
waivers_to_the_last_second = Rewrite(_IN_FORCE, {"if at >= expires:": "if at > expires:"})
waivers_at_no_moment = Rewrite(
    _IN_FORCE,
    {
        'WaiverState.EXPIRED, "no moment of judgement was given, so it cannot be shown to be in force"': "None",
    },
)
waivers_by_anyone = Rewrite(_IN_FORCE, {"if waiver.approver not in policy.approvers:": "if False:"})
_UNMEASURED = "refute.judge.waivers:_unmeasured"
waivers_for_errors = Rewrite(_UNMEASURED, {"not in _MEASURED": "not in (*_MEASURED, Outcome.ERROR)"})
waivers_for_skips = Rewrite(_UNMEASURED, {"not in _MEASURED": "not in (*_MEASURED, Outcome.SKIPPED)"})
waivers_for_the_worst_alone = Rewrite(_UNMEASURED, {"if each.outcome not in": "if ruling.outcome not in"})
waivers_for_uncovered = Rewrite(_UNMEASURED, {"if ruling.uncovered:": "if False:"})
waivers_for_what_holds = Rewrite("refute.judge.waivers:_use", {"if not wanting:": "if False:"})
waivers_of_any_state = Rewrite(_WEIGH, {"each.state is WaiverState.APPLIED": "each.state is not WaiverState.MALFORMED"})
idle_waivers_not_listed = Rewrite(
    "refute.judge.waivers:rule_waivers",
    {"(*ruled, *broken)": "(*(each for each in ruled if each.state is WaiverState.APPLIED), *broken)"},
)
malformed_waivers_not_listed = Rewrite("refute.judge.waivers:rule_waivers", {"(*ruled, *broken)": "tuple(ruled)"})
ends_unannounced = Rewrite("refute.judge.waivers:_rule", {"expires - at <= notice": "expires - at < notice"})
dates_not_kept = Rewrite(
    "refute.judge.algebra:_rule_criterion", {"criterion.severity_at(moment)": "criterion.severity"}
)
dates_never_come = Rewrite(
    "refute.judge.algebra:_rule_criterion",
    {"criterion.severity_at(moment)": "Severity.WARN if criterion.effective_on else criterion.severity"},
)
controls_without_numbers = Rewrite(
    "refute.spec.bars.decide:_told_otherwise", {"elif control.observed in _MEASURED:": "elif False:"}
)
controls_believed = Rewrite(
    "refute.spec.bars.decide:_told_otherwise", {"if outcome is not control.observed:": "if False:"}
)
claims_without_numbers = Rewrite(
    "refute.judge.algebra:_rule_falsifier",
    {"if record.outcome not in _MEASURED and not record.measurements:": "if not record.measurements:"},
)
first_of_several_records = Rewrite("refute.judge.algebra:_rule_falsifier", {"if len(records) > 1:": "if False:"})
foreign_records_ignored = Rewrite("refute.judge.algebra:_unknown", {"sorted(set(by_key) - known)": "()"})
