"""`refute sign-off`: verify the verdict, sign the decision, write it beside the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refute.attest import key_id, public_pem, write_sigstore_bundle
from refute.attest.signing_key import open_signing_key, read_public_key
from refute.errors import UsageError
from refute.spec.fields import utc_now
from refute.spec.policy import OPERATOR, LoadedPolicy
from refute.verify.operators import take_verdict
from refute.verify.sign_off.statement import Decision, default_path, sign_off_verdict, write_sign_off


@dataclass(frozen=True, slots=True)
class SignOffRequest:
    """What the caller asks for. `key` is a PEM file or a URI; `verdict_keys` are trusted for the verdict.

    `sigstore`: the sign-off is to be a Sigstore bundle.
    """

    verdict: Path
    role: str
    decision: Decision
    note: str
    key: str
    public_key: Path | None
    passphrase_file: Path | None
    verdict_keys: tuple[Path, ...]
    policy: Path | None
    out: Path | None
    sigstore: bool


@dataclass(frozen=True, slots=True)
class WrittenSignOff:
    """A sign-off on disk; `lacking` says how many consumers the policy still demands beside it."""

    path: Path
    role: str
    decision: str
    key_id: str
    verdict_sha256: str
    lacking: str

    def as_json(self) -> dict[str, str]:
        """For programs."""
        return {
            "sign_off": str(self.path),
            "role": self.role,
            "decision": self.decision,
            "key_id": self.key_id,
            "payload_sha256": self.verdict_sha256,
            "lacking": self.lacking,
        }


def make_sign_off(request: SignOffRequest) -> WrittenSignOff:
    """Verify, sign, write.

    Raises UsageError without a key that the caller trusts for the verdict, for a key that the policy does not accept
    in this role, for the approval of a NO-GO, and where a file is in the way; VerificationError for a verdict that does
    not verify.
    """
    taken = take_verdict(request.verdict, [read_public_key(path) for path in request.verdict_keys], request.policy)
    verified, policy = taken.verified, taken.policy
    key = open_signing_key(request.key, request.public_key, request.passphrase_file)
    own_id = key_id(public_pem(key))
    if request.decision == "withdraw":
        _require_operator(own_id, taken.trusted)
    elif own_id == verified.predicate.signer.key_id:
        raise UsageError("this key signed the verdict; who runs a gate cannot review it", hint="use a key of your own")
    elif policy is not None:
        _refuse_stranger(policy, request.role, own_id)
    signed = sign_off_verdict(
        verified, key, role=request.role, decision=request.decision, note=request.note, at=utc_now()
    )
    path = request.out or default_path(request.verdict, request.role, key, sigstore=request.sigstore)
    write_sign_off(path, write_sigstore_bundle(signed, own_id) if request.sigstore else signed)
    return WrittenSignOff(path, request.role, request.decision, own_id, verified.payload_sha256, taken.lacking)


def _require_operator(own_id: str, operators: Sequence[bytes]) -> None:
    if own_id not in map(key_id, operators):
        raise UsageError(
            f"this key ({own_id[:16]}…) is none that you trust for the verdict, and only such a key withdraws it",
            hint="a reviewer rejects: --decision reject",
        )


def _refuse_stranger(policy: LoadedPolicy, role: str, own_id: str) -> None:
    """Say now what `refute verify` would say later."""
    if role not in policy.policy.reviewing_roles:
        raise UsageError(f"{role!r} is no role that reviews; there are: {', '.join(policy.policy.reviewing_roles)}")
    if own_id in {key.id for key in policy.keys_of(OPERATOR)}:
        raise UsageError("this key is an operator's, who cannot review", hint="use a key of your own")
    own = [key for key in policy.keys_of(role) if key.id == own_id]
    if not own:
        raise UsageError(f"the policy does not list this key ({own_id[:16]}…) as {role}")
    if fault := own[0].fault_at(utc_now()):
        raise UsageError(f"the key of {own[0].name} {fault}", hint="sign with a key that counts")
