"""The verdict in two public vocabularies, for policy engines that know them: in-toto test results, SLSA summaries.

Neither can say everything: test results have no word for a check that could not be made, verification summaries
none for WARN. Where a word is missing the stricter one is used, so no projection is better than its verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from refute.attest import Json, build_statement, canonical_json, sha256_hex
from refute.judge.predicate.model import Predicate
from refute.judge.verdict import CriterionRuling
from refute.outcome import Outcome, Ruling, Severity

# https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
TEST_RESULT_TYPE = "https://in-toto.io/attestation/test-result/v0.1"

# https://slsa.dev/spec/v1.1/verification_summary
SUMMARY_TYPE = "https://slsa.dev/verification_summary/v1"

# Names below `.invalid` belong to no one, as those of the verdict's own predicate type.
VERIFIER_ID = "https://refute.invalid/verifier"
_RELEASE = "https://refute.invalid/release/"
_SPECS = "https://refute.invalid/specs/"
_VERDICT = "https://refute.invalid/verdict/"
_MODEL_SIGNATURE = "https://refute.invalid/model-signature/"
_TEST_RESULTS = {Ruling.GO: "PASSED", Ruling.WARN: "WARNED", Ruling.NO_GO: "FAILED"}


@dataclass(frozen=True, slots=True)
class Projection:
    """A statement derived from a verdict, as the bytes to sign."""

    predicate_type: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Names:
    """What a consumer knows things by: who verified, what was released (a package URL, say), and where the run stands.

    Left out, the names are this program's own, and a run has no address.
    """

    verifier_id: str = VERIFIER_ID
    resource_uri: str | None = None
    run_url: str | None = None


OWN_NAMES = Names()


def project(predicate: Predicate, payload_sha256: str, names: Names = OWN_NAMES) -> tuple[Projection, ...]:
    """Both projections of a verdict over its own subject. Pure: the same verdict gives the same bytes."""
    contents = (
        (TEST_RESULT_TYPE, _test_result(predicate, names)),
        (SUMMARY_TYPE, _summary(predicate, payload_sha256, names)),
    )
    subject = predicate.subject
    return tuple(
        Projection(kind, build_statement(subject.name, subject.sha256, content, predicate_type=kind))
        for kind, content in contents
    )


def resource_uri(release: str) -> str:
    """What a verification summary calls a release; a consumer compares it with the one that it expects."""
    return f"{_RELEASE}{release}"


def _test_result(predicate: Predicate, names: Names) -> Mapping[str, Json]:
    """Criteria by name. Only what was corroborated has passed; a waiver makes nothing pass."""
    criteria = predicate.verdict.criteria
    url: dict[str, Json] = {} if names.run_url is None else {"url": names.run_url}
    return {
        **url,
        "result": _TEST_RESULTS[predicate.verdict.ruling],
        "configuration": _configuration(predicate),
        "passedTests": _names(each for each in criteria if each.outcome is Outcome.CORROBORATED and each.holds),
        "warnedTests": _names(each for each in criteria if not each.holds and not _blocks(each)),
        "failedTests": _names(each for each in criteria if not each.holds and _blocks(each)),
    }


def _blocks(ruling: CriterionRuling) -> bool:
    return ruling.severity is Severity.BLOCK and (ruling.uncovered or ruling.outcome is not Outcome.INCONCLUSIVE)


def _names(rulings: Iterable[CriterionRuling]) -> list[Json]:
    return [f"{ruling.spec}::{ruling.criterion}" for ruling in rulings]


def _configuration(predicate: Predicate) -> list[Json]:
    """What was tested against: every spec and the release file, by the SHA-256 of their bytes."""
    texts = [(spec.id, f"{_SPECS}{spec.id}", spec.sha256) for spec in predicate.specs]
    release = predicate.release
    texts.append((release.id, resource_uri(release.id), release.sha256))
    return [{"name": name, **_descriptor(uri, digest)} for name, uri, digest in texts]


def _summary(predicate: Predicate, payload_sha256: str, names: Names) -> Mapping[str, Json]:
    """PASSED for GO alone: the format has no WARN, and who reads PASSED reads no further."""
    passed = predicate.verdict.ruling is Ruling.GO
    level = f"REFUTE_GO_{predicate.release.run_class.value.upper()}"
    return {
        "verifier": {"id": names.verifier_id, "version": _versions(predicate)},
        "timeVerified": predicate.evaluated_at,
        "resourceUri": names.resource_uri or resource_uri(predicate.release.id),
        "policy": _policy(predicate),
        "inputAttestations": _attestations(predicate, payload_sha256),
        "verificationResult": "PASSED" if passed else "FAILED",
        "verifiedLevels": [level if passed else "FAILED"],
    }


def _versions(predicate: Predicate) -> dict[str, Json]:
    packages: dict[str, Json] = {
        origin.package: origin.version
        for origin in predicate.run.falsifiers.values()
        if origin.package is not None and origin.version is not None
    }
    return packages | {predicate.verifier: predicate.verifier_version}


def _policy(predicate: Predicate) -> Json:
    """All specs at once: the digest is of the canonical JSON {spec id: SHA-256 of its text}."""
    digests: dict[str, Json] = {spec.id: spec.sha256 for spec in predicate.specs}
    return _descriptor(f"{_SPECS}{'+'.join(sorted(digests))}", sha256_hex(canonical_json(digests)))


def _attestations(predicate: Predicate, payload_sha256: str) -> list[Json]:
    """The verdict, by its payload: an envelope's text may change while what it signs does not."""
    verdict = _descriptor(f"{_VERDICT}{payload_sha256}", payload_sha256)
    signature = predicate.model.signature_sha256 if predicate.model is not None else None
    return [verdict] if signature is None else [verdict, _descriptor(f"{_MODEL_SIGNATURE}{signature}", signature)]


def _descriptor(uri: str, sha256: str) -> dict[str, Json]:
    return {"uri": uri, "digest": {"sha256": sha256}}
