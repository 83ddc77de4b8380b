"""Configurations of the publication's experiments."""

from __future__ import annotations

from refute.spec.fields import Closed, Positive, ReleaseId
from refute.spec.publication import Publication


class StageConfig(Closed):
    """What enters `stage`: what the release says of its publication, and which release it is."""

    release: ReleaseId
    publication: Publication


class GenerationsConfig(Closed):
    """What enters `try_both_generations`: on how many threads each of them computes."""

    threads: Positive


class RehearseConfig(Closed):
    """What enters `rehearse`: where the release says that it is published, for a hub on this machine to take its name.

    A real hub may not be asked by a gate: `refute publish push` goes there, by the same steps.
    """

    publication: Publication
