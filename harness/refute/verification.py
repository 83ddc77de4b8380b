"""Check a signed verdict: who signed it, what it is about, and whether its own records give that verdict again.

What this cannot tell: whether the machine that ran the gate was honest before it signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from refute.attest import file_digest, hash_model, read_statement, verify_envelope
from refute.errors import MissingInputsError, SpecError, StaleVerdictError, VerificationError
from refute.evidence import file_sha256, manifest_digest
from refute.judge import judge
from refute.outcome import Record
from refute.policy import parse_policy
from refute.predicate import PolicyText, Predicate, ReleaseText, SpecText
from refute.release_file import parse_release
from refute.spec import parse_spec


@dataclass(frozen=True, slots=True)
class Verified:
    """An authentic verdict and what was checked about it, in words."""

    predicate: Predicate
    payload_sha256: str
    checks: tuple[str, ...]


def verify_verdict(
    envelope: bytes,
    trusted_keys: Sequence[bytes],
    *,
    model: Path | None = None,
    store: Path | None = None,
    expected_release: str | None = None,
    max_age: timedelta | None = None,
    at: datetime | None = None,
) -> Verified:
    """Everything that can be established from `envelope` and what is given beside it.

    Raises:
        VerificationError: signature, form, recomputed verdict or evidence do not hold.
        StaleVerdictError: authentic, but about another subject or release, or too old.
    """
    payload_type, payload = verify_envelope(envelope, trusted_keys)
    statement = read_statement(payload_type, payload)
    predicate = _predicate(statement.predicate)
    if (statement.subject_name, statement.subject_sha256) != (
        predicate.subject.name,
        predicate.subject.sha256,
    ):
        raise VerificationError("the statement's subject is not the predicate's subject")
    checks = ["signed by a trusted key", recompute(predicate)]
    if expected_release is not None and predicate.release.id != expected_release:
        raise StaleVerdictError(f"the verdict is about release {predicate.release.id!r}, expected {expected_release!r}")
    checks.append(_age(predicate, max_age, at or datetime.now(UTC)))
    checks.append(_model(predicate, model) if model is not None else "model not compared: give --model")
    checks.append(_evidence(predicate, store) if store is not None else "evidence not re-hashed: give --store")
    return Verified(predicate, statement.payload_sha256, tuple(checks))


def _predicate(content: object) -> Predicate:
    from refute.attest import canonical_json

    try:
        return Predicate.model_validate_json(canonical_json(content))  # type: ignore[arg-type]  # parsed JSON
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise VerificationError(f"the predicate is not a verdict: {where}: {first['msg']}") from error


def recompute(predicate: Predicate) -> str:
    """Judge again from the texts and records inside; the same verdict must come out, word for word.

    Returns what was done, in words. Raises VerificationError where anything in it contradicts anything else.
    """
    texts: list[SpecText | ReleaseText | PolicyText] = [*predicate.specs, predicate.release]
    if predicate.policy is not None:
        texts.append(predicate.policy)
    for text in texts:
        found = hashlib.sha256(text.text.encode("utf-8")).hexdigest()
        if found != text.sha256:
            raise VerificationError(f"the text of {text.name} has SHA-256 {found}, but was recorded with {text.sha256}")
    try:
        specs = tuple(parse_spec(each.text, each.name) for each in predicate.specs)
        release = parse_release(predicate.release.text, predicate.release.name)
        policy = parse_policy(predicate.policy.text, predicate.policy.name) if predicate.policy else None
    except SpecError as error:
        raise VerificationError(f"the signed spec, release or policy does not parse: {error}") from error
    stated = predicate.release
    if (release.release, release.title, release.run_class, release.operator) != (
        stated.id,
        stated.title,
        stated.run_class,
        stated.operator,
    ):
        raise VerificationError("the release's id, title, run class or operator differs from what its own text says")
    if [each.spec for each in specs] != [each.id for each in predicate.specs]:
        raise VerificationError("the id of a spec differs from what its own text says")
    for record in predicate.records:
        _check_citations(record, predicate.evidence)
    again = judge(
        specs,
        predicate.records,
        policy=policy,
        waivers=predicate.waivers,
        malformed_waivers=predicate.malformed_waivers,
        at=_moment(predicate.evaluated_at),
        release=release,
        subject_sha256=predicate.subject.sha256,
        faults=predicate.record_faults,
    )
    if again != predicate.verdict:
        raise VerificationError(
            f"the signed verdict is {predicate.verdict.ruling}, but its own records give {again.ruling}"
            if again.ruling is not predicate.verdict.ruling
            else "the signed verdict's details differ from what its own records give",
            hint="it was not made by an honest `refute judge` of this version",
        )
    return f"judged again from {len(predicate.records)} signed records: {again.ruling}"


def _check_citations(record: Record, evidence: Mapping[str, Mapping[str, str]]) -> None:
    """A record that measures rests on the evidence listed beside it, file by file."""
    if not record.measurements:
        return
    for name, digest in record.evidence:
        if name not in evidence or manifest_digest(evidence[name]) != digest:
            raise VerificationError(
                f"the record of {record.falsifier} rests on evidence {name!r} with digest {digest},"
                " which is not the evidence listed in the verdict"
            )
    known = {digest for name, _ in record.evidence for digest in evidence[name].values()}
    strange = sorted({digest for each in record.measurements for digest in each.evidence} - known)
    if strange:
        raise VerificationError(f"the record of {record.falsifier} cites {strange[0]}, a file of no evidence it names")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise VerificationError(f"evaluated_at {text!r} is no time") from error
    if moment.tzinfo is None:
        raise VerificationError(f"evaluated_at {text!r} names no time zone")
    return moment.astimezone(UTC)


def _age(predicate: Predicate, max_age: timedelta | None, at: datetime) -> str:
    evaluated = _moment(predicate.evaluated_at)
    if evaluated > at + timedelta(minutes=5):
        raise StaleVerdictError(f"the verdict is dated {predicate.evaluated_at}, which lies in the future")
    if max_age is not None and at - evaluated > max_age:
        raise StaleVerdictError(
            f"the verdict is of {predicate.evaluated_at}, older than the {max_age.days} days allowed",
            hint="run the gate again",
        )
    return f"evaluated at {predicate.evaluated_at}"


def _model(predicate: Predicate, model: Path) -> str:
    subject = predicate.subject
    if subject.kind == "release_file":
        raise StaleVerdictError("the verdict is about no model: none was produced when it was made")
    try:
        found = _folder_digests(model) if subject.kind == "model_folder" else (file_digest(model), None)
    except OSError as error:
        raise MissingInputsError(f"cannot read the model {model}: {error.strerror or error}") from error
    if found != (subject.sha256, subject.manifest_sha256):
        what = "the files" if found[0] != subject.sha256 else "the file names"
        raise StaleVerdictError(
            f"{what} of {model} are not those that were judged: digest {found[0]},"
            f" the verdict is about {subject.sha256}",
            hint="this verdict says nothing about that model",
        )
    return f"model {model.name} is the one that was judged ({subject.sha256[:12]}…)"


def _folder_digests(model: Path) -> tuple[str, str | None]:
    manifest = hash_model(model)
    return manifest.root_digest, manifest.manifest_digest


def _evidence(predicate: Predicate, store: Path) -> str:
    files = {
        (f"{name}/{file}", digest) for name, manifest in predicate.evidence.items() for file, digest in manifest.items()
    }
    for name, digest in sorted(files):
        path = store / "objects" / digest[:2] / digest
        found = file_sha256(path) if path.is_file() else "nothing"
        if found != digest:
            raise VerificationError(f"evidence {name} should have SHA-256 {digest}, found {found} at {path}")
    return f"{len(files)} evidence files hashed again"
