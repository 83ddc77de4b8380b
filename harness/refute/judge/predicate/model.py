"""The predicate of a signed verdict: every fact that a reader or a verifier may use, and nothing else.

The texts of spec and release travel inside, so that `refute verify` can judge again from this file
alone; a report is rendered from a predicate and from nothing besides.
"""

from __future__ import annotations

from pydantic import Field

from refute.evidence.process.provenance import MadeBy
from refute.judge.predicate.coverage import Coverage
from refute.judge.predicate.engine import Engine
from refute.judge.predicate.exhibits import Exhibits
from refute.judge.predicate.identity import Identity
from refute.judge.predicate.inputs import Inputs
from refute.judge.run.facts import CitedVerdict, Contained, RunFacts, Signer
from refute.judge.subject import ModelFacts, Subject
from refute.judge.verdict import Verdict
from refute.lock.model import RunLock
from refute.outcome import Record
from refute.spec.fields import Closed, Sha256
from refute.spec.texts import PolicyText, ReleaseText, SpecText
from refute.spec.waiver import MalformedWaiver, Waiver


class Predicate(Closed):
    """The signed content. `evidence` maps experiment names to {file name: SHA-256}.

    `made_by` says of what a process made what that process was, by experiment.
    `lock` is the pre-registration that the run was started under, `lock_keys` the public keys (PEM) that were trusted
    to sign it; whether it held is in `verdict.preregistration`. `requires` are the verdicts that came first.
    `remeasured`: the judge had every falsifier measure again, apart from pytest, before it ruled.
    `engine`: the refute that did. `contained`: what code of the repository could reach of the machine that it ran on.
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
    made_by: dict[str, MadeBy] = Field(default_factory=dict)
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
    contained: Contained = Contained()
    engine: Engine | None = None
    exhibits: Exhibits = Exhibits()
