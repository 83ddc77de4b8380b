"""A case: everything that a verdict follows from. The judge makes one from a run, a verifier one from a signed file.

Both rule by the same method: to verify a verdict is to judge its case again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from refute.evidence.process.provenance import MadeBy, made_by_strangers
from refute.judge.algebra import judge
from refute.judge.run.facts import CitedVerdict, RunFacts, Signer
from refute.judge.run.required import unmet
from refute.judge.subject import Subject, subject_files
from refute.judge.verdict import Verdict
from refute.lock.model import LockedRelease, LockedSpec, RunLock
from refute.lock.preregistration import RunUnderLock, preregistration
from refute.outcome import Record
from refute.spec.criteria import Spec, parse_spec
from refute.spec.fields import moment
from refute.spec.files import parse_release
from refute.spec.policy import Policy, parse_policy
from refute.spec.release import Release
from refute.spec.texts import PolicyText, ReleaseText, SpecText
from refute.spec.waiver import WaiverFile


@dataclass(frozen=True, slots=True)
class ParsedTexts:
    """What a run was asked by: the texts of its release, specs and policy, and beside each what it parses to."""

    release_text: ReleaseText
    spec_texts: tuple[SpecText, ...]
    policy_text: PolicyText | None
    release: Release
    specs: tuple[Spec, ...]
    policy: Policy | None


def parse_texts(release: ReleaseText, specs: Sequence[SpecText], policy: PolicyText | None) -> ParsedTexts:
    """Parse them all. Raises SpecError for one that does not parse."""
    return ParsedTexts(
        release_text=release,
        spec_texts=tuple(specs),
        policy_text=policy,
        specs=tuple(parse_spec(each.text, each.name) for each in specs),
        release=parse_release(release.text, release.name),
        policy=None if policy is None else parse_policy(policy.text, policy.name),
    )


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged, by what, for whom and when; equal cases get equal verdicts.

    `record_faults` are sentences about the run that no verdict can pass over. `evidence` maps names to {file: SHA-256},
    `made_by` those that a process made to what that was.
    `evaluated_at` is RFC 3339, UTC, whole seconds. `lock_keys` are the public keys (PEM) that may have signed `lock`.
    """

    texts: ParsedTexts
    run: RunFacts
    records: tuple[Record, ...]
    record_faults: tuple[str, ...]
    evidence: Mapping[str, Mapping[str, str]]
    made_by: Mapping[str, MadeBy]
    subject: Subject
    waivers: WaiverFile
    lock: RunLock | None
    lock_keys: tuple[str, ...]
    requires: tuple[CitedVerdict, ...]
    signer: Signer
    evaluated_at: str

    def rule(self) -> Verdict:
        """The verdict on this case. Pure. Raises VerificationError where `evaluated_at` is no such moment."""
        return judge(
            self.texts.specs,
            self.records,
            policy=self.texts.policy,
            waivers=self.waivers.waivers,
            malformed_waivers=self.waivers.malformed,
            at=moment(self.evaluated_at),
            release=self.texts.release,
            evidence_needs=self.run.evidence_needs,
            subject_sha256=self.subject.sha256,
            subject_files=self._subject_files(),
            faults=(
                *self.record_faults,
                *unmet(self.texts.release, self.requires, self.signer.key_id),
                *made_by_strangers(self.made_by),
            ),
            preregistration=preregistration(self.lock, self.lock_keys, self._under_lock()),
        )

    def _subject_files(self) -> Collection[str]:
        """None, where no model was produced and the release file stands in its place."""
        named = self.texts.release.subject or ""
        return () if self.subject.kind == "release_file" else subject_files(self.evidence.get(named, {})).values()

    def with_faults(self, faults: Sequence[str]) -> Case:
        """The same case, in which `faults` were found besides."""
        return replace(self, record_faults=(*self.record_faults, *faults))

    def _under_lock(self) -> RunUnderLock:
        texts = self.texts
        return RunUnderLock(
            release=LockedRelease(sha256=texts.release_text.sha256, content=texts.release),
            specs=tuple(
                LockedSpec(sha256=text.sha256, content=content)
                for text, content in zip(texts.spec_texts, texts.specs, strict=True)
            ),
            started_at=self.run.started_at,
            records=self.records,
            evidence=self.evidence,
            policy_sha256=None if texts.policy_text is None else texts.policy_text.sha256,
            waived=bool(self.waivers.waivers),
        )
