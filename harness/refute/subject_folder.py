"""Lays out what a verdict is about as `subject/` in the run folder, hashed anew, so that anyone can hash it again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from refute.attest import SIGNATURE_FILE, ModelManifest, file_digest, hash_model, read_model_signature
from refute.errors import VerificationError
from refute.evidence import link_or_copy
from refute.model_facts import ModelFacts, model_facts
from refute.predicate import Subject
from refute.release import Release
from refute.run_folder import EvidenceLine, RunFile, RunFolder

FOLDER = "subject"


@dataclass(frozen=True, slots=True)
class LaidOut:
    """The subject, its files, and what is wrong with them: sentences that no verdict can pass over."""

    subject: Subject
    model: ModelFacts | None
    faults: tuple[str, ...] = ()


def lay_out_subject(asked: RunFile, release: Release, lines: Mapping[str, EvidenceLine], run: RunFolder) -> LaidOut:
    """The subject that `release` names, from its evidence in `lines`; without that, the release file itself.

    A model folder is told by its `model/` folder, or by having several files. Raises as `hash_model`.
    """
    line = lines.get(release.subject or "")
    if line is None:
        missing = f"the release's subject {release.subject!r} is not among this run's evidence"
        subject = Subject(kind="release_file", name=no_model_name(release), sha256=asked.release.sha256)
        return LaidOut(subject, None, (missing,) if release.subject is not None else ())
    folder = run.path / FOLDER
    model = _copy(line, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(files) == 1 and not model:
        manifest = hash_model(files[0])
        subject = Subject(kind="evidence_file", name=files[0].name, sha256=file_digest(files[0]))
        return LaidOut(subject, model_facts(manifest))
    manifest = hash_model(folder)
    subject = Subject(
        kind="model_folder",
        name=release.subject or "",
        sha256=manifest.root_digest,
        manifest_sha256=manifest.manifest_digest,
    )
    signature = folder / SIGNATURE_FILE
    if not signature.is_file():
        return LaidOut(subject, model_facts(manifest))
    fault = disagreement(signature.read_bytes(), manifest)
    return LaidOut(subject, model_facts(manifest, file_digest(signature)), (fault,) if fault else ())


def no_model_name(release: Release) -> str:
    """What a verdict about the release file alone calls it."""
    return f"{release.release} (no model was produced)" if release.subject else release.release


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
