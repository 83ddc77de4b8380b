"""The verdict of a signed predicate, judged again from its own texts and records."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from refute.errors import SpecError, VerificationError
from refute.evidence.manifest import manifest_digest
from refute.judge.algebra import judge
from refute.judge.predicate.consistency import check_consistency
from refute.judge.predicate.model import Predicate
from refute.judge.run.required import unmet
from refute.lock.preregistration import conduct_of, preregistration
from refute.outcome import Record
from refute.spec.criteria import parse_spec
from refute.spec.fields import moment
from refute.spec.files import parse_release
from refute.spec.policy import parse_policy
from refute.spec.texts import PolicyText, ReleaseText, SpecText


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
            whose = text.name if isinstance(text, PolicyText) else text.id
            raise VerificationError(f"the text of {whose} has SHA-256 {found}, but was recorded with {text.sha256}")
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
    conduct = conduct_of(
        predicate.release,
        release,
        predicate.specs,
        specs,
        predicate.run.started_at,
        predicate.records,
        predicate.evidence,
        policy=predicate.policy.sha256 if predicate.policy else None,
        waived=bool(predicate.waivers),
    )
    again = judge(
        specs,
        predicate.records,
        policy=policy,
        waivers=predicate.waivers,
        malformed_waivers=predicate.malformed_waivers,
        at=moment(predicate.evaluated_at),
        release=release,
        subject_sha256=predicate.subject.sha256,
        faults=(*predicate.record_faults, *unmet(release, predicate.requires, predicate.signer.key_id)),
        preregistration=preregistration(predicate.lock, predicate.lock_keys, conduct),
    )
    if again != predicate.verdict:
        raise VerificationError(
            f"the signed verdict is {predicate.verdict.ruling}, but its own records give {again.ruling}"
            if again.ruling is not predicate.verdict.ruling
            else "the signed verdict's details differ from what its own records give",
            hint="it was not made by an honest `refute judge` of this version",
        )
    check_consistency(predicate, specs, release)
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
