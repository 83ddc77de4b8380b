"""Texts that people wrote, as a verdict quotes them: name, SHA-256 and the text itself."""

from __future__ import annotations

from refute.outcome import RunClass
from refute.spec.fields import Closed, Sha256


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
