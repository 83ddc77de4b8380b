"""Configurations of the publication's experiments."""

from __future__ import annotations

from refute.spec.fields import Closed, Positive, ReleaseId
from refute.spec.publication import Publication


class StageConfig(Closed):
    """What enters `stage`: the publication of which release, and where the text of its licence lies."""

    release: ReleaseId
    publication: Publication
    licence_path: str


class GenerationsConfig(Closed):
    """What enters `try_both_generations`: on how many threads each of them computes."""

    threads: Positive


class RehearseConfig(Closed):
    """What enters `rehearse`: where the release says that it is published, for a hub on this machine to take its name.

    A real hub may not be asked by a gate: `refute publish push` goes there, by the same steps.
    """

    publication: Publication


class LintStagedConfig(Closed):
    """What enters `lint_staged`: nothing but what was staged."""


class SignConfig(Closed):
    """What enters `sign`: nothing but what was staged."""
