"""The verdict on the release before is what the student is compared with: read from the signed file, by problem."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from builtin_uses import REGISTRY, evidence
from json_lines import read_rows
from refute.attest import PAYLOAD_TYPE, build_statement, generate_key, load_private_key, sign_envelope
from refute.engines.results.baseline import read_baseline
from refute.errors import ExperimentError, VerificationError
from refute.falsifier.context import Context
from refute.job import Job
from refute.judge.predicate.exhibits import Exhibits, Fact, Grid, Section
from refute.judge.predicate.inputs import EvaluationInput, Inputs, SamplerInput
from refute.spec.experiments.evidence_files import BASELINE, PREVIOUS_SUMMARY, RESULTS

TASKS = tuple(f"HumanEval/{n}" for n in range(164))
GREEDY = SamplerInput(method="argmax", temperature=0.0, n=1, repetition_penalty=1.0)


SCORER = Section(
    number=5,
    title="Quality checks: HumanEval",
    state="measured",
    facts=(
        Fact(label="Solved by student", value="60 of 164"),
        Fact(label="Solved by the student of v0, judged 2026-10-01", value="58 of 164"),
    ),
)


def _said(ruling: str = "GO", *, grids: tuple[str, ...] = ("teacher", "student")) -> dict[str, Any]:
    """Of a verdict what is read: 60 problems solved by the student, all by its teacher."""
    asked = EvaluationInput(problems_sha256="a" * 64, template_sha256=None, protocol="completion", sampler=GREEDY)
    rows = [
        Grid(name=name, problems=TASKS, outcomes=tuple("passed" if n < most else "failed" for n in range(164)))
        for name, most in (("teacher", 164), ("student", 60))
        if name in grids
    ]
    return {
        "verdict": {"ruling": ruling},
        "release": {"id": "v1"},
        "evaluated_at": "2026-11-30T00:00:00Z",
        "inputs": Inputs(evaluations={"humaneval_student": asked}).model_dump(mode="json"),
        "exhibits": Exhibits(grids=tuple(rows), sections=(SCORER,)).model_dump(mode="json"),
    }


@pytest.fixture
def read(make_job: Callable[..., Job], tmp_path: Path) -> Callable[[Mapping[str, Any]], Job]:
    """read(predicate) -> the evidence that is made of it, signed."""
    generate_key(tmp_path / "keys", "operator")

    def of(predicate: Mapping[str, Any]) -> Job:
        path = tmp_path / "verdict.intoto.json"
        key = load_private_key(tmp_path / "keys" / "operator.key")
        path.write_bytes(sign_envelope(build_statement("v1", "b" * 64, predicate), PAYLOAD_TYPE, [key]))
        job = make_job("previous", {"release": "v1", "path": str(path)})
        read_baseline(job)
        return job

    return of


def test_an_earlier_students_outcomes_are_what_the_falsifier_compares_with(
    read: Callable[..., Job], tmp_path: Path
) -> None:
    """As good, it is no worse by five points; a twin that lost a third is, and one that was asked in another way is no
    comparison."""
    before = read(_said())
    assert [row.passed for row in RESULTS.read(before.out, "previous")].count(True) == 60
    baseline = BASELINE.read(before.out, "previous")
    assert baseline.release == "v1"
    assert [(each.label, each.value) for each in baseline.trend] == [
        ("Solved by the student of v0, judged 2026-10-01", "58 of 164"),
        ("Solved by the student of v1, judged 2026-11-30", "60 of 164"),
    ], "what the report shows, and the one after it carries on"
    rows, told = read_rows(before.out / RESULTS.name), (before.out / PREVIOUS_SUMMARY.name).read_text(encoding="utf-8")
    previous = evidence(tmp_path, "humaneval_previous", {"results.jsonl": rows, "summary.json": json.loads(told)})

    def difference(solved: int, protocol: str = "completion") -> float:
        rows = [
            {"task_id": task, "passed": n < solved, "outcome": "passed" if n < solved else "failed"}
            for n, task in enumerate(TASKS)
        ]
        files = {"results.jsonl": rows, "summary.json": {"protocol": protocol, "system_prompt": None}}
        student = evidence(tmp_path, f"student_{solved}_{protocol}", files)
        found = {"humaneval_student": student, "humaneval_previous": previous}
        against = REGISTRY["humaneval-against-previous"]
        (measured,) = against.measure(Context(dict(against.parameters), found))
        return measured.value

    assert difference(60) == 0.0
    assert difference(40) == pytest.approx(-100 * 20 / 164)
    with pytest.raises(ValueError, match="not comparable"):
        difference(60, "chat_primed")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (_said("NO-GO"), "NO-GO on v1, expected GO on v1"),
        (_said() | {"release": {"id": "v0"}}, "GO on v0, expected GO on v1"),
        (_said(grids=("teacher",)), "says nothing of a student"),
        (_said() | {"inputs": {}}, "says nothing of a student"),
    ],
)
def test_a_verdict_that_is_none_to_compare_with_is_refused(
    read: Callable[..., Job], said: Mapping[str, Any], message: str
) -> None:
    """Not GO, about another release, or without a student's outcomes."""
    with pytest.raises(ExperimentError, match=message):
        read(said)


def test_what_is_no_signed_verdict_is_refused(make_job: Callable[..., Job], tmp_path: Path) -> None:
    """A folder of them, and a file without a signature."""
    with pytest.raises(ExperimentError, match="is a folder"):
        read_baseline(make_job("previous", {"release": "v1", "path": str(tmp_path)}))
    (tmp_path / "verdict.json").write_text("{}", encoding="utf-8")
    with pytest.raises(VerificationError):
        read_baseline(make_job("another", {"release": "v1", "path": str(tmp_path / "verdict.json")}))
