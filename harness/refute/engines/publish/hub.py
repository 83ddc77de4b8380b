"""A model repository on a hub, through huggingface_hub: what it holds, and the few things that are ever done to it.

Reads are tried again; what changes something is tried once, for an exception does not say whether it was done: whoever
asked looks at what the repository holds. Nothing is deleted, moved or forced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import httpx2
from huggingface_hub import CommitOperationAdd, HfApi, constants, set_client_factory
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import disable_progress_bars

from refute.errors import PublicationRefusedError, PublishingError
from refute.spec.experiments.evidence.publication import StagedFile
from refute.spec.publication import Repository as Declared

Found = TypeVar("Found")

MAIN: Final = "main"
# What a hub puts there by itself.
_HUBS_OWN = frozenset({".gitattributes"})
# Answers that another try may change.
_TRANSIENT = frozenset({0, 408, 429, 500, 502, 503, 504})
# Seconds without a byte. huggingface_hub itself waits for ever.
_SILENCE_S = 120.0
_LOGIN = "log in with `hf auth login`, or put a token that may write there into the variable HF_TOKEN"


@dataclass(frozen=True, slots=True)
class Patience:
    """How often something is tried, and seconds before the second try; each pause is twice the last."""

    attempts: int = 4
    pause_s: float = 1.0

    def wait(self, attempt: int) -> None:
        """The pause after `attempt`, counted from 0; none after the last."""
        if attempt + 1 < self.attempts:
            time.sleep(self.pause_s * 2**attempt)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a commit as the hub names it: by SHA-256 where it is kept outside git, else by git's SHA-1 alone."""

    size: int
    git_sha1: str
    sha256: str | None

    def equals(self, staged: StagedFile) -> bool:
        """Whether it is that file."""
        same = self.sha256 == staged.sha256 if self.sha256 is not None else self.git_sha1 == staged.git_sha1
        return same and self.size == staged.size


@dataclass(frozen=True, slots=True)
class Refs:
    """The commit that each branch and each tag names."""

    branches: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PastCommit:
    """A commit and the first line of its message."""

    id: str
    title: str


Tree = Mapping[str, RemoteFile]


def differences(tree: Tree, files: Sequence[StagedFile]) -> list[str]:
    """Paths in which a commit is not exactly `files`, sorted; what a hub puts there by itself is passed over."""
    staged = {each.path: each for each in files}
    found = {path: each for path, each in tree.items() if path in staged or path not in _HUBS_OWN}
    wrong = found.keys() ^ staged.keys()
    return sorted(wrong | {path for path in found.keys() & staged.keys() if not found[path].equals(staged[path])})


def foreign(tree: Tree, files: Sequence[StagedFile]) -> list[str]:
    """Paths of a commit that none of `files` has: they would lie beside the release, and nothing is ever deleted."""
    return sorted(tree.keys() - {each.path for each in files} - _HUBS_OWN)


