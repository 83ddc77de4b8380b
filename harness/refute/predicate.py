"""The predicate of a signed verdict: every fact that a reader or a verifier may use, and nothing else.

The texts of spec and release travel inside, so that `refute verify` can judge again from this file
alone; a report is rendered from a predicate and from nothing besides.
"""

from __future__ import annotations

from typing import Literal

from refute.outcome import Record, RunClass
from refute.release import Closed, Sha256
from refute.verdict import Verdict
from refute.waiver import Waiver


class SpecText(Closed):
    """A specification as it was judged: its raw text and the SHA-256 of that text."""

    id: str
    name: str
    sha256: Sha256
    text: str


class ReleaseText(Closed):
    """The release file as it was judged."""

    id: str
    title: str
    run_class: RunClass
    operator: str
    name: str
    sha256: Sha256
    text: str


class Subject(Closed):
    """What the verdict is about. `model_folder`: OpenSSF model-signing root digest, with the manifest digest
    that also binds the file names. `evidence_file`: a file's SHA-256. `release_file`: no model was produced."""

    kind: Literal["model_folder", "evidence_file", "release_file"]
    name: str
    sha256: Sha256
    manifest_sha256: Sha256 | None = None


class RunFacts(Closed):
    """How the run was made. `versions` maps distribution names to versions; times are RFC 3339, UTC."""

    id: str
    started_at: str
    argv: tuple[str, ...]
    pytest_environment: dict[str, str]
    plugins: dict[str, str]
    python: str
    platform: str
    cpus: int
    versions: dict[str, str]


class Signer(Closed):
    """Which key signed. A development key was made on this machine on first use and vouches for nobody."""

    key_id: str
    development: bool


class Fact(Closed):
    """One line of a report section."""

    label: str
    value: str


class Section(Closed):
    """One of the nine dogfood sections: filled from evidence, or `not_run` with the reason in `note`."""

    number: int
    title: str
    state: Literal["measured", "not_run"]
    note: str = ""
    facts: tuple[Fact, ...] = ()
    text: str = ""


class Curve(Closed):
    """A series over optimiser steps, such as held-out CE in nat per token."""

    chart: str
    name: str
    unit: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


class Prompt(Closed):
    """A problem as it was put: the beginning of its `characters`."""

    problem: str
    text: str
    characters: int


class Answer(Closed):
    """What a model answered to a problem: the beginning of its `characters`, the digest of all, why it failed."""

    completion: str
    completion_sha256: Sha256
    characters: int
    reason: str = ""


Outcomes = Literal["passed", "failed", "timeout", "error"]


class Grid(Closed):
    """One row of the per-problem grid: `outcomes` has a word for each of `problems`, `answers` as many or none."""

    name: str
    problems: tuple[str, ...]
    outcomes: tuple[Outcomes, ...]
    answers: tuple[Answer, ...] = ()


class Exhibits(Closed):
    """What a report shows beyond the records; all of it read from evidence, none of it judged."""

    sections: tuple[Section, ...] = ()
    curves: tuple[Curve, ...] = ()
    grids: tuple[Grid, ...] = ()
    prompts: tuple[Prompt, ...] = ()


class Predicate(Closed):
    """The signed content. `evidence` maps experiment names to {file name: SHA-256}."""

    verdict: Verdict
    subject: Subject
    release: ReleaseText
    specs: tuple[SpecText, ...]
    records: tuple[Record, ...]
    record_faults: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    evidence: dict[str, dict[str, Sha256]]
    run: RunFacts
    signer: Signer
    evaluated_at: str
    verifier: str
    verifier_version: str
    exhibits: Exhibits = Exhibits()
