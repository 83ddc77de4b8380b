"""The predicate of a signed verdict: every fact that a reader or a verifier may use, and nothing else.

The texts of spec and release travel inside, so that `refute verify` can judge again from this file
alone; a report is rendered from a predicate and from nothing besides.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from refute.coverage import Coverage
from refute.identity import Identity
from refute.lock import RunLock
from refute.model_facts import ModelFacts
from refute.outcome import Record, RunClass
from refute.predicate_inputs import Inputs
from refute.release import Closed, Sha256
from refute.verdict import Verdict
from refute.waiver import MalformedWaiver, Waiver


class SpecText(Closed):
    """A specification as it was judged: its raw text and the SHA-256 of that text."""

    id: str
    name: str
    sha256: Sha256
    text: str


class PolicyText(Closed):
    """The policy that said who may waive."""

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


class FalsifierOrigin(Closed):
    """A falsifier as it was registered: its file, what it declares, its package; a repository's own file has none.

    `contracts` are those that name a module behind it or its evidence (docs/contracts.md).
    """

    code_sha256: Sha256
    needs: tuple[str, ...]
    controls: tuple[str, ...]
    package: str | None
    version: str | None
    contracts: tuple[str, ...] = ()


class RunFacts(Closed):
    """How the run was made. `versions` maps distribution names to versions; times are RFC 3339, UTC.

    `falsifiers` has every falsifier that was registered, used or not.
    """

    id: str
    started_at: str
    argv: tuple[str, ...]
    pytest_environment: dict[str, str]
    plugins: dict[str, str]
    python: str
    platform: str
    cpus: int
    versions: dict[str, str]
    falsifiers: dict[str, FalsifierOrigin] = Field(default_factory=dict)


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


class CitedVerdict(Closed):
    """Another release's signed GO that this one demanded, as it was verified before the first experiment.

    Digests are of payloads, `key_id`s of the keys that signed: the verdict, and the consumer's attestation of it.
    """

    release: str
    payload_sha256: Sha256
    subject_sha256: Sha256
    key_id: Sha256
    consumer_payload_sha256: Sha256 | None = None
    consumer_key_id: Sha256 | None = None


class Exhibits(Closed):
    """What a report shows beyond the records; all of it read from evidence, none of it judged."""

    sections: tuple[Section, ...] = ()
    curves: tuple[Curve, ...] = ()
    grids: tuple[Grid, ...] = ()
    prompts: tuple[Prompt, ...] = ()


class Predicate(Closed):
    """The signed content. `evidence` maps experiment names to {file name: SHA-256}.

    `lock` is the pre-registration that the run was started under, `lock_keys` the public keys (PEM) that were trusted
    to sign it; whether it held is in `verdict.preregistration`. `requires` are the verdicts that came first.
    `remeasured`: the judge had every falsifier measure again, apart from pytest, before it ruled.
    """

    verdict: Verdict
    identity: Identity
    coverage: Coverage
    subject: Subject
    model: ModelFacts | None
    release: ReleaseText
    specs: tuple[SpecText, ...]
    records: tuple[Record, ...]
    record_faults: tuple[str, ...] = ()
    policy: PolicyText | None = None
    waivers: tuple[Waiver, ...] = ()
    malformed_waivers: tuple[MalformedWaiver, ...] = ()
    evidence: dict[str, dict[str, Sha256]]
    run: RunFacts
    signer: Signer
    evaluated_at: str
    verifier: str
    verifier_version: str
    lock: RunLock | None = None
    lock_keys: tuple[str, ...] = ()
    requires: tuple[CitedVerdict, ...] = ()
    inputs: Inputs = Inputs()
    remeasured: bool = False
    exhibits: Exhibits = Exhibits()
