"""`refute rerun --challenge`: verify the verdict, audit it again, sign what was found."""

from __future__ import annotations

import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path

from refute.attest import key_id, public_pem
from refute.attest.signing_key import open_signing_key, read_public_key
from refute.disk import create_file, writing
from refute.errors import UsageError
from refute.evidence.laboratory import Watcher
from refute.falsifier.loading import load_registry
from refute.judge.predicate.engine import identify_engine
from refute.spec.fields import utc_now
from refute.spec.files import load_release
from refute.verify.challenge.measure import measure_again, under_its_own_name
from refute.verify.challenge.statement import Challenge, default_path, sign_challenge
from refute.verify.sign_off.statement import facts_of
from refute.verify.verification import Verified, has_signed, naming, read_verdict, verify_verdict


@dataclass(frozen=True, slots=True)
class ChallengeRequest:
    """What the caller asks for: `key` signs and is a PEM file or a URI; `verdict_keys` are trusted for the verdict."""

    verdict: Path
    release: Path
    store: str
    key: str
    public_key: Path | None
    passphrase_file: Path | None
    verdict_keys: tuple[Path, ...]
    lock_keys: tuple[Path, ...]
    falsifiers: tuple[Path, ...]
    out: Path | None


@dataclass(frozen=True, slots=True)
class WrittenChallenge:
    """A challenge on disk."""

    path: Path
    challenge: Challenge
    verdict_sha256: str


def make_challenge(request: ChallengeRequest, watcher: Watcher) -> WrittenChallenge:
    """Verify, measure again, sign, write.

    Raises UsageError for a key that signed the verdict, another release, a verdict without audits, and where a file is
    in the way; VerificationError for a verdict, lock or evidence that does not verify; and as `measure_again` does.
    """
    envelope = read_verdict(request.verdict)
    verified = _verified(request, envelope)
    key = open_signing_key(request.key, request.public_key, request.passphrase_file)
    if has_signed(public_pem(key), verified, envelope):
        raise UsageError(
            f"this key ({key_id(public_pem(key))[:16]}…) signed the verdict, and nobody challenges himself",
            hint="use a key of your own",
        )
    predicate = verified.predicate
    release = under_its_own_name(load_release(request.release), predicate)
    path = request.out or default_path(request.verdict, key)
    if path.exists():
        raise UsageError(f"{path} exists already, and a challenge is never overwritten", hint="name another with --out")
    registry = load_registry(request.falsifiers)
    with tempfile.TemporaryDirectory(prefix="refute-challenge-") as work:
        found = measure_again(predicate, release, request.store, registry, Path(work), watcher)
    challenge = Challenge(
        verdict=facts_of(verified),
        result=found.result,
        again=found.again,
        records=found.records,
        platform=platform.platform(),
        engine=identify_engine(),
        signed_at=utc_now(),
    )
    with writing(path, hint="make room, or name another file with --out"):
        create_file(path, sign_challenge(challenge, verified.payload_sha256, key), 0o644)
    return WrittenChallenge(path, challenge, verified.payload_sha256)


def _verified(request: ChallengeRequest, envelope: bytes) -> Verified:
    trusted, locks = ([read_public_key(path) for path in keys] for keys in (request.verdict_keys, request.lock_keys))
    with naming(request.verdict):
        return verify_verdict(envelope, trusted, lock_keys=locks, store=request.store)
