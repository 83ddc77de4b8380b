"""The subject file by file, so that a reader without this program can hash it again and name what differs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from refute.attest import ModelManifest, Resource
from refute.release import Closed, Sha256


class Serialization(Closed):
    """How files become a root digest, in the words of OpenSSF Model Signing."""

    method: Literal["files"]
    hash_type: Literal["sha256"]
    allow_symlinks: Literal[False]
    ignore_paths: tuple[str, ...]


class ModelFile(Closed):
    """One file: its path below the model folder with `/` (a lone file is `.`), and its SHA-256."""

    name: str
    sha256: Sha256


class ModelFacts(Closed):
    """Every file of the subject in canonical order, and the two digests that follow from them.

    `root_sha256` is what `model.sig` has as its subject, `manifest_sha256` binds the names too.
    `signature_sha256` is of the `model.sig` that lay beside the files, if one did.
    """

    serialization: Serialization
    files: Annotated[tuple[ModelFile, ...], Field(min_length=1)]
    root_sha256: Sha256
    manifest_sha256: Sha256
    signature_sha256: Sha256 | None = None


def model_facts(manifest: ModelManifest, signature_sha256: str | None = None) -> ModelFacts:
    """What `manifest` says, as data for a predicate."""
    return ModelFacts.model_validate(
        {
            "serialization": manifest.serialization(),
            "files": tuple(ModelFile(name=each.name, sha256=each.sha256) for each in manifest.resources),
            "root_sha256": manifest.root_digest,
            "manifest_sha256": manifest.manifest_digest,
            "signature_sha256": signature_sha256,
        }
    )


def manifest_of(facts: ModelFacts) -> ModelManifest:
    """The manifest that the files of `facts` make, in the order given."""
    return ModelManifest(tuple(Resource(each.name, each.sha256) for each in facts.files))
