"""A verdict as somebody takes it up who signs something about it, or hands it on: signed by operators whose keys count.

Whether it meets the rest of a policy is asked of who relies on it, once its sign-offs are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refute.attest import envelope_signers
from refute.errors import VerificationError
from refute.judge.predicate.bundle import read_bundle
from refute.spec.policy import LoadedPolicy, load_policy, trusted_keys
from refute.verify.consumer.count import count_consumers, evidence_of, lacking
from refute.verify.identities import with_identities
from refute.verify.policy_check import key_faults
from refute.verify.sign_off.statement import find_sign_offs, statements_in
from refute.verify.timestamps import find_timestamps
from refute.verify.verification import Verified, naming, read_verdict, verify_verdict


@dataclass(frozen=True, slots=True)
class Taken:
    """A verdict that verifies: the file's bytes, what they say, the keys that were trusted (PEM), and the policy with
    the keys of the identities that signed. `lacking` says how many consumers that policy still demands."""

    data: bytes
    verified: Verified
    trusted: tuple[bytes, ...]
    policy: LoadedPolicy | None
    lacking: str = ""


def take_verdict(path: Path, keys: Sequence[bytes], policy: Path | None) -> Taken:
    """The verdict at `path`, signed by one of `keys` (PEM) or else by an operator of the file `policy`.

    Raises VerificationError where it does not verify, or where a key of the policy that signed it is revoked or did not
    count at that moment; UsageError without anybody to trust; and what reading the files raises.
    """
    loaded, data = load_policy(policy) if policy else None, read_verdict(path)
    with naming(path):
        rules = with_identities(loaded, data) if loaded else None
        trusted = trusted_keys(rules, keys)
        roots = rules.timestamp_roots if rules else ()
        verified = verify_verdict(data, trusted, timestamp_roots=roots, timestamps=find_timestamps(path))
        signers = envelope_signers(read_bundle(data).verdict, trusted)
        if rules and (faults := list(key_faults(rules, signers, verified))):
            raise VerificationError("; ".join(faults), hint="have it signed by a key that counts", cause="policy")
        wanted = _lacking(path, data, verified, rules) if rules else ""
    return Taken(data, verified, tuple(trusted), rules, wanted)


def _lacking(path: Path, data: bytes, verified: Verified, policy: LoadedPolicy) -> str:
    files = {str(each): read_verdict(each) for each in find_sign_offs(path)[0]} | statements_in(path, data)
    return lacking(policy, count_consumers(policy, evidence_of(verified, data, files)))
