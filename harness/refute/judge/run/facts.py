"""Facts of a run that a verdict repeats: how pytest was called, who signs, which verdicts were required."""

from __future__ import annotations

from pydantic import Field

from refute.falsifier.origins import FalsifierOrigin
from refute.isolation.containment import Containment
from refute.spec.fields import Closed, Sha256


class RunFacts(Closed):
    """How the run was made. `versions` maps distribution names to versions; times are RFC 3339, UTC.

    `falsifiers` has every falsifier that was registered, used or not. `evidence_needs` says of every planned evidence
    which other it is made of. `hooks` are start-up hooks from outside the interpreter's folders that ran in pytest.
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
    evidence_needs: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    hooks: tuple[str, ...] = ()


class Contained(Closed):
    """How code of the repository was contained: in pytest, as the gate that started it says, and in the process that
    measured again, as the judge does."""

    pytest: Containment = Containment.NONE
    remeasured: Containment = Containment.NONE

    @property
    def least(self) -> Containment:
        """What holds for both."""
        return self.pytest if self.remeasured.reaches(self.pytest) else self.remeasured

    @property
    def sentence(self) -> str:
        """Both, in words."""
        return f"the repository's code was contained: {self.pytest} in pytest, {self.remeasured} when measured again"


class Signer(Closed):
    """Which key signed. A development key was made on this machine on first use and vouches for nobody."""

    key_id: str
    development: bool


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
