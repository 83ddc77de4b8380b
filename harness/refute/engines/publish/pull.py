"""A release as a stranger gets it: pulled by its commit into an empty place, and every file hashed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from huggingface_hub import snapshot_download

from refute.engines.publish.hub import HubRepository
from refute.engines.publish.manifest import check_against
from refute.spec.experiments.evidence.publication import StagedFile

FILES, _CACHE = "files", "cache"


def pull(hub: HubRepository, commit: str, folder: Path) -> Path:
    """Download every file of `commit` into the empty `folder`; where they lie. Raises PublishingError."""
    files = folder / FILES

    def download() -> str:
        return snapshot_download(
            hub.repo,
            revision=commit,
            local_dir=files,
            cache_dir=folder / _CACHE,
            endpoint=hub.endpoint,
            token=hub.token,
            max_workers=2,
        )

    hub.read("give its files", download)
    return files


def pull_and_check(
    hub: HubRepository, commit: str, staged: Sequence[StagedFile], scratch: Path, told: Callable[[int], None]
) -> None:
    """Pull `commit` below `scratch` and throw it away again.

    Raises VerificationError where that is not exactly what was staged, PublishingError where it cannot be had.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        check_against(pull(hub, commit, Path(folder)), staged, told, what=f"{hub.repo}@{commit}")
