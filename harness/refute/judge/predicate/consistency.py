"""What a predicate says twice must agree: identity, coverage, packages and model files against texts and records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from refute.attest import SIGNATURE_FILE, is_left_out
from refute.judge.predicate.coverage import cover
from refute.judge.predicate.exhibits import Exhibits
from refute.judge.predicate.identity import identify
from refute.judge.predicate.inputs import Inputs
from refute.judge.predicate.model import Predicate
from refute.judge.record_check import contradiction, uses_by_id
from refute.judge.subject import ModelFacts, manifest_of, model_facts, no_model_name, subject_files
from refute.spec.criteria import Spec
from refute.spec.fields import contradictory, moment
from refute.spec.release import Release


def check_consistency(predicate: Predicate, specs: Sequence[Spec], release: Release) -> None:
    """Raises VerificationError, naming the group, where a part of `predicate` is not what the others give."""
    _check_identity(predicate, release)
    if predicate.lock_keys and predicate.lock is None:
        raise contradictory("keys were trusted to sign a lock, and there is none")
    shown = Exhibits() if release.dogfood is None else Exhibits(sections=predicate.exhibits.sections)
    if release.distillation is None and (predicate.exhibits, predicate.inputs) != (shown, Inputs()):
        raise contradictory("it shows what a distillation gave, and the release names no distillation")
    if not predicate.made_by.keys() <= predicate.evidence.keys():
        raise contradictory("it says what made evidence that it does not list")
    again = cover(
        specs,
        predicate.records,
        predicate.verdict,
        registered=predicate.run.falsifiers,
        deselected=predicate.coverage.deselected,
    )
    if again != predicate.coverage:
        raise contradictory("the coverage differs from what the signed specs and records give")
    _check_records(predicate, specs)
    _check_packages(predicate)
    _check_model(predicate, release)


def _check_identity(predicate: Predicate, release: Release) -> None:
    evaluated_at = moment(predicate.evaluated_at)
    if moment(predicate.run.started_at, "started_at") > evaluated_at:
        raise contradictory(f"the run started at {predicate.run.started_at}, after it was judged")
    stated = predicate.identity
    try:
        again = identify(
            release,
            predicate.run.id,
            stated.sequence,
            evaluated_at,
            predicate.verdict,
            predicate.waivers,
            predicate.subject.sha256,
        )
    except ValueError as error:
        raise contradictory(str(error)) from error
    if again != stated:
        raise contradictory(
            f"the verdict calls itself {stated.verdict_id!r}, valid until {stated.valid_until}; its run, release and"
            f" time give {again.verdict_id!r} and {again.valid_until}"
        )


def _check_records(predicate: Predicate, specs: Sequence[Spec]) -> None:
    uses = uses_by_id(specs)
    for record in predicate.records:
        if fault := contradiction(record, uses, predicate.run.falsifiers):
            raise contradictory(f"the record of {record.falsifier} {fault}")


def _check_packages(predicate: Predicate) -> None:
    """The package of a falsifier was installed, in that version."""
    for name, origin in sorted(predicate.run.falsifiers.items()):
        installed = None if origin.package is None else predicate.run.versions.get(origin.package, "not at all")
        if installed != origin.version:
            raise contradictory(
                f"falsifier {name!r} is said to be of {origin.package} {origin.version}, installed: {installed}"
            )


def _check_model(predicate: Predicate, release: Release) -> None:
    subject, model = predicate.subject, predicate.model
    if subject.name not in _names(predicate, release):
        raise contradictory(f"the subject is called {subject.name!a}, which the release does not call it")
    if (subject.kind == "release_file") is not (model is None):
        raise contradictory(f"the subject is a {subject.kind}, which contradicts the list of its files")
    if model is not None:
        _check_files(predicate, release, model)
    elif subject.sha256 != predicate.release.sha256:
        raise contradictory("the subject is the release file, but has another digest")


def _check_files(predicate: Predicate, release: Release, model: ModelFacts) -> None:
    """The files of the model give the subject's digests, and are those of its evidence."""
    subject, names = predicate.subject, [each.name for each in model.files]
    if names != sorted(set(names), key=lambda name: name.split("/")):
        raise contradictory("the files of the model are not in canonical order, each once")
    manifest = manifest_of(model)
    folder = subject.kind == "model_folder"
    digests = (manifest.root_digest, manifest.manifest_digest) if folder else (model.files[0].sha256, None)
    if model != model_facts(manifest, model.signature_sha256) or digests != (subject.sha256, subject.manifest_sha256):
        raise contradictory("the files of the model do not give the digests stated beside them")
    files = subject_files(predicate.evidence.get(release.subject or "", {}))
    if folder:
        agree = {name: each for name, each in files.items() if not is_left_out(name)} == manifest.as_mapping()
    else:
        agree = names == ["."] and list(files.values()) == [subject.sha256]
    if not agree:
        raise contradictory(f"the files of the model are not those of the evidence {release.subject!r}")
    if model.signature_sha256 != (files.get(SIGNATURE_FILE) if folder else None):
        raise contradictory(f"the {SIGNATURE_FILE} of the model is not that of the evidence {release.subject!r}")


def _names(predicate: Predicate, release: Release) -> list[str]:
    """What the judge calls a subject of this kind: by the release, by its evidence, or by its only file."""
    if predicate.subject.kind == "release_file":
        return [no_model_name(release)]
    if predicate.subject.kind == "model_folder":
        return [release.subject or ""]
    return [PurePosixPath(name).name for name in subject_files(predicate.evidence.get(release.subject or "", {}))]
