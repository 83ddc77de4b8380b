"""A stated share of problems without a verdict: from the spec to the plan, the record, the report; checked strictly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from refute.attest import PrivateKey, generate_key, load_private_key
from refute.engines.humaneval.samples.failures import Failures
from refute.errors import ExperimentError
from refute.evidence.key import config_for_key, key_of
from refute.evidence.plan import plan_for, plan_release
from refute.evidence.spec_demands import error_shares
from refute.falsifier.context import Context, Evidence
from refute.falsifier.loading import load_registry
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.folder import RunFolder
from refute.judge.sign import Judged
from refute.outcome import Outcome, Ruling
from refute.report import REPORTS
from refute.spec.criteria import Spec, load_spec, parse_spec
from refute.spec.files import load_release
from refute.spec.lint import check_spec

RELEASES = Path(__file__).parents[2] / "specs" / "releases"
NAME = "humaneval-pass-at-1"
TASKS = [f"HumanEval/{number}" for number in range(164)]


def spec_text(*uses: str) -> str:
    """A spec whose criteria bar pass@1 at 15 %, each with these parameters; `uses` are YAML flow mappings."""
    criteria = "".join(
        f"""\
  - id: AC-TINY-{number}
    title: Solved
    statement: At least 15 % of the problems are solved.
    severity: block
    phase: 5
    falsifiers:
      - {{id: F-TINY-{number}, uses: {name}, with: {given}, thresholds: {{{bar}}}}}
"""
        for number, (name, given, bar) in enumerate(use.split("|") for use in uses)
    )
    return f"spec: SPEC-TINY-001\nversion: 1\ntitle: Answers\ncriteria:\n{criteria}"


def pass_at_1(given: str) -> str:
    """A use of pass@1 for `spec_text`."""
    return f'{NAME}|{given}|pass_at_1: {{holds_if: ">= 15 %"}}'


def rows(outcomes: Mapping[str, int]) -> str:
    """Results with so many of each outcome."""
    words = [word for word, count in outcomes.items() for _ in range(count)]
    found = [
        {"task_id": task, "passed": word == "passed", "outcome": word} for task, word in zip(TASKS, words, strict=True)
    ]
    return "".join(json.dumps(row) + "\n" for row in found)


@pytest.fixture
def judge(tmp_path: Path, make_run: Callable[..., RunFolder]) -> Callable[..., Judged]:
    """judge("0.02", errors=3): a run of which all but the errors passed, judged under a spec that states the share."""
    registered = load_registry([])[NAME].measure
    key: PrivateKey = load_private_key(generate_key(tmp_path / "keys", "judge").private)
    release = """\
