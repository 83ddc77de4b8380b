"""The evidence key: the digest of everything that enters an experiment, under which its evidence is filed.

That is configuration, input files, evidence that it builds on, the source that its entry reaches, versions and contents
of libraries, variables that change numbers, Python, machine type. Of a file it holds the digest, and not where it was
found.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from refute.disk import file_sha256
from refute.evidence.experiment import Configure, Experiment, FromEvidence, Located
from refute.evidence.manifest import manifest_digest
from refute.evidence.process.environment import extra_folders, numeric_variables
from refute.evidence.process.installed import content_of
from refute.evidence.reach import entry_digest

# What can change a number, everything that computes, tokenises or reads weights; and what a release is published by.
LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "gguf", "numpy", "huggingface_hub")


def key_of(experiment: Experiment, evidence: Mapping[str, str]) -> str:
    """The evidence key: `evidence` maps the names in `needs` to their manifest digests.

    Raises FileNotFoundError where the module of its entry is nowhere, and what digests of its files raise.
    """
    entering = {
        "experiment": experiment.name,
        "entry": experiment.entry,
        "config": config_for_key(experiment.config),
        "evidence": dict(sorted(evidence.items())),
        "source": entry_digest(experiment.entry) if experiment.entry else None,
        "environment": environment() if experiment.entry else {},
        "variables": numeric_variables(os.environ) if experiment.entry else {},
        "extra_path": extra_path_digests(os.environ) if experiment.entry else (),
    }
    return hashlib.sha256(json.dumps(entering, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def config_for_key(config: Configure) -> dict[str, object]:
    """As JSON data, with digests where files stand. That of evidence enters the key beside the configuration."""

    def digest(place: Located | FromEvidence) -> str:
        return place.digest() if isinstance(place, Located) else f"{place.name}/{place.file}"

    return config(digest).model_dump(mode="json")


@cache
def environment() -> dict[str, str]:
    """Versions, contents and machine type that enter every key."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": sys.platform}
    return found | {name: content_of(name) for name in LIBRARIES}


def extra_path_digests(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Of each folder with engines of one's own, the digest of its Python files by name and content."""
    return tuple(
        manifest_digest({str(path.relative_to(folder)): file_sha256(path) for path in sorted(folder.rglob("*.py"))})
        for folder in map(Path, extra_folders(environment))
    )
