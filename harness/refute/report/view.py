"""The view model: a signed predicate arranged for reading. It adds order and words, never a fact."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from refute.judge.predicate.exhibits import Section
from refute.judge.predicate.model import Predicate
from refute.judge.verdict import CriterionRuling, FalsifierRuling
from refute.outcome import ControlResult, Measurement, Outcome, Record, Severity
from refute.report import sentences
from refute.report.wording import criterion_outcome, severity, value

_SEVERITIES = list(Severity)

# Controls are named for what they are made of.
_KINDS = {
    Outcome.CORROBORATED: "good",
    Outcome.FALSIFIED: "bad",
    Outcome.INCONCLUSIVE: "open",
    Outcome.ERROR: "unusable",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One falsifier of a criterion: the judge's ruling and the records behind it (none if it never ran).

    `contracts` are the ids of those that cover the code behind it.
    """

    ruling: FalsifierRuling
    records: tuple[Record, ...]
    contracts: tuple[str, ...] = ()

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """Everything measured, in the order recorded."""
        return tuple(item for record in self.records for item in record.measurements)

    @property
    def controls(self) -> tuple[ControlResult, ...]:
        """Every control, in the order run."""
        return tuple(item for record in self.records for item in record.controls)

    @property
    def controls_by_kind(self) -> str:
        """How many of them are of which kind, such as `2 good, 5 bad, 1 unusable`."""
        kinds = Counter(control.expected for control in self.controls)
        return ", ".join(f"{kinds[expected]} {kind}" for expected, kind in _KINDS.items() if kinds[expected])

    @property
    def evidence(self) -> tuple[tuple[str, str], ...]:
        """(experiment, manifest digest) pairs, sorted."""
        return tuple(sorted({pair for record in self.records for pair in record.evidence}))


@dataclass(frozen=True, slots=True)
class Row:
    """One criterion with its findings. `anchor` is unique within the report and safe in a link."""

    ruling: CriterionRuling
    findings: tuple[Finding, ...]
    anchor: str

    @property
    def outcome(self) -> str:
        """The outcome in sentences."""
        return criterion_outcome(self.ruling)

    @property
    def severity(self) -> str:
        """What it weighed, with the date on which that changes."""
        return severity(self.ruling)

    @property
    def records(self) -> tuple[Record, ...]:
        """What its falsifiers recorded."""
        return tuple(record for finding in self.findings for record in finding.records)

    @property
    def controls_behaved(self) -> int:
        """How many controls of this criterion gave the outcome they must."""
        return sum(control.behaved for finding in self.findings for control in finding.controls)

    @property
    def controls_total(self) -> int:
        """How many controls of this criterion were run."""
        return sum(len(finding.controls) for finding in self.findings)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of the falsifiers that gave the criterion its outcome, each once."""
        if self.ruling.uncovered:
            return ("no falsifier attacks this criterion",)
        reasons = (item.reason for item in self.ruling.falsifiers if item.outcome is self.ruling.outcome)
        return tuple(dict.fromkeys(reasons))  # one fact often excuses all of them

    @property
    def unsaid(self) -> tuple[Measurement, ...]:
        """Measurements that no reason of this criterion quotes already, for formats short of room."""
        said = " ".join(finding.ruling.reason for finding in self.findings)
        return tuple(item for finding in self.findings for item in finding.measurements if value(item) not in said)


@dataclass(frozen=True, slots=True)
class Group:
    """Criteria that came to the same kind of end, most severe first. `key` is failed, not-run, and so on."""

    key: str
    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """A control that did not give the outcome it must, so its falsifier's word counts for nothing."""

    criterion: str
    falsifier: str
    control: ControlResult


