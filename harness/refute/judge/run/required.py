"""Does a run cite the verdicts that its release demands? Pure; what they are was verified before the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from refute.judge.run.facts import CitedVerdict
from refute.spec.release import Release
from refute.spec.results import RequiredVerdict


def unmet(release: Release, cited: Sequence[CitedVerdict], signer: str) -> tuple[str, ...]:
    """A sentence for every demand of `requires_verdict` and `baseline` that no citation answers, in their order, and
    for every citation that nobody demanded.

    `signer` is the id of the key that signs this run's own verdict: it cannot speak for an independent consumer.
    """
    demanded = [each.release for each in release.demanded_verdicts]
    strange = (each.release for each in cited if each.release not in demanded)
    return (
        *_unmet(release, {each.release: each for each in cited}, signer),
        *(f"the run cites a verdict of {name!a}, which the release does not require" for name in strange),
    )


def _unmet(release: Release, cited: dict[str, CitedVerdict], signer: str) -> Iterator[str]:
    for demand in release.demanded_verdicts:
        found = cited.get(demand.release)
        if found is not None and found.consumer_key_id == signer:
            yield f"the consumer's attestation for {demand.release} was signed by the key that signs this verdict"
        if found is None:
            yield f"the release requires a verdict of {demand.release}, and the run cites none"
        else:
            yield from _contradictions(demand, found)


def _contradictions(demand: RequiredVerdict, found: CitedVerdict) -> Iterator[str]:
    pinned = (("subject", demand.subject_sha256, found.subject_sha256), ("key", demand.key_id, found.key_id))
    for what, wanted, cited in pinned:
        if wanted is not None and wanted != cited:
            yield f"the cited verdict of {demand.release} has {what} {cited}, the release requires {wanted}"
    if demand.consumer is not None and None in (found.consumer_payload_sha256, found.consumer_key_id):
        yield f"the release requires an independent consumer's attestation for {demand.release}, and the run cites none"
    if found.consumer_key_id == found.key_id:
        yield f"the consumer's attestation for {demand.release} was signed by the key of the verdict itself"
