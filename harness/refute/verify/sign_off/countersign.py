"""`refute countersign`: another operator's signature on the same verdict, so that a threshold of two can be met."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from refute.attest import key_id, public_pem
from refute.attest.signing_key import open_signing_key, read_public_key
from refute.disk import write_whole
from refute.errors import UsageError
from refute.judge.predicate.bundle import countersign_bundle
from refute.judge.run.verdict_files import files_of
from refute.spec.fields import utc_now
from refute.spec.policy import OPERATOR, LoadedPolicy
from refute.verify.operators import take_verdict


@dataclass(frozen=True, slots=True)
class CountersignRequest:
    """What the caller asks for. `key` is a PEM file or a URI; `verdict_keys` are trusted for the verdict."""

    verdict: Path
    key: str
    public_key: Path | None
    passphrase_file: Path | None
    verdict_keys: tuple[Path, ...]
    policy: Path | None


@dataclass(frozen=True, slots=True)
class Countersigned:
    """What carries the new signature."""

    files: tuple[Path, ...]
    key_id: str
    payload_sha256: str

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {"files": list(map(str, self.files)), "key_id": self.key_id, "payload_sha256": self.payload_sha256}


def countersign(request: CountersignRequest) -> Countersigned:
    """Verify, then add the signature to the verdict's file and, where it lies beside it, to its bundle.

    What was signed is not changed, so that sign-offs stay good. Raises UsageError without a key that the caller trusts
    for the verdict, for a key that signed already or that the policy does not call an operator's; VerificationError for
    a verdict that does not verify; and as `disk.unwritable` says.
    """
    keys = [read_public_key(path) for path in request.verdict_keys]
    bundle = files_of(request.verdict).bundle
    paths = [request.verdict, *([bundle] if bundle.exists() and bundle != request.verdict else [])]
    found = {path: take_verdict(path, keys, request.policy) for path in paths}
    digests = {each.verified.payload_sha256 for each in found.values()}
    if len(digests) != 1:
        raise UsageError(
            f"{bundle} is the bundle of another verdict", hint="move it away, or name the verdict it is of"
        )
    key = open_signing_key(request.key, request.public_key, request.passphrase_file)
    own_id = key_id(public_pem(key))
    if (policy := found[request.verdict].policy) is not None:
        _refuse_stranger(policy, own_id)
    # What was verified is what is signed, whatever lies there by now.
    signed = {path: countersign_bundle(each.data, key) for path, each in found.items()}
    for path, data in signed.items():
        write_whole(path, data)
    return Countersigned(tuple(signed), own_id, digests.pop())


def _refuse_stranger(policy: LoadedPolicy, own_id: str) -> None:
    """Say now what `refute verify` would say later."""
    own = [each for each in policy.keys_of(OPERATOR) if each.id == own_id]
    if not own:
        raise UsageError(f"the policy does not list this key ({own_id[:16]}…) as {OPERATOR}")
    if fault := own[0].fault_at(utc_now()):
        raise UsageError(f"the key of {own[0].name} {fault}", hint="sign with a key that counts")
