"""Experiment: what the signed verdict of an earlier release says of its student, problem by problem.

Who signed it, and whether its ruling follows from its records, was verified before the first experiment and is verified
again before the judge signs, as of every verdict that a release requires.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refute.attest import PAYLOAD_TYPE, peek_envelope, read_statement
from refute.disk import read_regular, write_whole
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.evidence.humaneval import Baseline, EarlierRelease, PreviousSummary, Result
from refute.spec.experiments.evidence_files import BASELINE, HUMANEVAL_STUDENT, PREVIOUS_SUMMARY, RESULTS
from refute.spec.experiments.parsing import parse_config
from refute.spec.experiments.results import BaselineConfig

# What the verdict calls the row of the student's outcomes.
_STUDENT = "student"
# How a report begins what it says of an earlier release: the verdict on that one says it of those before.
_TREND = "Solved by the student of "
_HINT = "name the signed verdict, verdict.intoto.json, of a release whose student answered HumanEval"


def read_baseline(job: Job) -> None:
    """Write results.jsonl, an outcome a problem; summary.json, how that student was asked; and baseline.json, by which
    verdict, and what it and those that it was compared with came to.

    Raises VerificationError for what is no signed verdict, ExperimentError for one that is not GO, is about another
    release, or holds no outcome of a student.
    """
    config = parse_config(BaselineConfig, job)
    path = Path(config.path)
    if path.is_dir():
        raise ExperimentError(f"{path.name} is a folder", hint=f"{_HINT}; `refute latest` says which one counts")
    payload, _ = peek_envelope(read_regular(path))
    predicate: Mapping[str, Any] = read_statement(PAYLOAD_TYPE, payload).predicate
    try:
        rows, summary = _rows(predicate), _summary(predicate)
        baseline = _baseline(predicate, hashlib.sha256(payload).hexdigest(), rows)
        ruling = predicate["verdict"]["ruling"]
    except (LookupError, TypeError, ValueError) as error:
        raise ExperimentError(f"{path.name} says nothing of a student: {error!r}", hint=_HINT) from error
    if (ruling, baseline.release) != ("GO", config.release):
        raise ExperimentError(
            f"{path.name} is {ruling} on {baseline.release}, expected GO on {config.release}",
            hint="name a verdict of that release that was GO: `refute latest` says which one counts",
        )
    text = "".join(f"{json.dumps(row.as_json())}\n" for row in rows)
    write_whole(job.out / RESULTS.name, text.encode("ascii"))
    PREVIOUS_SUMMARY.write(job.out, summary)
    BASELINE.write(job.out, baseline)


def _rows(predicate: Mapping[str, Any]) -> list[Result]:
    (grid,) = [each for each in predicate["exhibits"]["grids"] if each["name"] == _STUDENT]
    pairs = zip(grid["problems"], grid["outcomes"], strict=True)
    return [Result(task_id=task, passed=found == "passed", outcome=found, detail="") for task, found in pairs]


def _baseline(predicate: Mapping[str, Any], digest: str, rows: Sequence[Result]) -> Baseline:
    release, day = predicate["release"]["id"], predicate["evaluated_at"][:10]
    facts = [fact for section in predicate["exhibits"]["sections"] for fact in section["facts"]]
    before = [EarlierRelease(**fact) for fact in facts if fact["label"].startswith(_TREND)]
    own = EarlierRelease(
        label=f"{_TREND}{release}, judged {day}", value=f"{sum(row.passed for row in rows)} of {len(rows)}"
    )
    return Baseline(release=release, payload_sha256=digest, trend=(*before, own))


def _summary(predicate: Mapping[str, Any]) -> PreviousSummary:
    asked = predicate["inputs"]["evaluations"][HUMANEVAL_STUDENT]
    return PreviousSummary(
        protocol=asked["protocol"],
        system_prompt=asked["system_prompt"],
        problems_sha256=asked["problems_sha256"],
    )
