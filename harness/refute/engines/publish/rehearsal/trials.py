"""A small release under one fault: pushed twice, or pulled; by our own steps, or by the hub's client alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huggingface_hub import CommitOperationAdd, HfApi

from refute.engines.publish.hub import MAIN, HubRepository, Patience
from refute.engines.publish.manifest import add_text, check_against, write_manifest
from refute.engines.publish.pull import FILES, pull
from refute.engines.publish.push import StagedRelease, names_of, push
from refute.engines.publish.rehearsal.answers import Hub
from refute.engines.publish.rehearsal.fault_table import PUSH_FAULTS
from refute.engines.publish.rehearsal.faults import Fault, FaultTable
from refute.engines.publish.rehearsal.server import rehearsal_hub
from refute.errors import PublicationRefusedError, PublishingError, VerificationError
from refute.spec.experiments.evidence.publication import PushEnding, RehearsedPull, RehearsedPush
from refute.spec.publication import Repository

_DECLARED: Final = Repository(repo="rehearsal/small")
_TOKEN: Final = "of the rehearsal"  # noqa: S105  # it opens a hub that is gone when the rehearsal is
_PATIENCE: Final = Patience(attempts=4, pause_s=0.05)
# More than any buffer on the way takes at once.
_WEIGHTS: Final = "0123456789abcdef" * 8192


def small_release(folder: Path) -> StagedRelease:
    """A card, a configuration and weights that a hub keeps outside git, staged in `folder`."""
    texts = {"README.md": "---\nlicense: mit\n---\n", "config.json": "{}", "model.safetensors": _WEIGHTS}
    write_manifest(folder, [add_text(text, folder / "release", path) for path, text in texts.items()])
    return StagedRelease.read(folder)


@contextmanager
def open_hub(folder: Path, repo: str, *faults: Fault) -> Iterator[tuple[Hub, HubRepository]]:
    """A hub in `folder`, and the repository there as whoever may write sees it."""
    with rehearsal_hub(folder, _TOKEN, *faults) as hub:
        yield hub, HubRepository(repo, endpoint=hub.api, token=_TOKEN, patience=_PATIENCE)


def pushed_twice(fault: Fault, small: StagedRelease, folder: Path) -> RehearsedPush:
    """Our push under `fault`, and once more without."""
    with open_hub(folder / "hub", _DECLARED.repo, fault) as (hub, repository):
        return _twice(fault, hub, small, lambda: _push(small, repository, folder), PUSH_FAULTS[fault])


def pushed_plainly(fault: Fault, small: StagedRelease, folder: Path) -> RehearsedPush:
    """The same by one upload to main, as it is usually done: what it raises is taken for what came of it."""
    with open_hub(folder / "hub", _DECLARED.repo, fault) as (hub, repository):
        repository.create(_DECLARED)
        return _twice(fault, hub, small, lambda: _upload(small, hub), "published")


def pulled(fault: Fault, small: StagedRelease, folder: Path) -> RehearsedPull:
    """Our pull under `fault`."""
    return _pull_under(fault, small, folder, _pull_and_check)


def pulled_plainly(fault: Fault, small: StagedRelease, folder: Path) -> RehearsedPull:
    """The client's download under `fault`: it compares sizes."""
    return _pull_under(fault, small, folder, _download)


def _push(small: StagedRelease, repository: HubRepository, folder: Path) -> None:
    push(small, repository, _DECLARED, folder / "pull", lambda *_: None)


def _upload(small: StagedRelease, hub: Hub) -> None:
    operations = [CommitOperationAdd(each.path, small.folder / each.path) for each in small.files]
    api, names = HfApi(endpoint=hub.api, token=_TOKEN), names_of(small)
    api.create_commit(_DECLARED.repo, operations, commit_message=names.title)
    api.create_tag(_DECLARED.repo, tag=names.tag)


def _twice(
    fault: Fault, hub: Hub, small: StagedRelease, call: Callable[[], None], expected: PushEnding
) -> RehearsedPush:
    first, published, commits = _ending(call), _is_published(hub, small), _commits(hub, small)
    hub.faults = FaultTable()
    return RehearsedPush(
        fault=str(fault),
        first=first,
        published=published,
        commits=commits,
        second=_ending(call),
        published_then=_is_published(hub, small),
        commits_then=_commits(hub, small),
        expected=expected,
    )


def _ending(call: Callable[[], None]) -> PushEnding:
    try:
        call()
    except PublicationRefusedError:
        return "refused"
    except VerificationError:
        return "untrusted"
    except Exception:  # noqa: BLE001  # of a client that is used plainly, whatever it raises
        return "failed"
    return "published"


def _is_published(hub: Hub, small: StagedRelease) -> bool:
    """Whether main and the tag hold the release to the byte: read from what the hub keeps, not asked of it."""
    repository, names = hub.repositories.get(_DECLARED.repo), names_of(small)
    if repository is None or names.tag not in repository.tags:
        return False
    wanted = {each.path: each.sha256 for each in small.files}
    trees = (repository.at(revision).tree for revision in (MAIN, names.tag))
    found = ({path: hub.storage.digest(blob) for path, blob in tree.items() if path in wanted} for tree in trees)
    return all(each == wanted for each in found)


def _commits(hub: Hub, small: StagedRelease) -> int:
    repository, title = hub.repositories.get(_DECLARED.repo), names_of(small).title
    return 0 if repository is None else sum(each.title == title for each in repository.history(MAIN))


@dataclass(frozen=True, slots=True)
class _Pull:
    repository: HubRepository
    small: StagedRelease
    folder: Path


def _pull_and_check(wanted: _Pull) -> None:
    _download(wanted)
    check_against(wanted.folder / FILES, wanted.small.files)


def _download(wanted: _Pull) -> None:
    pull(wanted.repository, wanted.repository.refs().branches[MAIN], wanted.folder)


def _pull_under(fault: Fault, small: StagedRelease, folder: Path, get: Callable[[_Pull], None]) -> RehearsedPull:
    with open_hub(folder / "hub", _DECLARED.repo) as (hub, repository):
        _push(small, repository, folder)
        hub.faults = FaultTable((fault,))
        seen = folder / "seen"
        try:
            get(_Pull(repository, small, seen))
        except (PublishingError, VerificationError):
            return RehearsedPull(fault=str(fault), accepted=False, equal=False)
        return RehearsedPull(fault=str(fault), accepted=True, equal=_equal(seen / FILES, small))


def _equal(files: Path, small: StagedRelease) -> bool:
    """Read by other means than those that are rehearsed."""
    found = {each.path: hashlib.sha256((files / each.path).read_bytes()).hexdigest() for each in small.files}
    return found == {each.path: each.sha256 for each in small.files}
