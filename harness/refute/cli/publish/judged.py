"""What the verdict that goes with a release says of it: the ruling, the release, and the files that were judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from refute.disk import read_regular
from refute.errors import UsageError, VerificationError
from refute.spec.experiments.evidence_files import RELEASED, STAGED
from refute.spec.publication import Publication, Repository

# Where both lie in a release: beside the files of the model, and not among them.
VERDICT, KEY = "verdict.intoto.json", "verifier.pem"


@dataclass(frozen=True, slots=True)
class JudgedRelease:
    """`files`: SHA-256 by path of everything that the gate staged."""

    ruling: str
    release: str
    publication: Publication
    files: Mapping[str, str]

    def repository(self, named: str | None) -> Repository:
        """Where it is published. Raises UsageError where neither the release nor anybody else says so."""
        declared = self.publication.hub
        if named is None and declared is None:
            raise UsageError(
                f"release {self.release} names no hub: it is a rehearsal", hint="name a repository with --to ORG/NAME"
            )
        if named is None or (declared is not None and named == declared.repo):
            return declared or Repository(repo=named or "")
        return Repository.model_validate({**(declared.model_dump() if declared else {}), "repo": named})

    def require(self, staged: Mapping[str, str]) -> None:
        """Raises VerificationError unless `staged`, by path, are the files that were judged and nothing else."""
        for path in sorted(self.files.keys() | staged.keys() - {VERDICT, KEY}):
            if self.files.get(path) != staged.get(path):
                raise VerificationError(
                    f"{path} is not what the verdict is about",
                    hint="stage the run again: refute publish stage RUN",
                )


def read_judged(verdict: Path, key: Path) -> JudgedRelease:
    """By the key that lies beside the verdict: whether that key is to be trusted is for whoever pulls the release.

    Raises VerificationError for a verdict that this key has not signed, UsageError for a release without publication.
    """
    from refute.spec.files import parse_release
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
    return JudgedRelease(predicate.verdict.ruling.value, release.release, release.publication, files)