release: tiny
title: Tiny answers
run_class: quick
operator: nobody
evidence: {humaneval_student: student, humaneval_calibration: calibration}
"""

    def run(share: str, errors: int) -> Judged:
        for name in ("student", "calibration"):
            (tmp_path / name).mkdir()
        found = rows({"error": errors, "passed": 164 - errors})
        (tmp_path / "student" / "results.jsonl").write_text(found, encoding="utf-8")
        for kind, word in (("canonical", "passed"), ("empty", "failed")):
            path = tmp_path / "calibration" / f"results_{kind}.jsonl"
            path.write_text(rows({word: 164}), encoding="utf-8")
        text = spec_text(pass_at_1(f"{{allowed_error_share: {share}}}"))
        return judge_run(
            make_run(spec=text, release=release, falsifiers={NAME: registered}), Operator(key, development=False)
        )

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "errors", "outcome", "ruling"),
    [
        ("0.02", 3, Outcome.CORROBORATED, Ruling.GO),
        ("0.02", 4, Outcome.ERROR, Ruling.NO_GO),
        ("0.0", 0, Outcome.CORROBORATED, Ruling.GO),
        ("0.0", 1, Outcome.ERROR, Ruling.NO_GO),
    ],
)
def test_errors_within_the_share_count_as_failed_and_beyond_it_nothing_is_measured(
    judge: Callable[..., Judged], share: str, errors: int, outcome: Outcome, ruling: Ruling
) -> None:
    """Three of 164 are within 2 %, four are not: then the outcome is an error with both numbers."""
    judged = judge(share, errors)
    (record,) = judged.predicate.records
    assert (record.outcome, judged.predicate.verdict.ruling) == (outcome, ruling), record.reason
    assert all(control.behaved for control in record.controls)
    if outcome is Outcome.ERROR:
        numbers = f"{errors} of 164 have no verdict ({errors / 164:.2%}), and {float(share):.2%} may have none"
        assert numbers in record.reason
    else:
        assert record.measurements[0].value == pytest.approx(100 * (164 - errors) / 164)
        assert record.measurements[0].n == 164


@pytest.mark.slow
def test_the_report_says_how_many_there_were(judge: Callable[..., Judged]) -> None:
    """Beside the interval; the share is in the signed predicate."""
    judged = judge("0.02", 3)
    text = REPORTS["html"].render(judged.predicate, judged.payload_sha256)
    assert "Wilson; 3 without a verdict taken at their worst" in text
    assert "allowed_error_share: 0.02" in judged.predicate.specs[0].text


@pytest.mark.parametrize(
    ("value", "code"),
    [("2", "parameter-range"), ("1.5", "parameter-range"), ("-0.01", "parameter-range"), ("true", "parameter-type")],
)
def test_a_share_that_is_none_is_found_before_anything_runs(tmp_path: Path, value: str, code: str) -> None:
    """By `refute check` and at the start of the gate, with the line."""
    path = tmp_path / "spec.yaml"
    path.write_text(spec_text(pass_at_1(f"{{allowed_error_share: {value}}}")), encoding="utf-8")
    (problem,) = check_spec(load_spec(path), load_registry([]))
    assert (code in problem.message, problem.line) == (True, 11)


@pytest.mark.parametrize(("share", "n", "allowed"), [(0.29, 100, 29), (0.07, 100, 7), (0.01, 164, 1), (0.02, 49, 0)])
@pytest.mark.parametrize("name", ["humaneval-pass-at-1", "humaneval-gain"])
def test_engine_and_falsifier_count_alike(name: str, share: float, n: int, allowed: int, tmp_path: Path) -> None:
    """The share as it is written: in floats 0.29 of 100 are 28."""
    assert Failures(n, share).allowed == allowed
    falsifier = load_registry([])[name]
    for errors in (allowed, allowed + 1):
        folder = tmp_path / str(errors)
        folder.mkdir()
        found = "".join(
            json.dumps({"task_id": f"t/{k}", "passed": False, "outcome": "error" if k < errors else "failed"}) + "\n"
            for k in range(n)
        )
        (folder / "results.jsonl").write_text(found, encoding="utf-8")
        evidence = {need: Evidence(need, "d" * 64, folder, {"results.jsonl": "d"}) for need in falsifier.needs}
        context = Context({"allowed_error_share": share}, evidence)
        if errors == allowed:
            assert list(falsifier.measure(context))
        else:
            with pytest.raises(ValueError, match=f"{errors} of {n} have no verdict"):
                list(falsifier.measure(context))


def test_the_first_error_too_many_ends_a_run() -> None:
    """Where none is allowed with its own words, else with both numbers as well."""
    error = ExperimentError("t/9: no logits", hint="look")
    with pytest.raises(ExperimentError, match=r"^t/9: no logits$"):
        Failures(10).add(("t/9", 0), error)
    some = Failures(10, 0.15)
    some.add(("t/8", 0), error)
    with pytest.raises(ExperimentError, match=r"^2 of 10 .*\(20 %\), 15 % may have none; the last: t/9: no") as caught:
        some.add(("t/9", 0), error)
    assert caught.value.hint == "look"


def specs_with(*uses: str) -> list[Spec]:
    """The parsed spec."""
    return [parse_spec(spec_text(*uses), "spec.yaml")]


@pytest.mark.slow
def test_the_engine_goes_on_up_to_the_largest_share_that_is_stated() -> None:
    """By evidence: what a falsifier needs may be incomplete, the null model may not; and it is part of the key."""
    registry, release = load_registry([]), load_release(RELEASES / "quick.yaml").release
    gain = 'humaneval-gain|{allowed_error_share: 0.05}|won_share: {holds_if: "> 50 %"}'
    specs = specs_with(pass_at_1("{allowed_error_share: 0.02}"), pass_at_1("{}"), gain)
    shares = error_shares(specs, registry)
    assert (shares["humaneval_student"], shares["humaneval_init"]) == (0.05, 0.05)
    plan, bare = plan_for(release, RELEASES, specs, registry), plan_release(release, RELEASES)

    def share(name: str) -> Any:
        return config_for_key(plan[name].config)["allowed_error_share"]

    assert [share(f"humaneval_{who}") for who in ("student", "init", "teacher", "null")] == [0.05, 0.05, 0.0, 0.0]
    changed = {name for name in plan if key_of(plan[name], {}) != key_of(bare[name], {})}
    assert changed == {"humaneval_student", "humaneval_init"}
