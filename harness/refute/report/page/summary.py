"""The summary of a report, for ten seconds: what was decided, why, may I ship it, who says so, what next."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from refute.judge.predicate.model import Predicate
from refute.judge.verdict import Verdict
from refute.lock.state import LockState
from refute.outcome import Outcome, Ruling, RunClass, Severity
from refute.report.page.readings import Reading, telling
from refute.report.page.rounding import bounds, gap, rounded
from refute.report.view import Row, View
from refute.report.wording import count
from refute.spec.bars.threshold import Bar

# By the anchors of the rows.
Readings = Mapping[str, tuple[Reading, ...]]

_MUST_BE = {"<": "below", "<=": "at most", ">": "above", ">=": "at least", "==": "exactly"}
_DECIDED = {
    Ruling.GO: "The release meets its specification.",
    Ruling.WARN: "The release meets what may stop it, and not all that it should.",
    Ruling.NO_GO: "The release was not shown to meet its specification.",
}
_FIXED = {
    LockState.NONE: "Not pre-registered: nobody fixed the bars before the run.",
    LockState.HELD: "The bars were fixed before the run, and it kept to them.",
    LockState.BROKEN: "The run did not keep to what was fixed before it.",
}
_CHECK = "refute report verdict.intoto.json --key PUB --check report.html"
_ONCE = "The judge did not measure again."
_NARROWEST = 3
_PROVED_NOTHING = (Outcome.NOT_RUN, Outcome.SKIPPED)
_BROKE = (Outcome.ERROR, Outcome.TIMEOUT)
# Falsifiers that count what `refute model lint` finds.
_COUNT_LINT = frozenset({"student-files-sound", "student-has-a-card"})


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A criterion that does not hold, in words. `found` says what was measured, what it must be, and by how much."""

    row: Row
    found: str


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next, and the command that does it; `FILE`, `DIR`, `KEY` and `PUB` are the reader's own."""

    text: str
    command: str


def decided(verdict: Verdict) -> str:
    """The ruling as a sentence, and how many of the criteria that can stop or taint a release do not hold."""
    if not verdict.criteria:
        return "Nothing was judged."
    return " ".join([_DECIDED[verdict.ruling], *_counted(verdict)])


def _counted(verdict: Verdict) -> Iterable[str]:
    for severity, kind in ((Severity.BLOCK, "can stop it"), (Severity.WARN, "can taint it")):
        applying = [each for each in verdict.criteria if each.severity is severity and not each.excused]
        held = sum(each.holds for each in applying)
        if applying:
            yield f"Of {count(len(applying), 'criterion', 'criteria')} that {kind}, {held} held."


def about_the_run(verdict: Verdict) -> tuple[str, ...]:
    """The reasons that are about no single criterion, such as a control that misbehaved or a lock that was broken."""
    own = tuple(f"{each.criterion} ({each.severity}) " for each in verdict.criteria)
    return tuple(reason for reason in verdict.reasons if not reason.startswith(own))


def shortfalls(view: View, readings: Readings) -> tuple[Shortfall, ...]:
    """Every criterion that counts and does not hold, worst first. `readings` are by the anchors of the rows."""
    return tuple(
        Shortfall(row, found_in(row, readings[row.anchor]))
        for row in view.rows
        if not row.ruling.holds and row.ruling.severity is not Severity.INFO
    )


def narrowest(view: View, readings: Readings) -> tuple[Shortfall, ...]:
    """The criteria that hold by the fewest widths of their interval, closest first: where a GO is thinnest."""
    held = [(telling(readings[row.anchor]), row) for row in view.rows if row.ruling.corroborated]
    close = [(found.distance, row) for found, row in held if found is not None and found.distance is not None]
    close.sort(key=lambda pair: pair[0])
    return tuple(Shortfall(row, found_in(row, readings[row.anchor])) for _, row in close[:_NARROWEST])


def found_in(row: Row, readings: Sequence[Reading]) -> str:
    """What a criterion came to, in one sentence with numbers that its intervals support."""
    outcome = row.ruling.outcome
    if row.ruling.uncovered or outcome in _PROVED_NOTHING or outcome in _BROKE or not readings:
        return _said(row)
    short = [each for each in readings if each.outcome is outcome]
    shown = telling(short)
    if shown is None:
        return _said(row)
    others = count(len(short) - 1, "other measurement", "other measurements")
    return f"{sentence(shown)} And {others} likewise." if len(short) > 1 else sentence(shown)


def _said(row: Row) -> str:
    """The judge's own words, where no number tells more."""
    said = "; ".join(row.reasons) or "no reason was recorded"
    return f"{said[0].upper()}{said[1:]}."


def sentence(reading: Reading) -> str:
    """Such as `Heldout ce: 5.10 nat/token (4.74 to 5.46). It must be below 3 nat/token, and misses that by 2.10.`"""
    measured, bar = reading.measurement, reading.bar
    between = measured.interval
    ends = f" ({' to '.join(bounds(between, bar))})" if between is not None and between.low < between.high else ""
    found = f"{named(measured.name)}: {rounded(measured, bar)} {measured.unit}{ends}"
    return f"{found[0].upper()}{found[1:]}. It must be {asked(bar)}, and {_so(reading)}."


