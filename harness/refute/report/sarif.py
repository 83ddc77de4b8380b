"""A verdict as SARIF 2.1.0: rules are falsifiers, results what they came to, suppressions waivers.

Section numbers are those of the OASIS standard "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
The limits are GitHub's for one upload: 25,000 results and rules a run, 10 MB compressed (held here uncompressed).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from refute.escaping import clip, visible
from refute.judge.predicate.model import Predicate
from refute.judge.verdict import CriterionRuling, FalsifierRuling, WaiverState
from refute.outcome import Outcome, Record, Severity
from refute.spec.criteria import parse_spec
from refute.spec.waiver import Waiver
from refute.spec.yaml.document import parse_yaml

MOST_RESULTS = 25_000
MOST_BYTES = 10_000_000
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.BLOCK: "error", Severity.WARN: "warning", Severity.INFO: "note"}

# §3.27.9: `open` was evaluated and decides nothing; `review` was not evaluated as it should, so somebody must look.
_KINDS = {
    Outcome.CORROBORATED: "pass",
    Outcome.FALSIFIED: "fail",
    Outcome.NOT_APPLICABLE: "notApplicable",
    Outcome.INCONCLUSIVE: "open",
}

# A waiver that was neither applied nor had run out waits for somebody.
_WAITING = "underReview"
_STATUSES = {WaiverState.APPLIED: "accepted", WaiverState.EXPIRED: "rejected", WaiverState.MALFORMED: "rejected"}

_UNEVALUATED = "review"
_ORDER = ("fail", "review", "open", "pass", "notApplicable")
_LONGEST_MESSAGE = 4000
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Attack:
    """One falsifier against one criterion; an uncovered criterion stands as one, with no falsifier."""

    criterion: CriterionRuling
    ruling: FalsifierRuling
    record: Record | None

    @property
    def rule(self) -> str:
        return self.ruling.falsifier or self.criterion.criterion

    @property
    def kind(self) -> str:
        return _UNEVALUATED if self.criterion.uncovered else _KINDS.get(self.ruling.outcome, _UNEVALUATED)

    @property
    def state(self) -> tuple[object, ...]:
        """What makes it the same result in another verdict."""
        return self.ruling.outcome, self.record.measurements if self.record is not None else ()


def render_sarif(
    predicate: Predicate, payload_sha256: str, *, baseline: Predicate | None = None, root: Path | None = None
) -> str:
    """One SARIF log with one run. The same arguments give the same text.

    `baseline` gives every result a `baselineState`; `root` is the folder that spec files are named relative to.
    Beyond the limits the least severe results are left out, and a notification says how many.
    """
    attacks = sorted(_attacks(predicate), key=lambda each: (_ORDER.index(each.kind), each.rule))
    before = None if baseline is None else {each.rule: each for each in _attacks(baseline)}
    places = _places(predicate, root)
    results = [_result(each, predicate, before, places) for each in attacks]
    if baseline is not None and before is not None:
        gone = sorted(before.keys() - {each.rule for each in attacks})
        attacks += [before[name] for name in gone]
        results += [_absent(before[name], _places(baseline, root)) for name in gone]
    kept = min(len(results), MOST_RESULTS)
    while True:
        run = _run(predicate, payload_sha256, attacks[:kept], results[:kept], places, len(results) - kept)
        text = _dump({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})
        if len(text) <= MOST_BYTES or not kept:
            return text
        kept //= 2


def _dump(document: Json) -> str:
    """ASCII, so that its length is its size in bytes; one line, for indenting takes ten times as long."""
    return json.dumps(document, sort_keys=True, allow_nan=False) + "\n"


def _attacks(predicate: Predicate) -> Iterable[_Attack]:
    records = {(record.criterion, record.falsifier): record for record in predicate.records}
    for criterion in predicate.verdict.criteria:
        for ruling in criterion.falsifiers:
            yield _Attack(criterion, ruling, records.get((criterion.criterion, ruling.falsifier)))
        if criterion.uncovered:
            yield _Attack(
                criterion, FalsifierRuling("", criterion.outcome, "no falsifier attacks this criterion"), None
            )


def _places(predicate: Predicate, root: Path | None) -> Mapping[str, Json]:
    """By criterion: its specification's file and its line there."""
    places: dict[str, Json] = {}
    for text in predicate.specs:
        document, spec = parse_yaml(text.text, text.name), parse_spec(text.text, text.name)
        for index, criterion in enumerate(spec.criteria):
            region = {"startLine": document.line_of(("criteria", index))}
            location = {"artifactLocation": {"uri": _uri(text.name, root)}, "region": region}
            places[criterion.id] = {"physicalLocation": location}
    return places


