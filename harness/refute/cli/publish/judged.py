"""What the verdict that goes with a release says of it: the ruling, the release, and the files that were judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from refute.attest import SIGNATURE_FILE, manifest_of_digests
from refute.disk import read_regular
from refute.errors import PublicationRefusedError, UsageError, VerificationError
from refute.judge.subject import disagreement
from refute.outcome import Outcome, Severity
from refute.spec.experiments.evidence_files import RELEASED, STAGED
from refute.spec.publication import VERDICT, Publication, Repository

if TYPE_CHECKING:
    from refute.judge.verdict import Verdict
    from refute.spec.criteria import Spec

# The key that signed the verdict goes to nobody: readers have the one that they trust.
KEY: Final = "verifier.pem"
# What looks at the card, the licence and the staged files, by falsifier: SPEC-HF-PUBLISH-001 uses them, and so may a
# specification of any other name, which names alone say nothing about.
LOOKED_AT: Final = {
    "publication-staged": "staged files",
    "publication-files": "kinds of files",
    "publication-card": "card",
    "publication-licence": "licence",
}
_MEASURED = frozenset({Outcome.CORROBORATED, Outcome.FALSIFIED, Outcome.INCONCLUSIVE})


@dataclass(frozen=True, slots=True)
class JudgedRelease:
    """`blocking`: falsifiers that measured it, and whose word stops a release; `files`: SHA-256 by path of everything
    that the gate staged; `consumers`: how many the policy that was signed with the verdict demands."""

    ruling: str
    release: str
    blocking: frozenset[str]
    publication: Publication
    files: Mapping[str, str]
    consumers: int

    def repository(self, named: str | None) -> Repository:
        """Where it is published: as the release declares it, in the place that is `named`.

        Raises PublicationRefusedError for a rehearsal: who may read it there nobody has said, and its card names no
        repository.
        """
        declared = self.publication.hub
        if declared is None:
            raise PublicationRefusedError(
                f"release {self.release} is a rehearsal: it names no hub, nor whether it is private there",
                hint="put `hub: { repo: ORG/NAME, private: true }` in the place of `rehearsal: true`, and run the gate "
                "again: what was trained is kept",
            )
        return Repository.model_validate({**declared.model_dump(), "repo": named or declared.repo})

    def require_publication(self) -> None:
        """Raises PublicationRefusedError where no blocking criterion was about what others are given, whatever the
        ruling."""
        if unseen := [what for name, what in LOOKED_AT.items() if name not in self.blocking]:
            raise PublicationRefusedError(
                f"release {self.release} was judged by nothing that could refute its {', '.join(unseen)}",
                hint="add publish-001.yaml to the release's `specs`, and run the gate again: what was trained is kept",
            )

    def require(self, folder: Path, staged: Mapping[str, str]) -> None:
        """Raises VerificationError unless `staged`, by path below `folder`, are the files that were judged and nothing
        else, and a model.sig among them is about just these."""
        for path in sorted(self.files.keys() | staged.keys() - {VERDICT, SIGNATURE_FILE}):
            if self.files.get(path) != staged.get(path):
                raise VerificationError(
                    f"{path} is not what the verdict is about",
                    hint="stage the run again: refute publish stage RUN",
                )
        if SIGNATURE_FILE in staged:
            signature = read_regular(folder / SIGNATURE_FILE)
            if fault := disagreement(signature, manifest_of_digests(staged, folder)):
                raise VerificationError(fault, hint="stage the run again, with the key that signs")


def read_judged(verdict: Path, key: Path) -> JudgedRelease:
    """By the key that lies beside the verdict: whether that key is to be trusted is for whoever pulls the release.

    Raises VerificationError for a verdict that this key has not signed, UsageError for a release without publication.
    """
    from refute.spec.criteria import parse_spec
    from refute.spec.files import parse_release
    from refute.spec.policy import CONSUMER, parse_policy
    from refute.verify.verification import verify_file

    predicate = verify_file(verdict, [read_regular(key)]).predicate
    release = parse_release(predicate.release.text, predicate.release.name)
    if release.publication is None:
        raise UsageError(f"release {release.release} has no `publication`", hint="add one, and run the gate again")
    inside = f"{RELEASED.name}/"
    files = {
        name.removeprefix(inside): digest
        for name, digest in predicate.evidence.get(STAGED, {}).items()
        if name.startswith(inside)
    }
    policy = None if predicate.policy is None else parse_policy(predicate.policy.text, predicate.policy.name)
    role = None if policy is None else policy.roles.get(CONSUMER)
    return JudgedRelease(
        predicate.verdict.ruling.value,
        release.release,
        _measured(predicate.verdict, [parse_spec(each.text, each.name) for each in predicate.specs]),
        release.publication,
        files,
        0 if role is None else role.threshold,
    )


def _measured(verdict: Verdict, specs: Sequence[Spec]) -> frozenset[str]:
    """Falsifiers that measured this release for criteria that stopped it where they refuted it."""
    from refute.spec.criteria import uses_of

    stopping = (each for each in verdict.criteria if each.severity is Severity.BLOCK)
    ids = {each.falsifier for criterion in stopping for each in criterion.falsifiers if each.outcome in _MEASURED}
    return frozenset(use.uses for use in uses_of(specs) if use.id in ids and use.uses is not None)