def _so(reading: Reading) -> str:
    off = gap(reading.measurement, reading.bar)
    if reading.outcome is Outcome.CORROBORATED:
        return f"is {off} within" if reading.margin else "is"
    if reading.outcome is Outcome.INCONCLUSIVE:
        return "too little was measured to tell"
    return f"misses that by {off}" if reading.margin else "only equals that"


def named(name: str) -> str:
    """A measurement's name as words."""
    return name.replace("_", " ")


def asked(bar: Bar) -> str:
    """A bar in words, such as `at least 15 %`."""
    return f"{_MUST_BE[bar.operator]} {bar.amount} {bar.unit}"


def may_ship(predicate: Predicate) -> tuple[str, str]:
    """`Yes`, `No` and so on, and why. It never says more than the ruling does."""
    ruling = predicate.verdict.ruling
    if ruling is Ruling.NO_GO:
        return "No", "A NO-GO cannot be signed off. Mend what failed, run what is missing, and have it judged again."
    if predicate.signer.development:
        return "Not on this signature", "A development key signed it, which vouches for nobody."
    if not predicate.remeasured:
        return "Not yet", "The judge did not measure again: these numbers are what the run recorded."
    until = f"It is valid until {predicate.identity.valid_until}, for the files with that digest and no others."
    if ruling is Ruling.WARN:
        return "Only if somebody answers for it", f"Whoever ships it accepts what is listed here. {until}"
    return "Yes", until


def who_says_so(predicate: Predicate) -> tuple[str, ...]:
    """Who signed and ran it, about what, whether anybody measured again, and whether the bars were fixed before."""
    signer, state = predicate.signer, predicate.verdict.preregistration.state
    refused = predicate.verdict.ruling is Ruling.NO_GO
    once = "The judge ruled from the records: only GO and WARN are measured again." if refused else _ONCE
    development = ", a development key" if signer.development else ""
    return (
        f"Key {signer.key_id[:16]}…{development}, for operator {predicate.release.operator}, {predicate.evaluated_at}.",
        f"It is about {predicate.subject.name}, SHA-256 {predicate.subject.sha256[:16]}….",
        "The judge measured everything again." if predicate.remeasured else once,
        _FIXED[state],
    )


def next_steps(view: View) -> tuple[Step, ...]:
    """What to do, most urgent first: each once, however many criteria ask for it."""
    refused = view.predicate.verdict.ruling is Ruling.NO_GO
    steps = _after_no_go(view) if refused else _after_pass(view)
    check = Step("Check that this page says what was signed", _CHECK)
    return tuple(dict.fromkeys([*steps, check]))


def _after_no_go(view: View) -> Iterable[Step]:
    unmet = [row for row in view.rows if not row.ruling.holds and row.ruling.severity is not Severity.INFO]
    yield from _see_why(unmet)
    yield from _see_findings(unmet)
    again = f"refute gate --release {shlex.quote(view.predicate.release.name)}"
    if any(row.ruling.outcome is Outcome.FALSIFIED for row in unmet):
        yield Step("Mend the model, or the run that made it, and have it judged again", again)
    elif unmet:
        yield Step("Have it judged again once nothing is missing", again)
    if any("needs a run of class" in reason for row in unmet for reason in row.reasons):
        larger = "full" if view.predicate.release.run_class.reaches(RunClass.EMBEDDED) else "embedded"
        text = f"Decide what only a run of class {larger} can: FILE is a release of that class"
        yield Step(text, "refute gate --release FILE")
    yield Step("See what changed since the last verdict", "refute diff OLD.intoto.json verdict.intoto.json --key PUB")


def _see_why(unmet: Sequence[Row]) -> Iterable[Step]:
    """For the first falsifier that could not measure."""
    uses = [
        (finding.ruling.falsifier, record.uses)
        for row in unmet
        for finding in row.findings
        for record in finding.records
        if finding.ruling.outcome in _BROKE
    ]
    for falsifier, name in uses[:1]:
        others = f" ({len(uses) - 1} more could not)" if len(uses) > 1 else ""
        yield Step(f"See why {falsifier} could not measure{others}", f"refute try {shlex.quote(name)} --run latest")


def _see_findings(unmet: Sequence[Row]) -> Iterable[Step]:
    """What a count of findings is about stands in the evidence; whoever has the model sees it sooner."""
    names = {record.uses for row in unmet for finding in row.findings for record in finding.records}
    if names & _COUNT_LINT:
        yield Step("See each finding about the model's files, and its fix", "refute model lint MODEL")


def _after_pass(view: View) -> Iterable[Step]:
    if view.predicate.signer.development:
        again = f"refute gate --release {shlex.quote(view.predicate.release.name)} --signing-key KEY"
        yield Step("Have it judged under a key that vouches for somebody", again)
    yield Step(
        "Put your name to it, with a key of your own",
        "refute sign-off verdict.intoto.json --role ROLE --decision approve --note WHY --key KEY --verdict-key PUB",
    )
    yield Step("Lay it out for publication", "refute publish stage latest --out staged")
