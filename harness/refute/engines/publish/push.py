"""Push a staged release: one commit on a branch of its own, verified there by what a stranger pulls, then tag and main.

Every step looks at what the repository holds, does what is missing, and looks again: an exception never says whether
something was done. So a call that was killed anywhere, or that met any fault, is made again and goes on.

    release/D     D: the first twelve digits of the release's digest; the files in one commit on top of main
    release-D     the tag: the commit that was pulled and hashed
    main          the same files, last: only then does everybody get them
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from refute.engines.publish.hub import MAIN, HubRepository, Refs, differences, foreign
from refute.engines.publish.manifest import check_against, release_digest
from refute.engines.publish.pull import pull_and_check
from refute.errors import PublicationRefusedError
from refute.job import ProgressCallback
from refute.spec.experiments.evidence.publication import Pushed, StagedFile
from refute.spec.experiments.evidence_files import MANIFEST, RELEASED
from refute.spec.publication import Repository

_SHOWN = 4
# Branches that somebody else, or a hub that loses files, has spoilt.
_MOST_BRANCHES: Final = 9


@dataclass(frozen=True, slots=True)
class StagedRelease:
    """The files below `folder` and what the manifest beside that folder says of them."""

    folder: Path
    files: tuple[StagedFile, ...]

    @classmethod
    def read(cls, place: Path) -> StagedRelease:
        """What was staged in `place`. Raises EvidenceError where there is no manifest, or it is none."""
        return cls(place / RELEASED.name, MANIFEST.read(place, place.name))

    @property
    def digest(self) -> str:
        """Changes with every content and every name."""
        return release_digest(self.files)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(each.size for each in self.files)


@dataclass(frozen=True, slots=True)
class Names:
    """What a release is called in a repository."""

    branch: str
    tag: str
    title: str


def names_of(staged: StagedRelease) -> Names:
    """By the first twelve digits of its digest."""
    short = staged.digest[:12]
    return Names(f"release/{short}", f"release-{short}", f"Release {short}")


def push(
    staged: StagedRelease, hub: HubRepository, declared: Repository, scratch: Path, told: ProgressCallback
) -> Pushed:
    """Publish `staged`, or find that it is published; pulls into `scratch` what it has pushed.

    Raises:
        VerificationError: the files are not those of the manifest, or what the hub gives is not what was staged.
        PublicationRefusedError: main or the tag holds something else.
        PublishingError: the hub did not do what it was asked, or does not answer. main is as it was before.
    """
    work = _Push(staged, hub, told, names_of(staged))
    check_against(staged.folder, staged.files, work.counter("hash the staged files"))
    hub.create(declared)
    refs = hub.refs()
    work.refuse_foreign_files(refs.branches[MAIN])
    work.refuse_other_tag(refs)
    branch, commit = work.on_a_branch()
    pull_and_check(hub, commit, staged.files, scratch, work.counter("pull and hash"))
    work.tag(commit)
    main = work.on_main()
    return Pushed(
        repo=hub.repo,
        digest=staged.digest,
        branch=branch,
        commit=commit,
        tag=work.names.tag,
        main=main,
        files=len(staged.files),
        size=staged.size,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """A branch, whether it is made, the commit that the release goes on top of, and the one that holds it already."""

    branch: str
    made: bool
    base: str
    commit: str | None


@dataclass(frozen=True, slots=True)
class _Push:
    staged: StagedRelease
    hub: HubRepository
    told: ProgressCallback
    names: Names

    def counter(self, stage: str) -> Callable[[int], None]:
        """Tells of bytes of all that are staged."""
        done = 0

        def count_(size: int) -> None:
            nonlocal done
            done += size
            self.told(stage, done, self.staged.size, {})

        return count_

    def holds(self, commit: str) -> bool:
        return not differences(self.hub.tree(commit), self.staged.files)

    def refuse_foreign_files(self, main: str) -> None:
        if found := foreign(self.hub.tree(main), self.staged.files):
            raise PublicationRefusedError(
                f"{self.hub.repo}: main holds {_some(found)}, which this release has not",
                hint="publish to another repository, or take them away by hand: nothing is deleted here",
            )

    def refuse_other_tag(self, refs: Refs) -> None:
        commit = refs.tags.get(self.names.tag)
        if commit is not None and not self.holds(commit):
            raise PublicationRefusedError(
                f"{self.hub.repo}: the tag {self.names.tag} is there, and names {commit}, which is not this release",
                hint="find out who made it: a tag is never moved here",
            )

    def on_a_branch(self) -> tuple[str, str]:
        """The release's branch and the commit there that holds it, made where it is missing."""
        self._until(lambda: self._place().commit is None, self._upload, "take the files")
        place = self._place()
        if place.commit is None:
            raise self.hub.failed("keep the files", None)
        return place.branch, place.commit

    def _upload(self) -> None:
        place = self._place()
        self.told("upload", 0, self.staged.size, {"branch": place.branch})
        if not place.made:
            self.hub.branch(place.branch, place.base)
        self.hub.commit(place.branch, self.staged.folder, self.staged.files, self.names.title, place.base)
        self.told("upload", self.staged.size, self.staged.size, {"branch": place.branch})

    def _place(self) -> _Place:
        """The first branch that is still to be made, is as main was, or holds the release in one commit on top of that.

        One that holds something else was spoilt by somebody, or by a hub that loses files: it is left as it is.
        """
        refs = self.hub.refs()
        before = [each.id for each in self.hub.history(refs.branches[MAIN])]
        for number in range(1, _MOST_BRANCHES + 1):
            branch = self.names.branch + (f".{number}" if number > 1 else "")
            head = refs.branches.get(branch)
            if head is None or head in before:
                return _Place(branch, head is not None, head or before[0], None)
            added = [each for each in self.hub.history(head) if each.id not in before]
            if len(added) == 1 and self.holds(head):
                return _Place(branch, True, head, head)
        raise PublicationRefusedError(
            f"{self.hub.repo}: {_MOST_BRANCHES} branches of this release hold something else",
            hint="find out who writes to that repository, or why it loses files",
        )

    def tag(self, commit: str) -> None:
        def missing() -> bool:
            refs = self.hub.refs()
            self.refuse_other_tag(refs)
            return self.names.tag not in refs.tags

        self._until(missing, lambda: self.hub.tag(self.names.tag, commit), "set the tag")

    def on_main(self) -> str:
        """The commit of main that holds the release, made where it is missing."""
        self._until(lambda: not self.holds(self.hub.refs().branches[MAIN]), self._upload_to_main, "put it on main")
        return self.hub.refs().branches[MAIN]

    def _upload_to_main(self) -> None:
        head = self.hub.refs().branches[MAIN]
        self.refuse_foreign_files(head)
        if any(each.title == self.names.title for each in self.hub.history(head)):
            raise PublicationRefusedError(
                f"{self.hub.repo}: main held this release, and holds something else now",
                hint=f"its files are under the tag {self.names.tag}: main is never set back",
            )
        self.hub.commit(MAIN, self.staged.folder, self.staged.files, self.names.title, head)

    def _until(self, missing: Callable[[], bool], do: Callable[[], None], what: str) -> None:
        """Do it while it is missing. Raises PublishingError where patience ends."""
        cause: Exception | None = None
        for attempt in range(self.hub.patience.attempts):
            if not missing():
                return
            try:
                do()
                continue
            except PublicationRefusedError:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it was: the next look says what came of it
                cause = error
            self.hub.patience.wait(attempt)
        if missing():
            raise self.hub.failed(what, cause)


def _some(paths: list[str]) -> str:
    more = len(paths) - _SHOWN
    return ", ".join(paths[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
