"""Verdicts made by hand: a small specification, values for its measurements, and the real judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import pytest

from refute.attest import sha256_hex
from refute.judge.algebra import judge
from refute.judge.predicate.coverage import cover
from refute.judge.predicate.identity import identify
from refute.judge.predicate.model import Predicate
from refute.judge.run.facts import RunFacts, Signer
from refute.judge.subject import Subject
from refute.outcome import ControlResult, Interval, Measurement, Outcome, Record, RunClass
from refute.spec.bars.decide import outcome_of
from refute.spec.criteria import Criterion, FalsifierUse, parse_spec
from refute.spec.files import parse_release
from refute.spec.policy import Policy
from refute.spec.texts import ReleaseText, SpecText
from refute.spec.waiver import Waiver

SPEC = """\
spec: SPEC-A-001
version: 1
title: Answers
criteria:
  - id: AC-RIGHT
    title: Right
    statement: Most answers are right.
    severity: block
    phase: 1
    falsifiers:
      - {id: F-RIGHT, uses: accuracy, thresholds: {accuracy: {holds_if: ">= 80 %"}}}
  - id: AC-FAST
    title: Fast
    statement: Answers come fast.
    severity: warn
    phase: 2
    falsifiers:
      - {id: F-FAST, uses: speed, thresholds: {speed: {holds_if: ">= 10 tokens/s"}}}
      - {id: F-STEADY, uses: steadiness, thresholds: {steadiness: {holds_if: ">= 1 x"}}}
  - id: AC-SIZE
    title: Many
    statement: There are many answers.
    severity: info
    phase: 2
    falsifiers:
      - {id: F-SIZE, uses: size, thresholds: {rows: {holds_if: ">= 20 rows"}}}
"""
RELEASE = "release: tiny\ntitle: Tiny\nrun_class: quick\noperator: nobody\nevidence: {answers: a}\n"
VALUES = {"accuracy": 95.0, "speed": 40.0, "steadiness": 2.0, "rows": 100.0}
SUBJECT = "5" * 64
AT = "2026-06-01T12:00:00Z"


def _record(spec: str, criterion: Criterion, use: FalsifierUse, values: Mapping[str, float]) -> Record | None:
    bars = use.parsed_thresholds()
    if use.uses is None or not all(name in values for name in bars):
        return None

    def measured(value: Callable[[str], float], *, interval: bool = False) -> tuple[Measurement, ...]:
        return tuple(
            Measurement(
                name,
                value(name),
                bar.holds_if.unit,
                100,
                Interval(value(name) - 1, value(name) + 1, 0.95, "wilson") if interval else None,
                ("e" * 64,),
            )
            for name, bar in bars.items()
        )

    controls = (
        ControlResult("good", Outcome.CORROBORATED, Outcome.CORROBORATED, "", measured(lambda _: 1e6)),
        ControlResult("bad", Outcome.FALSIFIED, Outcome.FALSIFIED, "", measured(lambda _: -1e6)),
    )
    found = measured(values.__getitem__, interval=use.id == "F-RIGHT")
    outcome, reason = outcome_of(criterion, use, RunClass.QUICK, found)
    evidence = (("answers", "d" * 64),)
    return Record(
        spec, criterion.id, use.id, use.uses, outcome, reason, RunClass.QUICK, found, controls, evidence, "c" * 64
    )


@pytest.fixture(scope="session")
def spec_text() -> str:
    """The specification that `make_predicate` judges by default."""
    return SPEC


@pytest.fixture(scope="session")
def make_predicate() -> Callable[..., Predicate]:
    """make_predicate(spec=…, values=…, waivers=…, at=…, versions=…): a predicate whose verdict the real judge gave.

    `values` replace the default ones; None leaves the measurement, and with it the record, out.
    """

    def make(
        *,
        spec: str = SPEC,
        values: Mapping[str, float | None] = {},
        waivers: Sequence[Waiver] = (),
        at: str = AT,
        versions: Mapping[str, str] = {},
        answers: str = "a" * 64,
    ) -> Predicate:
        parsed, release = parse_spec(spec, "specs/a.yaml"), parse_release(RELEASE, "specs/releases/tiny.yaml")
        measured = {name: value for name, value in {**VALUES, **values}.items() if value is not None}
        records = [
            record
            for criterion in parsed.criteria
            for use in criterion.falsifiers
            if (record := _record(parsed.spec, criterion, use, measured)) is not None
        ]
        verdict = judge(
            parsed,
            records,
            policy=Policy(approvers=("Ann",)),
            waivers=waivers,
            at=datetime.fromisoformat(at),
            release=release,
            subject_sha256=SUBJECT,
        )
        return Predicate(
            verdict=verdict,
            identity=identify(release, "run", 1, datetime.fromisoformat(at), verdict, waivers, SUBJECT),
            coverage=cover([parsed], records, verdict, registered={}, deselected=()),
            model=None,
            subject=Subject(kind="evidence_file", name="a", sha256=SUBJECT),
            release=ReleaseText(
                id="tiny",
                title="Tiny",
                run_class=RunClass.QUICK,
                operator="nobody",
                name="specs/releases/tiny.yaml",
                sha256=sha256_hex(RELEASE.encode()),
                text=RELEASE,
            ),
            specs=(SpecText(id=parsed.spec, name="/repo/specs/a.yaml", sha256=sha256_hex(spec.encode()), text=spec),),
            records=tuple(records),
            waivers=tuple(waivers),
            evidence={"answers": {"a.jsonl": answers}},
            run=RunFacts(
                id="run",
                started_at="2026-06-01T11:00:00Z",
                argv=("--falsifiers", "a b"),
                pytest_environment={},
                plugins={"refute": "0.1.0"},
                python="3.11.9",
                platform="Linux",
                cpus=2,
                versions={"numpy": "2.0", **versions},
            ),
            signer=Signer(key_id="k" * 8, development=False),
            evaluated_at=at,
            verifier="refute",
            verifier_version="0.1.0",
        )

    return make


@pytest.fixture(scope="session")
def make_waiver() -> Callable[..., Waiver]:
    """make_waiver(criterion, expires_at=…, subject=…)."""

    def make(criterion: str, *, expires_at: str = "2026-07-01T00:00:00Z", subject: str = SUBJECT) -> Waiver:
        return Waiver(
            criterion=criterion, subject_sha256=subject, approver="Ann", reason="known", expires_at=expires_at
        )

    return make