@dataclass(frozen=True, slots=True)
class View:
    """Everything a report shows, in reading order. `groups` holds each criterion exactly once."""

    predicate: Predicate
    payload_sha256: str
    because: str
    reasons: tuple[str, ...]
    unopposed: str
    preregistration: str
    warnings: tuple[str, ...]
    tally: tuple[tuple[str, int], ...]
    groups: tuple[Group, ...]
    misbehaving: tuple[Misbehaviour, ...]
    verify_commands: tuple[str, ...]
    verify_notes: tuple[str, ...]
    limits: tuple[str, ...]

    @property
    def word(self) -> str:
        """GO, WARN or NO-GO."""
        return self.predicate.verdict.ruling.value

    @property
    def headline(self) -> str:
        """The verdict in one line of plain sentences."""
        return f"{self.word}: {self.because}"

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every criterion, worst first."""
        return tuple(row for group in self.groups for row in group.rows)

    @property
    def traced(self) -> tuple[Row, ...]:
        """Every criterion, in the order of the specifications."""
        return tuple(sorted(self.rows, key=lambda row: int(row.anchor.rpartition("-")[2])))

    @property
    def not_run(self) -> tuple[Row, ...]:
        """Criteria about which this run says nothing."""
        return tuple(row for group in self.groups if group.key == "not-run" for row in group.rows)

    @property
    def inconclusive(self) -> tuple[Row, ...]:
        """Criteria that were measured without a decision."""
        return tuple(row for group in self.groups if group.key == "inconclusive" for row in group.rows)

    @property
    def sections_not_run(self) -> tuple[Section, ...]:
        """Dogfood sections without evidence."""
        return tuple(item for item in self.predicate.exhibits.sections if item.state == "not_run")


def variables_of(predicate: Predicate) -> dict[str, str]:
    """The variables that could change numbers, as the processes that made the evidence had them, by name.

    All that a variable was, where it was not the same for all of them.
    """
    found: dict[str, set[str]] = {}
    for made_by in predicate.made_by.values():
        for name, text in made_by.variables.items():
            found.setdefault(name, set()).add(text)
    return {name: " or ".join(sorted(values)) for name, values in sorted(found.items())}


def view_of(predicate: Predicate, payload_sha256: str) -> View:
    """Arrange `predicate`. Pure: two calls give equal views."""
    rows = tuple(_rows(predicate))
    tally = Counter(row.outcome for row in sorted(rows, key=lambda row: -row.ruling.outcome.rank))
    return View(
        predicate=predicate,
        payload_sha256=payload_sha256,
        because=sentences.because(predicate.verdict),
        reasons=predicate.verdict.reasons,
        unopposed=sentences.unopposed(predicate.verdict),
        preregistration=sentences.preregistration(predicate.verdict.preregistration),
        warnings=sentences.warnings(predicate),
        tally=tuple(tally.items()),
        groups=tuple(_groups(rows)),
        misbehaving=tuple(_misbehaving(predicate)),
        verify_commands=sentences.verify_commands(predicate),
        verify_notes=sentences.verify_notes(predicate),
        limits=sentences.limits(predicate),
    )


def _rows(predicate: Predicate) -> Iterable[Row]:
    records: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in predicate.records:
        records[record.key].append(record)
    for index, ruling in enumerate(predicate.verdict.criteria, start=1):
        findings = tuple(
            _finding(predicate, item, records[ruling.spec, ruling.criterion, item.falsifier])
            for item in ruling.falsifiers
        )
        yield Row(ruling, findings, f"criterion-{index}")


def _finding(predicate: Predicate, ruling: FalsifierRuling, records: Iterable[Record]) -> Finding:
    own = tuple(records)
    declared = [predicate.run.falsifiers[record.uses] for record in own if record.uses in predicate.run.falsifiers]
    return Finding(ruling, own, tuple(sorted({name for each in declared for name in each.contracts})))


def _groups(rows: tuple[Row, ...]) -> Iterable[Group]:
    titles = {
        "failed": "Failed",
        "not-run": "Not run",
        "inconclusive": "Inconclusive",
        "held": "Held",
        "not-applicable": "Not applicable, by the specification",
    }
    for key, title in titles.items():
        members = [row for row in rows if _group_key(row.ruling) == key]
        if members:
            members.sort(key=lambda row: (_SEVERITIES.index(row.ruling.severity), -row.ruling.outcome.rank))
            yield Group(key, title, tuple(members))


def _group_key(ruling: CriterionRuling) -> str:
    if ruling.uncovered or ruling.outcome in (Outcome.NOT_RUN, Outcome.SKIPPED):
        return "not-run"
    if ruling.outcome is Outcome.CORROBORATED:
        return "held"
    if ruling.outcome is Outcome.NOT_APPLICABLE:
        return "not-applicable"
    return "inconclusive" if ruling.outcome is Outcome.INCONCLUSIVE else "failed"


def _misbehaving(predicate: Predicate) -> Iterable[Misbehaviour]:
    for record in predicate.records:
        for control in record.controls:
            if not control.behaved:
                yield Misbehaviour(record.criterion, record.falsifier, control)
