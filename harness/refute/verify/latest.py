"""Of the verdicts in a folder on one subject and release: which one counts.

The newest does, by its number and then by its date, whatever it says. Where that one was withdrawn or has expired none
does: an older GO is what a newer verdict superseded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from refute.attest import PAYLOAD_TYPE, peek_envelope, read_statement
from refute.disk import read_regular
from refute.errors import StaleVerdictError, VerificationError
from refute.judge.predicate.bundle import read_bundle
from refute.spec.fields import moment
from refute.verify.freshness import Expected, check_freshness
from refute.verify.sign_off.count import withdrawals
from refute.verify.sign_off.statement import find_sign_offs
from refute.verify.verification import Verified, verify_verdict

PATTERNS = ("verdict*.intoto.json", "verdict*.intoto.jsonl", "verdict*.sigstore.json")
MAX_FILES = 10_000


@dataclass(frozen=True, slots=True)
class Latest:
    """The verdict that counts and where it lies; `others` says of each other file, in words, why that does not."""

    path: Path
    verified: Verified
    others: tuple[str, ...]


def latest_verdict(
    folder: Path,
    trusted_keys: Sequence[bytes],
    *,
    digest: str,
    release: str | None = None,
    at: datetime | None = None,
) -> Latest:
    """The verdict below `folder` that counts for a model, signed by one of `trusted_keys` (PEM).

    `digest` is the model's: its OpenSSF root digest, or what the verdict has as its subject.

    `release` tells apart the releases of one subject, each of which has numbers of its own. `at` is the moment to judge
    by, by default now. Raises VerificationError where no file holds such a verdict, where two of them have one number,
    or where several releases do and none was named; StaleVerdictError where the newest was withdrawn, or is no longer
    valid.
    """
    found: list[tuple[Path, Verified]] = []
    others: list[str] = []
    for path in _files(folder):
        try:
            found.append((path, _read(path, trusted_keys)))
        except (VerificationError, OSError) as error:
            others.append(f"{path}: {error}")
    about = [each for each in found if _is_about(each[1], digest, release)]
    others += [f"{path}: about something else" for path, each in found if not _is_about(each, digest, release)]
    if not about:
        listing = "".join(f"\n  {each}" for each in others)
        raise VerificationError(f"no verdict below {folder} on a model of digest {digest} is to be trusted{listing}")
    _require_one_release({verified.predicate.release.id for _, verified in about})
    path, newest = max(about, key=lambda each: _age(each[1]))
    _require_unambiguous(about, newest)
    _require_in_force(newest, about, trusted_keys, at)
    others += [f"{each}: superseded" for each, old in about if old.payload_sha256 != newest.payload_sha256]
    return Latest(path, newest, tuple(others))


def _files(folder: Path) -> Iterator[Path]:
    paths = sorted({path for pattern in PATTERNS for path in folder.rglob(pattern)})
    if len(paths) > MAX_FILES:
        raise VerificationError(f"{folder} holds {len(paths)} verdicts; at most {MAX_FILES} are looked at")
    return iter(paths)


def _read(path: Path, trusted_keys: Sequence[bytes]) -> Verified:
    """As of its own date: whether it is in force by now is asked of the newest alone."""
    data = read_regular(path)
    payload, _ = peek_envelope(read_bundle(data).verdict)
    judged = read_statement(PAYLOAD_TYPE, payload).predicate.get("evaluated_at")
    return verify_verdict(data, trusted_keys, at=moment(str(judged)))


def _is_about(verified: Verified, digest: str, release: str | None) -> bool:
    predicate = verified.predicate
    digests = {predicate.subject.sha256, predicate.model.root_sha256 if predicate.model else ""}
    return digest in digests and release in (None, predicate.release.id)


def _age(verified: Verified) -> tuple[int, str]:
    return verified.predicate.identity.sequence, verified.predicate.evaluated_at


def _require_one_release(releases: set[str]) -> None:
    if len(releases) > 1:
        raise VerificationError(
            f"the subject was judged in {len(releases)} releases: {', '.join(sorted(releases))}",
            hint="name one: --release",
            cause="release",
        )


def _require_unambiguous(about: Sequence[tuple[Path, Verified]], newest: Verified) -> None:
    rivals = {each.payload_sha256: path for path, each in about if _age(each) == _age(newest)}
    if len(rivals) > 1:
        listing = ", ".join(str(path) for path in sorted(rivals.values()))
        raise VerificationError(
            f"{len(rivals)} verdicts are number {newest.predicate.identity.sequence} of the same moment: {listing}",
            hint="ask their signer which one counts; that one is to be judged again",
            cause="sequence",
        )


def _require_in_force(
    newest: Verified, about: Sequence[tuple[Path, Verified]], trusted_keys: Sequence[bytes], at: datetime | None
) -> None:
    """A withdrawal counts beside any copy of the verdict."""
    check_freshness(newest.predicate, Expected(at=at))
    copies = [path for path, each in about if each.payload_sha256 == newest.payload_sha256]
    files = {str(path): read_regular(path) for copy in copies for path in find_sign_offs(copy)[0]}
    for copy in copies:
        others = read_bundle(read_regular(copy)).others
        files |= {f"{copy}, statement {number}": line for number, (_, line) in enumerate(others, start=1)}
    if withdrawn := withdrawals(newest, trusted_keys, files):
        raise StaleVerdictError(
            f"the newest verdict, {copies[0]}, was withdrawn: {'; '.join(withdrawn)}",
            hint="an older one does not take its place: judge the model again",
            cause="withdrawn",
        )
