"""Compare the model that a reader holds with the one that was judged, file by file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from refute.attest import SIGNATURE_FILE, ModelManifest, hash_model
from refute.errors import StaleVerdictError, UnreadableInputError, VerificationError
from refute.judge.predicate.model import Predicate
from refute.judge.subject import ModelFacts, file_disagreement, manifest_of
from refute.spec.experiments.evidence_files import RELEASED, STAGED
from refute.spec.files import parse_release

_NAMED = 4


def check_model(predicate: Predicate, path: Path, ignored: Sequence[str] = ()) -> list[str]:
    """What was checked of the model folder or file at `path`, in words.

    Files `ignored` (their paths below the folder) may have been added since, and so may those that the release names;
    one that was judged is compared all the same. A published model has beside it what its gate staged, to the byte.

    Raises StaleVerdictError, naming files, when it is not the one that was judged; VerificationError when it has no
    unambiguous digest, or when a `model.sig` beside it speaks of other files; UnreadableInputError when it cannot be
    read.
    """
    subject, model = predicate.subject, predicate.model
    if model is None:
        raise StaleVerdictError("the verdict is about no model: none was produced when it was made", cause="subject")
    folder = subject.kind == "model_folder"
    if path.is_dir() is not folder:
        raise _other_kind(path, subject.name, folder=folder)
    found, judged = hash_model(path), manifest_of(model).as_mapping()
    allowed = parse_release(predicate.release.text, predicate.release.name).may_be_added
    new = [each.name for each in found.resources if each.name not in judged]
    staged = _staged(predicate)
    published = [each.name for each in found.resources if each.name in new and staged.get(each.name) == each.sha256]
    added = [name for name in new if name not in published and (name in allowed or name in ignored)]
    manifest = ModelManifest(tuple(each for each in found.resources if each.name not in {*published, *added}))
    if manifest.resources != manifest_of(model).resources:
        what = "the file names" if manifest.root_digest == model.root_sha256 else "the files"
        raise StaleVerdictError(
            f"{what} of {path} are not those that were judged ({_differences(manifest, model)}): digest"
            f" {manifest.root_digest}, the verdict is about {model.root_sha256}",
            hint="this verdict says nothing about that model",
            cause="subject",
        )
    checks = [f"model {path.name} is the one that was judged ({subject.sha256[:12]}…)"]
    checks += [f"staged by the gate that judged it, to the byte: {', '.join(published)}"] if published else []
    checks += [f"added since, {_excuse(name, allowed)}: {name}" for name in added]
    signature = path / SIGNATURE_FILE
    if folder and signature.is_file():
        if fault := file_disagreement(signature, found):
            raise VerificationError(fault, hint="sign the model again", cause="model_signature")
        checks.append(f"{SIGNATURE_FILE} is about the same files; who signed it was not checked")
    return checks


def _other_kind(path: Path, name: str, *, folder: bool) -> UnreadableInputError | StaleVerdictError:
    """A file in the place of a `folder`, the other way round, or nothing."""
    if not path.exists():
        return UnreadableInputError(f"cannot read the model {path}: there is nothing")
    kind, inside = "the model folder" if folder else "the file", path / name
    hint = f"name the file itself: {inside}" if not folder and inside.is_file() else ""
    return StaleVerdictError(f"the verdict is about {kind} {name}, which {path} is not", hint=hint, cause="subject")


def _staged(predicate: Predicate) -> dict[str, str]:
    """SHA-256 by path of what the gate has staged beside the model, such as its card."""
    inside = f"{RELEASED.name}/"
    files = predicate.evidence.get(STAGED, {})
    return {name.removeprefix(inside): digest for name, digest in files.items() if name.startswith(inside)}


def _excuse(name: str, allowed: Sequence[str]) -> str:
    return "as the release allows" if name in allowed else "and ignored as you asked"


def _differences(found: ModelManifest, judged: ModelFacts) -> str:
    """The first files that are new, missing or changed: `config.json changed, 3 more`."""
    ours, theirs = found.as_mapping(), manifest_of(judged).as_mapping()
    named = [
        f"{name} {'is new' if name not in theirs else 'is missing' if name not in ours else 'changed'}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    rest = [f"{len(named) - _NAMED} more"] if len(named) > _NAMED else []
    return ", ".join(named[:_NAMED] + rest)
