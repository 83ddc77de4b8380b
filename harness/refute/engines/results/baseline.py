"""Experiment: what the signed verdict of an earlier release says of its student, problem by problem.

Who signed it, and whether its ruling follows from its records, was verified before the first experiment and is verified
again before the judge signs, as of every verdict that a release requires.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refute.attest import PAYLOAD_TYPE, peek_envelope, read_statement
from refute.disk import read_regular, write_whole
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.evidence.humaneval import PreviousSummary, Result
from refute.spec.experiments.evidence_files import HUMANEVAL_STUDENT, PREVIOUS_SUMMARY, RESULTS
from refute.spec.experiments.parsing import parse_config
from refute.spec.experiments.results import BaselineConfig

# What the verdict calls the row of the student's outcomes.
_STUDENT = "student"
_HINT = "name the signed verdict, verdict.intoto.json, of a release whose student answered HumanEval"


def read_baseline(job: Job) -> None:
    """Write results.jsonl, an outcome a problem, and summary.json: how that student was asked, and by which verdict.

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
        rows, summary = _rows(predicate), _summary(predicate, hashlib.sha256(payload).hexdigest())
        ruling = predicate["verdict"]["ruling"]
    except (LookupError, TypeError, ValueError) as error:
        raise ExperimentError(f"{path.name} says nothing of a student: {error!r}", hint=_HINT) from error
    if (ruling, summary.release) != ("GO", config.release):
        raise ExperimentError(f"{path.name} is {ruling} on {summary.release}, expected GO on {config.release}")
    text = "".join(f"{json.dumps(row.as_json())}\n" for row in rows)
    write_whole(job.out / RESULTS.name, text.encode("ascii"))
    PREVIOUS_SUMMARY.write(job.out, summary)


def _rows(predicate: Mapping[str, Any]) -> list[Result]:
    (grid,) = [each for each in predicate["exhibits"]["grids"] if each["name"] == _STUDENT]
    pairs = zip(grid["problems"], grid["outcomes"], strict=True)
    return [Result(task_id=task, passed=found == "passed", outcome=found, detail="") for task, found in pairs]


def _summary(predicate: Mapping[str, Any], digest: str) -> PreviousSummary:
    asked = predicate["inputs"]["evaluations"][HUMANEVAL_STUDENT]
    return PreviousSummary(
        release=predicate["release"]["id"],
        payload_sha256=digest,
        judged_at=predicate["evaluated_at"],
        protocol=asked["protocol"],
        system_prompt=asked["system_prompt"],
        problems_sha256=asked["problems_sha256"],
    )
