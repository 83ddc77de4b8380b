"""The sentences of a report: the verdict in plain words, what to be careful about, how to check it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from refute.errors import SpecError
from refute.isolation.containment import Containment
from refute.judge.predicate.exhibits import Exhibits
from refute.judge.predicate.model import Predicate
from refute.judge.verdict import CriterionRuling, Verdict, WaiverState
from refute.lock.state import LockState, Preregistration
from refute.outcome import Ruling, RunClass, Severity
from refute.report.wording import count, criterion_outcome
from refute.spec.files import parse_release

_SECTION_NUMBERS = range(1, 10)


def because(verdict: Verdict) -> str:
    """What follows the verdict's word: what made it so, then the counts.

    Such as `AC-1 (block) falsified; 3 of 12 blocking criteria do not hold (2 falsified, 1 not run)`.
    """
    if not verdict.criteria:
        return "nothing was judged"
    if verdict.ruling is Ruling.GO:
        return _all_hold(verdict)
    severities = [Severity.BLOCK] if verdict.ruling is Ruling.NO_GO else [Severity.BLOCK, Severity.WARN]
    unmet = [sentence for severity in severities for sentence in _unmet(verdict, severity)]
    return "; ".join([_cause(verdict), *unmet])


def _cause(verdict: Verdict) -> str:
    """The first reason; where it is about a criterion, without what was found, for which a line is too short."""
    for ruling in verdict.criteria:
        if ruling.criterion == verdict.decided_by and not ruling.holds:
            return f"{ruling.criterion} ({ruling.severity}) {criterion_outcome(ruling)}"
    return verdict.reasons[0] if verdict.reasons else "no reason was recorded"


def unopposed(verdict: Verdict) -> str:
    """What stands where the reasons would, when there are none."""
    if verdict.ruling is Ruling.GO:
        return "Every blocking and warning criterion that applies was attacked and held."
    return "No reason was recorded."


def training(predicate: Predicate) -> str:
    """Who saw the student being trained; empty where the gate trained it, or there is none."""
    try:
        student = parse_release(predicate.release.text, predicate.release.name).student
    except SpecError:  # of a version whose releases this one cannot read: they name no finished student
        return ""
    if student is None:
        return ""
    return "training not observed" if student.training == "elsewhere" else "training claimed, not observed"


def preregistration(found: Preregistration) -> str:
    """Whether bars and code were fixed before the run, and who says so."""
    if found.state is LockState.NONE:
        return "Not pre-registered: nothing shows that the bars were set before the measurements."
    lock = f"lock {found.sequence} of {found.locked_at}, payload {found.lock_sha256}, signed by key {found.key_id}"
    if found.state is LockState.HELD:
        return f"Pre-registered, and the run kept to it: {lock}."
    if not found.lock_sha256:
        return "Under a lock that cannot be trusted, which is no pre-registration."
    return f"Pre-registered, and the run did not keep to it: {lock}."


def warnings(predicate: Predicate) -> tuple[str, ...]:
    """What a reader must know before trusting the verdict line."""
    return tuple(_warnings(predicate))


def _warnings(predicate: Predicate) -> Iterable[str]:
    verdict, release = predicate.verdict, predicate.release
    if verdict.partial:
        yield "Partial run: only some of the falsifiers were run. A partial run can never be judged GO."
    if verdict.controls_total == 0:
        yield "No control was run, so no falsifier has been shown able to fail."
    if verdict.ruling is not Ruling.NO_GO and not predicate.remeasured:
        yield "The judge did not measure again: these numbers are what the run recorded."
    if predicate.contained.pytest is Containment.REAPED:
        yield "The machine gave pytest no namespaces: code of the repository could reach what the user can."
    if predicate.signer.development:
        yield (
            "Signed with a development key: it proves that nothing was changed since signing, and vouches for nobody."
        )
    for change in verdict.preregistration.relaxed:
        yield f"An earlier lock of this release demanded more: {change}"
    if known := verdict.preregistration.known_before:
        yield f"Measured already when the lock was made, so perhaps seen: {', '.join(known)}."
    if release.run_class is not RunClass.FULL:
        yield (
            f"Run class {release.run_class.value}: a criterion that needs a larger run is measured and "
            "shown, but not discharged."
        )
    if seen := training(predicate):
        yield f"A finished student, {seen}: nothing here says how it was made."
    if predicate.subject.kind == "release_file":
        yield "No model was produced: the verdict is about the release file alone."
    elif verdict.subject_unread:
        yield "No falsifier read a file of the subject itself: all that was measured is evidence beside it."
    for fault in predicate.record_faults:
        yield f"A fault in what the run left behind: {fault}"
    for waiver in verdict.waivers_applied:
        yield f"A waiver was applied: {waiver}"
    for ruling in verdict.waivers:
        if ruling.expires_soon:
            yield f"The waiver of {ruling.criterion} by {ruling.approver} ends soon, at {ruling.expires_at}."
        elif ruling.state is WaiverState.MALFORMED:
            yield f"A waiver is malformed and was not applied: {ruling.criterion or 'no criterion'}: {ruling.why}"
    yield from _strays(predicate)
    yield from _exhibit_gaps(predicate.exhibits)


def _strays(predicate: Predicate) -> Iterable[str]:
    asked = {
        (criterion.spec, criterion.criterion, ruling.falsifier)
        for criterion in predicate.verdict.criteria
        for ruling in criterion.falsifiers
    }
    for record in predicate.records:
        if record.key not in asked:
            named = f"{record.falsifier} against {record.criterion}"
            yield f"A record of {named} belongs to no criterion judged here."


def _exhibit_gaps(exhibits: Exhibits) -> Iterable[str]:
    numbers = {section.number for section in exhibits.sections}
    missing = [str(number) for number in _SECTION_NUMBERS if number not in numbers]
    if numbers and missing:
        yield f"Dogfood sections absent from the signed content: {', '.join(missing)}."
    for curve in exhibits.curves:
        if len(curve.steps) != len(curve.values):
            lengths = f"{len(curve.steps)} steps and {len(curve.values)} values"
            yield f"Curve {curve.name} has {lengths}: not drawn."
    for grid in exhibits.grids:
        if len(grid.problems) != len(grid.outcomes):
            lengths = f"{len(grid.problems)} problems and {len(grid.outcomes)} outcomes"
            yield f"Grid {grid.name} has {lengths}: not drawn."


def verify_commands(predicate: Predicate) -> tuple[str, ...]:
    """What to type to check the verdict; `PUB`, `DIR` and `FILE` are the reader's own."""
    model = {"model_folder": " --model DIR", "evidence_file": " --model FILE"}.get(predicate.subject.kind, "")
    return (
        f"refute verify verdict.intoto.json --key PUB{model}",
        "jq -r .payload verdict.intoto.json | base64 -d | sha256sum",
    )


