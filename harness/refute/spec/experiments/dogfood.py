"""Configurations of what refute finds out about itself."""

from __future__ import annotations

from refute.spec.fields import Closed


class ProbesConfig(Closed):
    """What enters `probe_all`: nothing. What is probed is refute's own source, and all of that is in the key."""
