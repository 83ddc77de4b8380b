"""What staging and publishing write."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from refute.spec.experiments.evidence.base import EvidenceModel, Several
from refute.spec.fields import Sha256

GitSha1 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
# Where a file comes from: the judged folder, an export of it, or written while staging.
StagedFrom = Literal["student", "export", "stage"]


class StagedFile(EvidenceModel):
    """A file of a staged release: its path there with `/`, bytes, SHA-256, and git's SHA-1 of it as a blob."""

    path: str
    size: int
    sha256: Sha256
    git_sha1: GitSha1
    source: StagedFrom


class CardClaim(EvidenceModel):
    """A number of the card: its `text` there, rounded to `decimals`, and where it was read from.

    `sha256` is of that `file` of the `evidence`; `key` says what stands there, or what it was computed from.
    """

    id: str
    label: str
    text: str
    decimals: int
    evidence: str
    file: str
    key: str
    sha256: Sha256


class Pushed(EvidenceModel):
    """A release on a hub: `commit` was pulled and hashed, is on `branch` and has the tag; `main` holds the same files.

    `digest` is the release's; `size` are bytes.
    """

    repo: str
    digest: Sha256
    branch: str
    commit: GitSha1
    tag: str
    main: GitSha1
    files: int
    size: int


class RemoteEntry(EvidenceModel):
    """A file of a commit on the hub, as the hub names it; `sha256` where it is kept outside git. `at`: main or tag."""

    at: Literal["main", "tag"]
    path: str
    size: int
    git_sha1: GitSha1
    sha256: Sha256 | None


class RemoteRef(EvidenceModel):
    """A branch or a tag, the commit that it names, and the titles of that and those before it, the newest first."""

    kind: Literal["branch", "tag"]
    name: str
    commit: GitSha1
    titles: Several[str]


class Compared(EvidenceModel):
    """Of `n` texts or prompts, how many two readers read otherwise."""

    n: int
    differing: int


class Generations(EvidenceModel):
    """The versions that opened one folder, why one could not, and in what they differ; texts and prompts are compared
    where both could.

    Each answered every sequence several times: `answers` in all, of which `differing` are not what it answered mostly.
    """

    older: str
    newer: str
    errors: Several[str]
    ids: Compared
    rendered: Compared
    answers: Compared


class PulledFile(EvidenceModel):
    """A file that was pulled by its commit into an empty place: bytes and SHA-256 as they arrived."""

    path: str
    size: int
    sha256: Sha256


# How a call to publish ends: it is done; a person must look; the same call may be made again; what came back is false.
PushEnding = Literal["published", "refused", "failed", "untrusted"]


class RehearsedPush(EvidenceModel):
    """A push that met `fault`, and a second call after it that met none: how each ended, and what the hub held then.

    `published`: main and the tag hold exactly the release. `commits` are those of main that have the release's title.
    `expected`: how the second call must end.
    """

    fault: str
    first: PushEnding
    published: bool
    commits: int
    second: PushEnding
    published_then: bool
    commits_then: int
    expected: PushEnding


class RehearsedPull(EvidenceModel):
    """A pull that met `fault`: whether it was taken for the release, and whether it was, to the byte."""

    fault: str
    accepted: bool
    equal: bool


class ReadSignature(EvidenceModel):
    """A file that signs a release, as a reader finds it by one key: `failed` is why that key did not sign it, `about`
    the digest that it is on."""

    file: str
    failed: str | None
    about: str | None


class SignedFolder(EvidenceModel):
    """A release with its signatures beside it: `digest` and number of the files there, what each signature says, and
    paths that are not as model.sig has them."""

    digest: Sha256
    files: int
    signatures: Several[ReadSignature]
    differing: Several[str]


class Signing(EvidenceModel):
    """The staged release, signed by keys of the moment, and what is said of a small one with a planted fault."""

    staged: SignedFolder
    known_bad: dict[str, SignedFolder]