def verify_notes(predicate: Predicate) -> tuple[str, ...]:
    """What the commands need and what they must print."""
    where = "PUB is the signer's public key (PEM); take it from someone you trust, not from beside this file."
    digest = "The second command must print the payload digest shown in this report."
    if predicate.subject.kind == "release_file":
        return where, digest
    model = "DIR is the model folder" if predicate.subject.kind == "model_folder" else "FILE is the file"
    return where, f"{model} that you are about to use.", digest


def limits(predicate: Predicate) -> tuple[str, ...]:
    """What the verdict does not say."""
    return (
        "A criterion that held was attacked and not refuted, on this evidence and with these falsifiers. "
        "That is not a proof.",
        f"It is about the one subject, {predicate.subject.name}, that has the digest shown here. A copy that "
        "was trained further, merged, quantised or converted has no verdict.",
        "It covers what the specifications name. About safety, bias, licences, memorised text and uses that no "
        "criterion describes it says nothing.",
        "A signature tells which key signed, not that the signer chose good criteria.",
        "NO-GO does not mean that the model is useless: it means that the release was not shown to meet its "
        "specification.",
    )


def _unmet(verdict: Verdict, severity: Severity) -> Iterable[str]:
    applying = [item for item in verdict.criteria if item.severity is severity and not item.excused]
    unmet, total = [item for item in applying if not item.holds], len(applying)
    if unmet:
        kind = "blocking" if severity is Severity.BLOCK else "warning"
        noun = "criterion" if total == 1 else "criteria"
        verb = "does" if len(unmet) == 1 else "do"
        yield f"{len(unmet)} of {total} {kind} {noun} {verb} not hold ({_counts(unmet)})"


def _counts(unmet: Sequence[CriterionRuling]) -> str:
    worst_first = sorted(unmet, key=lambda item: -item.outcome.rank)
    return ", ".join(f"{n} {word}" for word, n in Counter(map(criterion_outcome, worst_first)).items())


def _all_hold(verdict: Verdict) -> str:
    judged = [item for item in verdict.criteria if item.severity is not Severity.INFO]
    held, excused = sum(item.corroborated for item in judged), sum(item.excused for item in judged)
    noun = "criterion" if held == 1 else "criteria"
    beside = f", {excused} not applicable" if excused else ""
    controls = f"{verdict.controls_behaved} of {count(verdict.controls_total, 'control', 'controls')}"
    return f"{held} of {held} {noun} held{beside}, {controls} behaved"
