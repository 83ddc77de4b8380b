"""From a spec that declares a sequential test to its signed verdict: controls, record, judge, report, verification."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from json_lines import write_rows
from refute.attest import PAYLOAD_TYPE, PrivateKey, build_statement, public_pem, sign_envelope
from refute.errors import VerificationError
from refute.falsifier.loading import load_registry
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.folder import RunFolder
from refute.judge.sign import Judged
from refute.outcome import Outcome, Ruling
from refute.report import REPORTS
from refute.spec.bars.sequential import Design, every
from refute.verify.verification import verify_verdict

SPEC = """\
spec: SPEC-TINY-001
version: 1
title: Answers
criteria:
  - id: AC-TINY-001
    title: Solved
    statement: At least 15 % of the problems are solved.
    severity: block
    phase: 5
    falsifiers:
      - id: F-TINY-001
        uses: humaneval-pass-at-1-sequential
        thresholds:
          pass_at_1:
            holds_if: ">= 15 %"
            sequential: {error_rate: 0.05, spending: pocock, problems: 164, look_every: 8}
"""
RELEASE = """\
release: tiny
title: Tiny answers
run_class: quick
operator: nobody
evidence: {humaneval_sequential: run}
"""
DESIGN = Design(15.0, 0.05, "pocock", every(8, 164))
ORDER = [f"Own/{number}" for number in range(164)]
Judge = Callable[[int, int], Judged]


@pytest.fixture
def judge(tmp_path: Path, make_run: Callable[..., RunFolder], key: PrivateKey) -> Judge:
    """Files a run with so many passes of so many problems, attacks and judges it."""
    name = "humaneval-pass-at-1-sequential"
    registered = load_registry([])[name].measure

    def run(passed: int, n: int) -> Judged:
        folder = tmp_path / "run"
        folder.mkdir()
        (folder / "design.json").write_text(json.dumps({**DESIGN.as_json(), "order": ORDER}), encoding="utf-8")
        rows = [
            {"task_id": task, "passed": place < passed, "outcome": "passed" if place < passed else "failed"}
            for place, task in enumerate(ORDER[:n])
        ]
        write_rows(folder / "results.jsonl", rows)
        made = make_run(spec=SPEC, release=RELEASE, falsifiers={name: registered})
        return judge_run(made, Operator(key, development=False))

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("passed", "n", "outcome", "ruling"),
    [
        (0, 32, Outcome.FALSIFIED, Ruling.NO_GO),
        (8, 8, Outcome.CORROBORATED, Ruling.GO),
        (3, 31, Outcome.ERROR, Ruling.NO_GO),
    ],
)
def test_the_verdict_of_a_stopped_run(judge: Judge, passed: int, n: int, outcome: Outcome, ruling: Ruling) -> None:
    """A hopeless model is refuted and a clear one stands; a run that ended anywhere else is an error."""
    found = judge(passed, n).predicate
    (record,) = found.records
    assert [control.behaved for control in record.controls] == [True] * 4
    assert (record.outcome, found.verdict.ruling) == (outcome, ruling), record.reason


@pytest.mark.slow
def test_the_report_says_that_the_run_was_sequential(judge: Judge) -> None:
    """In the page that a person reads, beside the interval."""
    judged = judge(0, 32)
    text = REPORTS["html"].render(judged.predicate, judged.payload_sha256)
    assert "ended at look 4 of 21, 32 of 164 problems" in text


@pytest.mark.slow
def test_a_signed_interval_that_claims_too_much_does_not_verify(judge: Judge, key: PrivateKey) -> None:
    """Wilson's interval of the same 32 problems, signed by the right key: judging again finds it out."""
    judged = judge(0, 32)
    content: dict[str, Any] = json.loads(judged.predicate.model_dump_json())
    content["records"][0]["measurements"][0]["interval"] |= {"high": 10.7, "method": "Wilson"}
    payload = build_statement(content["subject"]["name"], judged.predicate.subject.sha256, content)
    with pytest.raises(VerificationError, match="own records give"):
        verify_verdict(sign_envelope(payload, PAYLOAD_TYPE, [key]), [public_pem(key)])
