"""The verdict of a signed predicate, judged again from its own texts and records."""

from __future__ import annotations

from collections.abc import Mapping

from refute.attest import sha256_hex
from refute.errors import SpecError, VerificationError
from refute.evidence.manifest import manifest_digest
from refute.judge.case import Case, ParsedTexts, parse_texts
from refute.judge.predicate.consistency import check_consistency
from refute.judge.predicate.model import Predicate
from refute.outcome import Record
from refute.spec.fields import contradictory
from refute.spec.texts import PolicyText, ReleaseText, SpecText
from refute.spec.waiver import WaiverFile


def recompute(predicate: Predicate) -> str:
    """Judge again from the texts and records inside; the same verdict must come out, word for word.

    Returns what was done, in words. Raises VerificationError where anything in it contradicts anything else.
    """
    texts = _parse(predicate)
    for record in predicate.records:
        _check_citations(record, predicate.evidence)
    again = _case(predicate, texts).rule()
    if again != predicate.verdict:
        raise contradictory(
            f"the signed verdict is {predicate.verdict.ruling}, but its own records give {again.ruling}"
            if again.ruling is not predicate.verdict.ruling
            else "the signed verdict's details differ from what its own records give"
        )
    check_consistency(predicate, texts.specs, texts.release)
    return f"judged again from {len(predicate.records)} signed records: {again.ruling}"


def _parse(predicate: Predicate) -> ParsedTexts:
    """The signed texts, once each has its digest and says of itself what the predicate says of it."""
    stated = predicate.release
    for text in (*predicate.specs, stated, *([predicate.policy] if predicate.policy else ())):
        _check_digest(text)
    try:
        texts = parse_texts(stated, predicate.specs, predicate.policy)
    except SpecError as error:
        raise VerificationError(f"the signed spec, release or policy does not parse: {error}") from error
    release = texts.release
    if (release.release, release.title, release.run_class, release.operator) != (
        stated.id,
        stated.title,
        stated.run_class,
        stated.operator,
    ):
        raise VerificationError("the release's id, title, run class or operator differs from what its own text says")
    if [each.spec for each in texts.specs] != [each.id for each in predicate.specs]:
        raise VerificationError("the id of a spec differs from what its own text says")
    return texts


def _check_digest(text: SpecText | ReleaseText | PolicyText) -> None:
    found = sha256_hex(text.text.encode("utf-8"))
    if found != text.sha256:
        whose = text.name if isinstance(text, PolicyText) else text.id
        raise VerificationError(f"the text of {whose} has SHA-256 {found}, but was recorded with {text.sha256}")


def _case(predicate: Predicate, texts: ParsedTexts) -> Case:
    return Case(
        texts=texts,
        run=predicate.run,
        records=predicate.records,
        record_faults=predicate.record_faults,
        evidence=predicate.evidence,
        made_by=predicate.made_by,
        subject=predicate.subject,
        waivers=WaiverFile(predicate.waivers, predicate.malformed_waivers),
        lock=predicate.lock,
        lock_keys=predicate.lock_keys,
        requires=predicate.requires,
        signer=predicate.signer,
        evaluated_at=predicate.evaluated_at,
    )


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
