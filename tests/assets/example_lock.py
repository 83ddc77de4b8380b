"""A lock of the scaffolded example."""

from __future__ import annotations

from pathlib import Path

from refute.attest import PrivateKey
from refute.falsifier.loading import load_registry
from refute.lock.make import lock_release
from refute.spec.selection import select


def lock_example(root: Path, key: PrivateKey) -> Path:
    """Of the repository at `root`, signed by `key`: root/lock.json."""
    release, specs = select(root / "specs/releases/example.yaml", [root / "specs"])
    return lock_release(release, specs, load_registry([root / "falsifiers"]), key, out=root / "lock.json").path
