"""The evidence that a run noted, every file of it hashed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from refute.disk import file_sha256
from refute.evidence.manifest import manifest_digest
from refute.evidence.process.provenance import MadeBy
from refute.evidence.store import Store
from refute.evidence.store.opening import open_store
from refute.judge.run.folder import EvidenceLine, RunFolder


@dataclass(frozen=True, slots=True)
class HashedEvidence:
    """Evidence by name: all that was `noted`, and a sentence in `damage` for each that is not as it was noted."""

    noted: Mapping[str, EvidenceLine]
    damage: Mapping[str, str]

    @property
    def sound(self) -> dict[str, EvidenceLine]:
        """What is as it was noted."""
        return {name: line for name, line in self.noted.items() if name not in self.damage}

    @property
    def files(self) -> dict[str, dict[str, str]]:
        """SHA-256 by file for each sound piece, in the order of names: what a verdict lists."""
        return {name: dict(line.files) for name, line in sorted(self.sound.items())}

    @property
    def made_by(self) -> dict[str, MadeBy]:
        """What made each sound piece that was made by a process, in the order of names."""
        return {name: line.made_by for name, line in sorted(self.sound.items()) if line.made_by is not None}


def hash_evidence(run: RunFolder, store: str | Path | None) -> HashedEvidence:
    """Hash what `run` noted, where it noted it or, such as on another machine, in `store`.

    Raises UnreadableInputError where evidence.jsonl cannot be read, VerificationError where it contradicts itself,
    EvidenceError where `store` does not hold what it names.
    """
    noted = run.read_evidence()
    if store is not None:
        opened = open_store(store)
        noted = {name: _found_in(opened, line) for name, line in noted.items()}
    return HashedEvidence(noted, {name: fault for name, line in noted.items() if (fault := _damage(line))})


def _found_in(store: Store, line: EvidenceLine) -> EvidenceLine:
    return line.model_copy(update={"folder": str(store.view(line.name, line.files))})


def _damage(line: EvidenceLine) -> str:
    """What is wrong with a piece of evidence; empty when it is what was recorded."""
    if manifest_digest(line.files) != line.digest:
        return f"the manifest of evidence {line.name!r} does not give its digest {line.digest}"
    for file, digest in sorted(line.files.items()):
        path = Path(line.folder) / file
        found = file_sha256(path) if path.is_file() else "nothing"
        if found != digest:
            return f"evidence {line.name}/{file} should have SHA-256 {digest}, found {found}"
    return ""