class HubRepository:
    """One repository, asked as whoever has `token` (None: as whoever is logged in)."""

    def __init__(self, repo: str, *, endpoint: str | None = None, token: str | None = None, patience: Patience) -> None:
        self.repo, self.endpoint, self.token, self.patience = repo, endpoint, token, patience
        self._api = HfApi(endpoint=endpoint, token=token)

    def refs(self) -> Refs:
        """Branches and tags. Raises PublishingError as every read does."""
        found = self.read("list its branches and tags", lambda: self._api.list_repo_refs(self.repo))
        return Refs(
            {each.name: each.target_commit for each in found.branches},
            {each.name: each.target_commit for each in found.tags},
        )

    def tree(self, commit: str) -> Tree:
        """Every file of a commit, by path."""
        listed = self.read(
            "list its files", lambda: list(self._api.list_repo_tree(self.repo, recursive=True, revision=commit))
        )
        return {
            each.path: RemoteFile(each.size, each.blob_id, each.lfs.sha256 if each.lfs is not None else None)
            for each in listed
            if isinstance(each, RepoFile)
        }

    def history(self, commit: str) -> tuple[PastCommit, ...]:
        """It and the commits before it, the newest first."""
        found = self.read("list its commits", lambda: self._api.list_repo_commits(self.repo, revision=commit))
        return tuple(PastCommit(each.commit_id, each.title) for each in found)

    def create(self, declared: Declared) -> None:
        """Make the repository, unless it is there. Raises PublishingError, and its PublicationRefusedError for one that
        everybody reads where a private one was declared: of one that exists, a hub leaves that as it is.
        """
        self.read("make it", lambda: self._api.create_repo(self.repo, private=declared.private, exist_ok=True))
        if declared.private and not self.read("say who reads it", lambda: self._api.repo_info(self.repo).private):
            raise PublicationRefusedError(
                f"{self.repo}: the release is `private`, and everybody reads that repository",
                hint="make it private in its settings, or publish to another repository with --to",
            )
        if declared.gated is not None:
            self.read("gate it", lambda: self._api.update_repo_settings(self.repo, gated=declared.gated))

    def branch(self, name: str, at: str) -> None:
        """Make a branch; raises what the client raises, done or not."""
        self._api.create_branch(self.repo, branch=name, revision=at)

    def tag(self, name: str, at: str) -> None:
        """Make a tag; raises what the client raises, done or not."""
        self._api.create_tag(self.repo, tag=name, revision=at)

    def commit(self, branch: str, folder: Path, files: Sequence[StagedFile], title: str, parent: str) -> None:
        """Put `files` of `folder` on a branch whose last commit is `parent`, in one commit and as they are hashed.

        Raises what the client raises, done or not.
        """
        operations = [_added(folder, each) for each in files]
        self._api.create_commit(
            self.repo, operations, commit_message=title, revision=branch, parent_commit=parent, num_threads=2
        )

    def read(self, what: str, ask: Callable[[], Found]) -> Found:
        """Ask until there is an answer. Raises PublishingError for a refusal, and where patience ends."""
        cause: Exception | None = None
        for attempt in range(self.patience.attempts):
            try:
                return ask()
            except Exception as error:  # noqa: BLE001  # for an answer that it does not know, a client raises anything
                cause = error
                if _status(error) not in _TRANSIENT:
                    break
            self.patience.wait(attempt)
        raise self.failed(what, cause) from cause

    def failed(self, what: str, cause: Exception | None) -> PublishingError:
        """Why a step was not done."""
        told = ": ".join(_causes(cause)) or "it had no effect"
        hint = _LOGIN if _status(cause) in (401, 403, 404) else "call again: what is done is found and not done twice"
        return PublishingError(f"{self.repo}: the hub did not {what}: {told}", hint=hint)


def speak_plainly(*, loopback: bool) -> None:
    """Give up on a hub that falls silent. On the loopback no proxy is asked, and Xet, which has no double, is not."""
    set_client_factory(lambda: httpx2.Client(follow_redirects=True, timeout=_SILENCE_S, trust_env=not loopback))
    disable_progress_bars()
    if loopback:
        constants.HF_HUB_DISABLE_XET = True


def _causes(error: BaseException | None) -> Iterator[str]:
    """The first line of an exception, and of those that it came from: what follows may be anything."""
    while error is not None:
        yield (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        error = error.__cause__


def _status(error: Exception | None) -> int:
    """The HTTP status that an exception is about; 0 for a hub that did not answer, which counts as transient."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(error, HfHubHTTPError) and response is not None:
            return int(response.status_code)
        error = error.__cause__ if isinstance(error.__cause__, Exception) else None
    return 0


def _added(folder: Path, staged: StagedFile) -> CommitOperationAdd:
    operation = CommitOperationAdd(path_in_repo=staged.path, path_or_fileobj=folder / staged.path)
    # Hashed already, and held against the manifest before anything is sent.
    operation.upload_info.sha256 = bytes.fromhex(staged.sha256)
    return operation
