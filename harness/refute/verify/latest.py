"""Of the verdicts in a folder on one subject and release: which one counts.

The newest does, by its number and then by its date, whatever it says. Where that one was withdrawn, has expired or does
not meet the reader's policy none does: an older GO is what a newer verdict superseded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from refute.attest import PAYLOAD_TYPE, peek_envelope, read_statement
from refute.disk import read_regular
from refute.errors import VerificationError
from refute.judge.predicate.bundle import read_bundle
from refute.spec.fields import moment
from refute.spec.policy import LoadedPolicy, strictest_age, trusted_keys
from refute.verify.identities import with_identities
from refute.verify.policy_check import require_in_force
from refute.verify.sign_off.statement import FILES, may_be_sign_off, statements_in
from refute.verify.timestamps import find_timestamps
from refute.verify.verification import Verified, naming, read_verdict, verify_verdict

PATTERNS = ("verdict*.intoto.json", "verdict*.intoto.jsonl", "verdict*.sigstore.json")
MAX_FILES = 10_000


@dataclass(frozen=True, slots=True)
class Reader:
    """Whom somebody who reads verdicts trusts: who signs with `keys` (PEM), else the operators of `policy`.

    `model` is what they have; `at` the moment to judge by, by default now.
    """

    keys: Sequence[bytes] = ()
    policy: LoadedPolicy | None = None
    model: Path | None = None
    at: datetime | None = None

    def read(self, path: Path) -> Verified:
        """As of its own date: whether it is in force by now, and under the policy, is asked of the newest alone."""
        data = read_regular(path)
        payload, _ = peek_envelope(read_bundle(data).verdict)
        judged = read_statement(PAYLOAD_TYPE, payload).predicate.get("evaluated_at")
        return verify_verdict(data, trusted_keys(self._rules(data), self.keys), at=moment(str(judged)))

    def hold(self, path: Path, sign_offs: Mapping[str, bytes]) -> Verified:
        """What lies at `path`, in force and under the policy. Raises as `require_in_force`, naming the file."""
        data = read_verdict(path)
        with naming(path):
            rules = self._rules(data)
            verified = verify_verdict(
                data,
                trusted_keys(rules, self.keys),
                model=self.model,
                max_age=strictest_age(rules, None),
                at=self.at,
                timestamp_roots=rules.timestamp_roots if rules else (),
                timestamps=find_timestamps(path),
            )
            return require_in_force(verified, data, rules, sign_offs, given_keys=self.keys, at=self.at)

    def _rules(self, data: bytes) -> LoadedPolicy | None:
        return with_identities(self.policy, data, at=self.at) if self.policy else None


@dataclass(frozen=True, slots=True)
class Latest:
    """The verdict that counts and where it lies; `others` says of each other file, in words, why that does not."""

    path: Path
    verified: Verified
    others: tuple[str, ...]


def latest_verdict(folder: Path, reader: Reader, *, digest: str | None = None, release: str | None = None) -> Latest:
    """The verdict below `folder` that counts for a model, or for a release, by whom `reader` trusts.

    `digest` is the model's: its OpenSSF root digest, or what the verdict has as its subject; None for any. `release`
    tells apart the releases of one subject, each of which has numbers of its own. What was judged after the reader's
    moment does not count yet. Sign-offs and withdrawals count wherever they lie below `folder`; of copies of the
    newest, the first by name that holds.

    Raises VerificationError where no file holds such a verdict, where two of them have one number, where several
    releases do and none was named, or where the newest does not meet the policy; StaleVerdictError where the newest was
    withdrawn, or is no longer valid.
    """
    about: list[tuple[Path, Verified]] = []
    others: list[str] = []
    for path in find_verdicts(folder):
        try:
            verified = reader.read(path)
        except (VerificationError, OSError) as error:
            others.append(f"{path}: {error}")
            continue
        if reason := _why_aside(verified, digest, release, reader.at):
            others.append(f"{path}: {reason}")
        else:
            about.append((path, verified))
    if not about:
        listing = "".join(f"\n  {each}" for each in others)
        what = f"release {release!r}" if digest is None else f"a model of digest {digest}"
        raise VerificationError(f"no verdict below {folder} on {what} is to be trusted{listing}")
    _require_one_release({verified.predicate.release.id for _, verified in about})
    newest = max((each for _, each in about), key=_age)
    _require_unambiguous(about, newest)
    copies = [each for each, found in about if found.payload_sha256 == newest.payload_sha256]
    path, held = _first_that_holds(copies, reader, _sign_offs(folder, copies))
    others += [f"{each}: superseded" for each, old in about if old.payload_sha256 != newest.payload_sha256]
    return Latest(path, held, tuple(others))


def find_verdicts(folder: Path) -> list[Path]:
    """Files below `folder` that may hold a verdict, by name. Raises VerificationError for more than MAX_FILES."""
    return _files(folder, PATTERNS)


def _files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    paths = sorted({path for pattern in patterns for path in folder.rglob(pattern)})
    if len(paths) > MAX_FILES:
        raise VerificationError(f"{folder} holds {len(paths)} files like {patterns[0]}; at most {MAX_FILES} are read")
    return paths


def _sign_offs(folder: Path, copies: Sequence[Path]) -> dict[str, bytes]:
    """Wherever they lie: a withdrawal that somebody filed apart from its verdict is one."""
    files = {str(path): read_verdict(path) for path in _files(folder, FILES) if may_be_sign_off(path)}
    for copy in copies:
        files |= statements_in(copy, read_verdict(copy))
    return files


def _first_that_holds(copies: Sequence[Path], reader: Reader, sign_offs: Mapping[str, bytes]) -> tuple[Path, Verified]:
    """One copy may have been countersigned or timestamped where another was not."""
    faults: list[VerificationError] = []
    for path in copies:
        try:
            return path, reader.hold(path, sign_offs)
        except VerificationError as error:
            faults.append(error)
    raise faults[0]


def _why_aside(verified: Verified, digest: str | None, release: str | None, at: datetime | None) -> str:
    """Why a verdict is none of those that are asked for; "" where it is one."""
    predicate = verified.predicate
    digests = {None, predicate.subject.sha256, *([predicate.model.root_sha256] if predicate.model else [])}
    if digest not in digests or release not in (None, predicate.release.id):
        return "about something else"
    return "judged later" if at is not None and moment(predicate.evaluated_at) > at else ""


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
