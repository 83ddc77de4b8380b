"""Experiment: sign what was staged as it is signed for its readers, and look at it as they do.

The keys are made for this and forgotten: the one that signs the release is nobody's to lend to a gate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from refute.attest import (
    PAYLOAD_TYPE,
    SIGNATURE_FILE,
    PrivateKey,
    build_statement,
    hash_model,
    key_id,
    open_envelope,
    public_pem,
    read_model_signature,
    read_statement,
    sign_envelope,
    verify_envelope,
    write_sigstore_bundle,
)
from refute.disk import link_or_copy
from refute.engines.publish.lay_out import sign_files
from refute.engines.publish.push import StagedRelease
from refute.engines.publish.rehearsal.trials import small_release
from refute.errors import VerificationError
from refute.job import Job
from refute.spec.experiments.evidence.publication import ReadSignature, SignedFolder, Signing
from refute.spec.experiments.evidence_files import SIGNING, STAGED
from refute.spec.experiments.parsing import parse_config
from refute.spec.experiments.publication import SignConfig
from refute.spec.publication import VERDICT

_STAND_IN = "https://refute.invalid/rehearsed-verdict"


def sign(job: Job) -> None:
    """Write signing.json: the evidence `staged` with a model.sig and a verdict's stand-in beside it, and small releases
    with one fault each, as a reader with the signer's public key finds them."""
    parse_config(SignConfig, job)
    key = ec.generate_private_key(ec.SECP256R1())
    job.progress("sign and read", 0, 1)
    found = _read(_signed(StagedRelease.read(job.inputs[STAGED].folder), job.scratch / "staged", key), key)
    small = small_release(job.scratch / "small")
    bad = {}
    for name, fault in _FAULTS.items():
        folder = _signed(small, job.scratch / name, key)
        fault(folder)
        bad[name] = _read(folder, key)
    bad["another_key"] = _read(
        _signed(small, job.scratch / "another_key", key), ec.generate_private_key(ec.SECP256R1())
    )
    SIGNING.write(job.out, Signing(staged=found, known_bad=bad))


def _signed(release: StagedRelease, folder: Path, key: PrivateKey) -> Path:
    """The release below `folder`, with what signs it."""
    for each in release.files:
        (folder / each.path).parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(release.folder / each.path, folder / each.path)
    statement = build_statement(folder.name, hash_model(folder).root_digest, {}, predicate_type=_STAND_IN)
    envelope = sign_envelope(statement, PAYLOAD_TYPE, [key])
    (folder / VERDICT).write_bytes(write_sigstore_bundle(envelope, key_id(public_pem(key))))
    (folder / SIGNATURE_FILE).write_bytes(sign_files(release.files, folder, (VERDICT,), key))
    return folder


def _read(folder: Path, key: PrivateKey) -> SignedFolder:
    here, files = hash_model(folder), folder / SIGNATURE_FILE
    theirs = read_model_signature(files.read_bytes())[1].as_mapping() if files.is_file() else {}
    ours = here.as_mapping()
    differing = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    signatures = tuple(_read_signature(folder / name, public_pem(key)) for name in (SIGNATURE_FILE, VERDICT))
    return SignedFolder(digest=here.root_digest, files=len(ours), signatures=signatures, differing=tuple(differing))


def _read_signature(file: Path, key: bytes) -> ReadSignature:
    try:
        payload = verify_envelope(open_envelope(file.read_bytes()), [key])
        about = read_statement(*payload, predicate_type=None).subject_sha256
    except (OSError, VerificationError) as error:
        return ReadSignature(file=file.name, failed=str(error), about=None)
    return ReadSignature(file=file.name, failed=None, about=about)


def _changed_file(folder: Path) -> None:
    """The same size, other bytes; a file of its own, for the others are links."""
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(data[:-1] + b"!")


def _missing_file(folder: Path) -> None:
    (folder / "config.json").unlink()


def _missing_signature(folder: Path) -> None:
    (folder / SIGNATURE_FILE).unlink()


def _missing_verdict(folder: Path) -> None:
    (folder / VERDICT).unlink()


_FAULTS: Mapping[str, Callable[[Path], None]] = {
    each.__name__.removeprefix("_"): each
    for each in (_changed_file, _missing_file, _missing_signature, _missing_verdict)
}
