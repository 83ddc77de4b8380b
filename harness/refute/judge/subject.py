"""The subject of a verdict: the model or file that it is about, staged as `subject/` in the run folder and hashed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from refute.attest import SIGNATURE_FILE, ModelManifest, Resource, hash_model, read_model_signature
from refute.disk import file_sha256, link_or_copy, read_regular
from refute.errors import VerificationError
from refute.judge.run.folder import EvidenceLine, RunFile, RunFolder
from refute.spec.fields import Closed, Sha256
from refute.spec.release import GgufModel, Release

FOLDER = "subject"


@dataclass(frozen=True, slots=True)
class StagedSubject:
    """The subject, its files, and what is wrong with them: sentences that no verdict can pass over."""

    subject: Subject
    model: ModelFacts | None
    faults: tuple[str, ...] = ()


def stage_subject(
    run_file: RunFile, release: Release, lines: Mapping[str, EvidenceLine], run: RunFolder
) -> StagedSubject:
    """The subject that `release` names, from its evidence in `lines`; without that, the release file itself.

    A model folder is told by its `model/` folder, or by having several files; a finished student may be one file of
    GGUF. Raises as `hash_model`.
    """
    line = lines.get(release.subject or "")
    if line is None:
        missing = f"the release's subject {release.subject!r} is not among this run's evidence"
        subject = Subject(kind="release_file", name=no_model_name(release), sha256=run_file.release.sha256)
        return StagedSubject(subject, None, (missing,) if release.subject is not None else ())
    folder = run.path / FOLDER
    model = _copy(line, folder) and not _is_one_file(release)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(files) == 1 and not model:
        manifest = hash_model(files[0])
        subject = Subject(kind="evidence_file", name=files[0].name, sha256=file_sha256(files[0]))
        return StagedSubject(subject, model_facts(manifest))
    manifest = hash_model(folder)
    subject = Subject(
        kind="model_folder",
        name=release.subject or "",
        sha256=manifest.root_digest,
        manifest_sha256=manifest.manifest_digest,
    )
    signature = folder / SIGNATURE_FILE
    if not signature.is_file():
        return StagedSubject(subject, model_facts(manifest))
    fault = file_disagreement(signature, manifest)
    return StagedSubject(subject, model_facts(manifest, file_sha256(signature)), (fault,) if fault else ())


def _is_one_file(release: Release) -> bool:
    return release.student is not None and isinstance(release.student.model, GgufModel)


def no_model_name(release: Release) -> str:
    """What a verdict about the release file alone calls it."""
    return f"{release.release} (no model was produced)" if release.subject else release.release


def file_disagreement(signature: Path, manifest: ModelManifest) -> str:
    """`disagreement` of what the file `signature` holds; or why that is none."""
    try:
        return disagreement(read_regular(signature), manifest)
    except OSError as error:
        return f"the signature beside the model cannot be read: {error.strerror or error}"


def disagreement(signature: bytes, manifest: ModelManifest) -> str:
    """What a `model.sig` says otherwise than `manifest`; empty when both list the same files. Checks no signature."""
    try:
        root, signed = read_model_signature(signature)
    except VerificationError as error:
        return f"the signature beside the model cannot be compared: {error}"
    if root == manifest.root_digest and signed.resources == manifest.resources:
        return ""
    ours, theirs = manifest.as_mapping(), signed.as_mapping()
    differing = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    named = ", ".join(differing[:4]) or "the order of its files"
    return (
        f"the {SIGNATURE_FILE} beside the model is about digest {root}, not {manifest.root_digest};"
        f" it differs in {named}"
    )


def _copy(line: EvidenceLine, folder: Path) -> bool:
    """Link or copy the subject's files into an empty `folder`; whether they came from a `model/` folder."""
    model = {name.removeprefix("model/") for name in line.files if name.startswith("model/")}
    source = Path(line.folder) / "model" if model else Path(line.folder)
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    for file in sorted(model or line.files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(source / file, folder / file)
    return bool(model)


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


class Subject(Closed):
    """What the verdict is about. `model_folder`: OpenSSF model-signing root digest, with the manifest digest
    that also binds the file names. `evidence_file`: a file's SHA-256. `release_file`: no model was produced."""

    kind: Literal["model_folder", "evidence_file", "release_file"]
    name: str
    sha256: Sha256
    manifest_sha256: Sha256 | None = None


def subject_files(files: Mapping[str, str]) -> dict[str, str]:
    """The files of a piece of evidence that are the subject: those below `model/`, or else all of them."""
    model = {name.removeprefix("model/"): digest for name, digest in files.items() if name.startswith("model/")}
    return model or dict(files)