def _uri(name: str, root: Path | None) -> str:
    path = Path(name)
    if root is not None and path.is_relative_to(root):
        path = path.relative_to(root)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _run(
    predicate: Predicate,
    payload_sha256: str,
    attacks: Sequence[_Attack],
    results: Sequence[Json],
    places: Mapping[str, Json],
    left_out: int,
) -> Json:
    rules = {each.rule: each for each in attacks}
    indexes = {name: index for index, name in enumerate(sorted(rules))}
    verdict = predicate.verdict
    return {
        "tool": {
            "driver": {
                "name": predicate.verifier,
                "version": predicate.verifier_version,
                "rules": [_rule(rules[name]) for name in sorted(rules)],
            }
        },
        "automationDetails": {"id": f"refute/{predicate.release.id}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(predicate, left_out)],
        "artifacts": [
            {"location": place["physicalLocation"]["artifactLocation"], "hashes": {"sha-256": text.sha256}}
            for text in predicate.specs
            for place in _first(text.text, text.name, places)
        ],
        "results": [{**result, "ruleIndex": indexes[result["ruleId"]]} for result in results],
        "properties": {
            "verdict": verdict.ruling.value,
            "reasons": list(verdict.reasons),
            "payloadSha256": payload_sha256,
            "subject": predicate.subject.model_dump(mode="json"),
            "runClass": predicate.release.run_class.value,
            "controls": {"behaved": verdict.controls_behaved, "total": verdict.controls_total},
        },
    }


def _first(text: str, name: str, places: Mapping[str, Json]) -> Iterable[Json]:
    yield from (places[criterion.id] for criterion in parse_spec(text, name).criteria[:1])


def _rule(attack: _Attack) -> Json:
    criterion = attack.criterion
    about = {
        "criterion": criterion.criterion,
        "spec": criterion.spec,
        "severity": criterion.severity.value,
        "phase": criterion.phase,
        "tags": [f"phase{criterion.phase}", criterion.severity.value],
    }
    if attack.record is not None:
        about |= {"uses": attack.record.uses, "code": attack.record.code}
    return {
        "id": attack.rule,
        "shortDescription": {"text": _message(f"{criterion.criterion}: {criterion.title}")},
        "defaultConfiguration": {"level": _LEVELS[criterion.severity]},
        "properties": about,
    }


def _result(
    attack: _Attack, predicate: Predicate, before: Mapping[str, _Attack] | None, places: Mapping[str, Json]
) -> Json:
    result: Json = {**_core(attack, places), "properties": _measured(attack)}
    suppressions = _suppressions(attack, predicate) if attack.kind in ("fail", "review", "open") else []
    if suppressions:
        result["suppressions"] = suppressions
    if before is not None:
        earlier = before.get(attack.rule)
        same = earlier is not None and earlier.state == attack.state
        result["baselineState"] = "new" if earlier is None else "unchanged" if same else "updated"
    return result


def _absent(attack: _Attack, places: Mapping[str, Json]) -> Json:
    """What only the baseline has; its place is in the baseline's specification."""
    return {**_core(attack, places), "baselineState": "absent"}


def _core(attack: _Attack, places: Mapping[str, Json]) -> Json:
    """What every result has. GitHub refuses a file with a result that has no location."""
    return {
        "ruleId": attack.rule,
        "kind": attack.kind,
        # §3.27.10: only what failed has a level.
        "level": _LEVELS[attack.criterion.severity] if attack.kind == "fail" else "none",
        "message": {"text": _message(_sentence(attack))},
        "locations": [places[attack.criterion.criterion]],
        "partialFingerprints": {"refute/v1": sha256(attack.rule.encode()).hexdigest()},
    }


def _sentence(attack: _Attack) -> str:
    word = "uncovered" if attack.criterion.uncovered else attack.ruling.outcome.replace("_", " ")
    criterion = attack.criterion
    return f"{criterion.criterion} ({criterion.severity}), {criterion.title}: {word}. {attack.ruling.reason}"


def _message(text: str) -> str:
    """Plain text: braces doubled (§3.11.5), and no `[text](address)`, which would be a link (§3.11.6)."""
    plain = clip(visible(text), _LONGEST_MESSAGE).replace("](", "] (")
    return plain.replace("{", "{{").replace("}", "}}")


def _measured(attack: _Attack) -> Json:
    found: Json = {"outcome": "uncovered" if attack.criterion.uncovered else attack.ruling.outcome.value}
    if attack.record is not None:
        found["measurements"] = [asdict(each) for each in attack.record.measurements]
        found["controls"] = [
            {"name": each.name, "expected": each.expected.value, "observed": each.observed.value}
            for each in attack.record.controls
        ]
        found["evidence"] = dict(attack.record.evidence)
    return found


def _suppressions(attack: _Attack, predicate: Predicate) -> list[Json]:
    """A result is suppressed only if no suppression is other than accepted (§3.27.23): one in force stands alone."""
    ruled = zip(predicate.waivers, predicate.verdict.waivers, strict=False)  # malformed ones follow, and are no waivers
    shown = [
        _suppression(waiver, _STATUSES.get(ruling.state, _WAITING))
        for waiver, ruling in ruled
        if waiver.criterion == attack.criterion.criterion
    ]
    accepted = [each for each in shown if each["status"] == "accepted"]
    unique = {each["justification"] + each["status"]: each for each in accepted or shown}
    return list(unique.values())


def _suppression(waiver: Waiver, status: str) -> Json:
    return {
        "kind": "external",
        "status": status,
        "justification": clip(f"{waiver.approver}, until {waiver.expires_at}: {waiver.reason}", _LONGEST_MESSAGE),
        "properties": {"approver": waiver.approver, "expiresAt": waiver.expires_at},
    }


def _invocation(predicate: Predicate, left_out: int) -> Json:
    """Successful when everything was tried and nothing failed to be measured; what was measured does not matter."""
    broken = [
        f"{ruling.falsifier} of {criterion.criterion} {ruling.outcome.value}: {ruling.reason}"
        for criterion in predicate.verdict.criteria
        for ruling in criterion.falsifiers
        if ruling.outcome in (Outcome.ERROR, Outcome.TIMEOUT)
    ]
    faults = [*predicate.record_faults, *broken]
    if predicate.verdict.partial:
        faults.append("partial run: not every falsifier of the specifications was run")
    notes = [{"level": "error", "message": {"text": _message(fault)}} for fault in faults[:MOST_RESULTS]]
    if left_out:
        said = f"{left_out} results were left out to stay within {MOST_RESULTS} results and {MOST_BYTES} bytes"
        notes.append({"level": "warning", "message": {"text": said}})
    return {
        "executionSuccessful": not faults,
        "commandLine": clip(shlex.join(predicate.run.argv), _LONGEST_MESSAGE),
        "startTimeUtc": predicate.run.started_at,
        "endTimeUtc": predicate.evaluated_at,
        "toolExecutionNotifications": notes,
    }
