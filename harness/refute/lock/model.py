"""What a lock promises: the content of a signed pre-registration. Frozen models; nothing is read or compared here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from refute.outcome import Change, Outcome
from refute.spec.criteria import Spec
from refute.spec.fields import Closed, Positive, Sha256
from refute.spec.release import Release

UtcMoment = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")]


class LockedRelease(Closed):
    """A release file: SHA-256 of its text, and what the text says."""

    sha256: Sha256
    content: Release


class LockedSpec(Closed):
    """A specification: SHA-256 of its text, and what the text says.

    Every bar in it is a prediction with its direction: `holds_if` is what is expected to be measured.
    """

    sha256: Sha256
    content: Spec


class LockedFalsifier(Closed):
    """The code of a falsifier: `file` defines it, `folder` is everything beside it; its controls by name."""

    file: Sha256
    folder: Sha256
    controls: dict[str, Outcome]


class Facts(Closed):
    """What can only be found on the machine: digests of code and inputs.

    `inputs` maps places in the release to the SHA-256 of what lies there, or for the standard library as a
    corpus to the interpreter's version. `falsifiers` are those that the specs use.
    """

    engine: Sha256
    falsifiers: dict[str, LockedFalsifier]
    inputs: dict[str, str]


class Promise(Closed):
    """Everything that must stay as it is between lock and run."""

    release: LockedRelease
    specs: tuple[LockedSpec, ...]
    facts: Facts
    policy: Sha256 | None = None


class Lock(Closed):
    """The predicate of a signed lock.

    `predecessor` is the payload digest of the lock that this one replaces, `sequence` counts them from 1.
    `relaxed` lists, over all of them, what was demanded less than in the lock before. `known_before` names evidence of
    this release that the store held already when the lock was made.
    """

    promise: Promise
    locked_at: UtcMoment
    sequence: Positive
    predecessor: Sha256 | None
    relaxed: tuple[Change, ...] = ()
    known_before: tuple[str, ...] = ()
    verifier_version: str


class RunLock(Closed):
    """The lock that a run was started under: its signed envelope, and what the run found in its place.

    `name` is the file it was read from, and only informs. `timestamp` is what a timestamp authority answered about the
    envelope's UTF-8 bytes (RFC 3161, in base64), empty without; nothing that this run says makes it true.
    """

    name: str
    envelope: str
    facts: Facts
    timestamp: str = Field(default="", pattern=r"^[A-Za-z0-9+/]*={0,2}$", max_length=1 << 20)
