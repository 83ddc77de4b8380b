"""report.json: what the other formats show, as data with every digit and the text as it was recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from refute.judge.predicate.model import Predicate
from refute.outcome import Outcome
from refute.report.view import Finding, Row, View, view_of

SCHEMA_VERSION = 1


class JsonReport:
    """The report for programs. Keys are sorted; only ASCII is written, and no `<`: it can be put anywhere."""

    def render(self, predicate: Predicate, payload_sha256: str) -> str:
        """A JSON object whose `schema_version` changes when a field changes its meaning or goes away."""
        document = _document(view_of(predicate, payload_sha256))
        text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False)
        return text.replace("<", "\\u003c") + "\n"


def _document(view: View) -> Mapping[str, Any]:
    predicate = view.predicate
    verdict = predicate.verdict
    return {
        "schema_version": SCHEMA_VERSION,
        "payload_sha256": view.payload_sha256,
        "verdict": view.word,
        "headline": view.headline,
        "reasons": list(view.reasons),
        "warnings": list(view.warnings),
        "counts": {item.value: _count(view, item) for item in Outcome}
        | {"uncovered": sum(row.ruling.uncovered for row in view.rows)},
        "controls": {"behaved": verdict.controls_behaved, "total": verdict.controls_total},
        "partial": verdict.partial,
        "record_faults": list(predicate.record_faults),
        "preregistration": asdict(verdict.preregistration),
        "waivers_applied": list(verdict.waivers_applied),
        "waivers": [asdict(waiver) for waiver in verdict.waivers],
        "criteria": [_criterion(row) for row in view.rows],
        "identity": predicate.identity.model_dump(mode="json"),
        "coverage": predicate.coverage.model_dump(mode="json"),
        "subject": predicate.subject.model_dump(mode="json"),
        "model": None if predicate.model is None else predicate.model.model_dump(mode="json"),
        "inputs": predicate.inputs.model_dump(mode="json"),
        "release": predicate.release.model_dump(mode="json", exclude={"text"}),
        "specs": [spec.model_dump(mode="json", exclude={"text"}) for spec in predicate.specs],
        "evidence": predicate.evidence,
        "requires": [cited.model_dump(mode="json") for cited in predicate.requires],
        "run": predicate.run.model_dump(mode="json"),
        "signer": predicate.signer.model_dump(mode="json"),
        "evaluated_at": predicate.evaluated_at,
        "verifier": {"name": predicate.verifier, "version": predicate.verifier_version},
        "remeasured": predicate.remeasured,
        "contained": predicate.contained.model_dump(mode="json"),
        "engine": None if predicate.engine is None else predicate.engine.model_dump(mode="json"),
        "made_by": {name: found.model_dump(mode="json") for name, found in predicate.made_by.items()},
        "exhibits": predicate.exhibits.model_dump(mode="json"),
        "verify": list(view.verify_commands),
        "limits": list(view.limits),
    }


def _count(view: View, outcome: Outcome) -> int:
    return sum(row.ruling.outcome is outcome for row in view.rows)


def _criterion(row: Row) -> Mapping[str, Any]:
    ruling = row.ruling
    return {
        "spec": ruling.spec,
        "id": ruling.criterion,
        "title": ruling.title,
        "severity": ruling.severity.value,
        "effective_on": ruling.effective_on,
        "inconclusive": ruling.inconclusive,
        "phase": ruling.phase,
        "outcome": ruling.outcome.value,
        "uncovered": ruling.uncovered,
        "holds": ruling.holds,
        "controls": {"behaved": row.controls_behaved, "total": row.controls_total},
        "falsifiers": [_finding(finding) for finding in row.findings],
    }


def _finding(finding: Finding) -> Mapping[str, Any]:
    return {
        "id": finding.ruling.falsifier,
        "outcome": finding.ruling.outcome.value,
        "reason": finding.ruling.reason,
        "measurements": [asdict(item) for item in finding.measurements],
        "controls": [{**asdict(item), "behaved": item.behaved} for item in finding.controls],
        "evidence": [{"experiment": name, "sha256": digest} for name, digest in finding.evidence],
        "uses": sorted({record.uses for record in finding.records}),
        "contracts": list(finding.contracts),
        "code": sorted({record.code for record in finding.records}),
    }
