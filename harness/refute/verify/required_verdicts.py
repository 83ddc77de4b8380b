"""`requires_verdict` and `baseline`: other releases that must have been judged GO, and used by somebody else, first.

Checked by digest and key before the first experiment, and again before the judge signs; what was found is cited in the
signed verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from refute.attest import default_key_directory, key_id
from refute.disk import read_regular
from refute.errors import MissingInputsError, RefuteError, RequiredVerdictError, VerificationError
from refute.judge.run.facts import CitedVerdict
from refute.judge.run.folder import RunFile
from refute.judge.run.own_copies import own_copy
from refute.judge.run.verdict_files import files_of
from refute.outcome import Ruling
from refute.spec.fields import moment
from refute.spec.files import LoadedRelease, parse_release, resolve
from refute.spec.results import ConsumerAttestation, RequiredVerdict
from refute.verify.consumer.count import Evidence, evidence_of, read_use
from refute.verify.latest import Reader, latest_verdict
from refute.verify.sign_off.statement import find_sign_offs, statements_in
from refute.verify.verification import verify_verdict


def verify_required(release: LoadedRelease, *, at: datetime | None = None) -> tuple[CitedVerdict, ...]:
    """Every verdict that `release` requires, verified as of `at`, by default now.

    Raises RequiredVerdictError with everything that is wrong.
    """
    cited, faults = _verify_all(release, at)
    if faults:
        listing = "".join(f"\n  - {fault}" for fault in faults)
        raise RequiredVerdictError(
            f"release {release.release.release!r} may not begin; of the verdicts that it requires:{listing}",
            hint="have those releases judged first, or correct `requires_verdict` or `baseline` in the release file",
        )
    return tuple(cited)


def missing_required(release: LoadedRelease) -> list[str]:
    """What `verify_required` would refuse, as lines for people; empty when it would let the release begin."""
    return [line for fault in _verify_all(release, None)[1] for line in fault.splitlines()]


def miscited(run: RunFile, copies: Sequence[Path] | None = None) -> tuple[str, ...]:
    """A sentence for whatever is wrong with the verdicts that `run` cites, for its word alone is worth nothing.

    They are verified again, as of the run's start, from where the release file says that they lie: the judge's own copy
    of it among `copies` (files or folders), else the file that the run names. Raises UsageError for a path in `copies`
    that cannot be read, VerificationError for a start that is no time.
    """
    release = parse_release(run.release.text, run.release.name)
    if not release.demanded_verdicts:
        return ()
    path = own_copy(run.release.sha256, copies or ()) or run.release_file
    loaded = LoadedRelease(release, path, run.release.sha256, run.release.text)
    try:
        found = verify_required(loaded, at=moment(run.facts.started_at, "started_at"))
    except RequiredVerdictError as error:
        return (f"what the run cites was not found again beside {path}: {error}",)
    if found != run.requires:
        return (f"the run cites other verdicts than those that its release names, beside {path}",)
    return ()


def _verify_all(release: LoadedRelease, at: datetime | None) -> tuple[list[CitedVerdict], list[str]]:
    """What is as it is required, and a fault for each that is not, in the order of the demands."""
    cited: list[CitedVerdict] = []
    faults: list[str] = []
    for demand in release.release.demanded_verdicts:
        try:
            cited.append(_verify(demand, release, at))
        except RefuteError as error:
            faults.append(f"{demand.release}: {error}")
    return cited, faults


def _verify(demand: RequiredVerdict, release: LoadedRelease, at: datetime | None) -> CitedVerdict:
    place = resolve(release, demand.verdict)
    key = _key(demand, release, place)
    file = latest_verdict(place, Reader([key], at=at), release=demand.release).path if place.is_dir() else place
    envelope = _read(file, "verdict")
    verified = verify_verdict(envelope, [key], expected_release=demand.release, at=at)
    predicate = verified.predicate
    if predicate.verdict.ruling is not Ruling.GO:
        raise VerificationError(f"its verdict is {predicate.verdict.ruling}, expected GO")
    if demand.subject_sha256 not in (None, predicate.subject.sha256):
        raise VerificationError(
            f"its verdict is about subject {predicate.subject.sha256}, expected {demand.subject_sha256}"
        )
    taken = evidence_of(verified, envelope, statements_in(file, envelope), at)
    consumer = None if demand.consumer is None else _attested(demand.consumer, release, taken, file)
    return CitedVerdict(
        release=demand.release,
        payload_sha256=verified.payload_sha256,
        subject_sha256=predicate.subject.sha256,
        key_id=key_id(key),
        consumer_payload_sha256=consumer[0] if consumer else None,
        consumer_key_id=consumer[1] if consumer else None,
    )


def _key(demand: RequiredVerdict, release: LoadedRelease, verdict: Path) -> bytes:
    """The trusted key: the named file, or the one beside the verdict where only its id is pinned."""
    named = default_key_directory() / f"{demand.key_name}.pub" if demand.key_name else files_of(verdict).key
    path = resolve(release, demand.key) if demand.key else named
    pem = _read(path, "public key")
    if demand.key_id not in (None, key_id(pem)):
        raise VerificationError(f"the key {path} has id {key_id(pem)}, expected {demand.key_id}")
    return pem


def _attested(consumer: ConsumerAttestation, release: LoadedRelease, taken: Evidence, place: Path) -> tuple[str, str]:
    """Payload digest and key id of a consumer's statement, which lies beside others that may withdraw it.

    Who signed the verdict, or a sign-off beside it, cannot be the consumer.
    """
    key, path = _read(resolve(release, consumer.key), "consumer's public key"), resolve(release, consumer.file)
    data = _read(path, "consumer's statement")
    beside = {each for folder in (place, path) for each in find_sign_offs(folder)[0]}
    files = {str(each): _read(each, "statement beside it") for each in sorted(beside)}
    try:
        found = read_use(data, key, replace(taken, files={**taken.files, **files}))
    except VerificationError as error:
        raise VerificationError(f"the consumer's statement: {error}", hint=error.hint, cause=error.cause) from error
    return found.payload_sha256, key_id(key)


def _read(path: Path, what: str) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise MissingInputsError(f"cannot read the {what} {path}: {error.strerror or error}") from error
