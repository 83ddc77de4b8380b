"""A challenge that is demanded of a verdict: whose it must be, and that the verdict held."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from refute.attest import key_id
from refute.errors import VerificationError
from refute.verify.challenge.measure import Challenged
from refute.verify.challenge.statement import named_path, read_challenge
from refute.verify.verification import Verified, has_signed, naming, read_verdict

_HINT = "ask whoever holds that key for `refute rerun --challenge`, and put the file beside the verdict"


def demand_challenges(verdict: Path, verified: Verified, challengers: Sequence[bytes]) -> tuple[str, ...]:
    """What was checked, a line for each of `challengers` (public keys, PEM): his challenge lies beside, and it held.

    Raises VerificationError for a challenge that is absent, damaged, somebody else's, about another verdict, refuted or
    open, or says another result than its own records; and for a challenger who signed the verdict, too.
    """
    return tuple(_held(verdict, verified, each) for each in challengers)


def _held(verdict: Path, verified: Verified, challenger: bytes) -> str:
    own = key_id(challenger)
    if has_signed(challenger, verified, read_verdict(verdict)):
        raise VerificationError(f"key {own[:16]}… signed the verdict, and nobody challenges himself", hint=_HINT)
    path = named_path(verdict, own)
    if not path.is_file():
        raise VerificationError(f"no challenge by key {own[:16]}…, expected {path}", hint=_HINT)
    with naming(path):
        found = read_challenge(read_verdict(path), [challenger], verified.payload_sha256)
        says = Challenged(found.again, found.records).result
        if found.result != says:
            raise VerificationError(f"it says {found.result}, and its own records that the verdict was {says}")
        if says != "held":
            refuted = ", ".join(each.falsifier for each in found.records if each.outcome.value != "corroborated")
            raise VerificationError(f"the verdict was challenged, and is {says}: {refuted}")
    return f"challenged by key {own[:16]}… on {found.platform}: held, {len(found.records)} falsifiers"
