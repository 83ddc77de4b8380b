"""Pushing to a hub that fails in ways that no table has: killed anywhere, other owners, refs that were there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from refute.disk import file_sha256
from refute.engines.publish.hub import HubRepository
from refute.engines.publish.manifest import add_text, check_against, git_sha1, write_manifest
from refute.engines.publish.push import StagedRelease, names_of, push
from refute.engines.publish.rehearsal.answers import Hub
from refute.engines.publish.rehearsal.fault_table import PUSH_FAULTS
from refute.engines.publish.rehearsal.faults import ALWAYS, Fault, FaultTable, Route
from refute.engines.publish.rehearsal.trials import pushed_twice, small_release
from refute.errors import PublicationRefusedError, PublishingError, VerificationError
from refute.spec.publication import Repository
from staged_run import TOKEN, open_hub, repository

DECLARED = Repository(repo="org/tiny")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> StagedRelease:
    """A card, a configuration, weights."""
    return small_release(tmp_path_factory.mktemp("small"))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """One that no fault befalls."""
    with open_hub(tmp_path / "hub") as opened:
        yield opened


def publish(small: StagedRelease, hub: Hub, scratch: Path, declared: Repository = DECLARED, token: str = TOKEN) -> str:
    """The commit that was pulled and hashed."""
    return push(small, repository(hub, declared.repo, token), declared, scratch, lambda *_: None).commit


def held(hub: Hub, small: StagedRelease) -> tuple[bool, int]:
    """Whether main holds the release, and how many of its commits have the release's title."""
    found = hub.repositories.get(DECLARED.repo)
    if found is None:
        return False, 0
    files = {path: blob.sha256 for path, blob in found.at("main").tree.items() if path != ".gitattributes"}
    commits = sum(each.title == names_of(small).title for each in found.history("main"))
    return files == {each.path: each.sha256 for each in small.files}, commits


class EndsAfter(FaultTable):
    """Requests are answered until so many were asked; then the caller is as good as killed."""

    def __init__(self, requests: int) -> None:
        super().__init__()
        self.left = requests

    def next(self, route: Route) -> Fault | None:
        """The fault that this request meets."""
        self.left -= 1
        return None if self.left >= 0 else Fault(route, "status", 403)


@pytest.mark.slow
@pytest.mark.parametrize("requests", range(1, 40, 6))
def test_killed_anywhere_it_is_not_published_and_then_once(
    small: StagedRelease, hub: Hub, tmp_path: Path, requests: int
) -> None:
    """After any number of requests main holds nothing of it, or all; called again, it is there in one commit."""
    hub.faults = EndsAfter(requests)
    with pytest.raises(PublishingError):
        publish(small, hub, tmp_path / "pull")
    whole, commits = held(hub, small)
    assert (commits == 1) == whole
    hub.faults = FaultTable()
    commit = publish(small, hub, tmp_path / "pull")
    assert held(hub, small) == (True, 1)
    assert hub.repositories[DECLARED.repo].tags == {names_of(small).tag: commit}


def test_what_was_uploaded_is_not_uploaded_again(small: StagedRelease, hub: Hub, tmp_path: Path) -> None:
    """A call that ended after the weights had arrived goes on behind them."""
    hub.faults = FaultTable((Fault("commit", "status", 403, times=ALWAYS),))
    with pytest.raises(PublishingError):
        publish(small, hub, tmp_path / "pull")
    hub.faults = FaultTable()
    publish(small, hub, tmp_path / "pull")
    assert "put" not in hub.faults.asked


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        None,
        Fault("put", "status", 403, skip=1),
        Fault("lfs_complete", "status", 403),
        Fault("lfs_complete", "apply_drop"),
    ],
    ids=str,
)
def test_a_large_file_goes_up_in_parts(small: StagedRelease, hub: Hub, tmp_path: Path, fault: Fault | None) -> None:
    """As the hub takes files of more than five gigabytes; each part may fail, and the word that all are there."""
    hub.part_size, hub.faults = 50_000, FaultTable((fault,) if fault else ())
    publish(small, hub, tmp_path / "pull")
    assert held(hub, small) == (True, 1)
    assert (hub.faults.asked["put"] >= 3, hub.faults.asked["lfs_complete"] >= 1) == (True, True)
    (weights,) = (each for each in small.files if each.path == "model.safetensors")
    assert file_sha256(hub.storage.path(weights.sha256)) == weights.sha256


def test_a_part_that_arrives_otherwise_is_not_published(small: StagedRelease, hub: Hub, tmp_path: Path) -> None:
    """The hub joins what it has, and what comes back is not what was sent."""
    hub.part_size, hub.faults = 50_000, FaultTable((Fault("put", "corrupt", skip=1),))
    with pytest.raises(VerificationError):
        publish(small, hub, tmp_path / "pull")
    assert held(hub, small) == (False, 0)


@pytest.mark.slow
def test_another_release_goes_on_top(small: StagedRelease, hub: Hub, tmp_path: Path) -> None:
    """Tags and branches of both stay; the older one does not come back."""
    publish(small, hub, tmp_path / "pull")
    texts = {"README.md": "---\nlicense: mit\n---\nsecond\n", "config.json": "{}", "model.safetensors": "x" * 70_000}
    write_manifest(tmp_path / "new", [add_text(text, tmp_path / "new/release", path) for path, text in texts.items()])
    newer = StagedRelease.read(tmp_path / "new")
    publish(newer, hub, tmp_path / "pull")
    assert held(hub, newer) == (True, 1)
    assert len(hub.repositories[DECLARED.repo].tags) == 2
    with pytest.raises(PublicationRefusedError, match="main held this release, and holds something else now"):
        publish(small, hub, tmp_path / "pull")
    assert held(hub, newer) == (True, 1)


def test_a_tag_that_is_there_is_never_moved(small: StagedRelease, hub: Hub, tmp_path: Path) -> None:
    """Whoever set it to something else must say why."""
    repository(hub).create(DECLARED)
    found = hub.repositories[DECLARED.repo]
    found.tags[names_of(small).tag] = found.branches["main"]
    with pytest.raises(PublicationRefusedError, match="is there, and names"):
        publish(small, hub, tmp_path / "pull")
    assert held(hub, small) == (False, 0)


@pytest.mark.slow
def test_a_branch_that_somebody_has_spoilt_is_left(small: StagedRelease, hub: Hub, tmp_path: Path) -> None:
    """The next name is taken."""
    repository(hub).create(DECLARED)
    found, branch = hub.repositories[DECLARED.repo], names_of(small).branch
    found.branches[branch] = found.branches["main"]
    theirs = hub.storage.commit(found, branch, "theirs", {"x.txt": hub.storage.regular(b"?")}, None)
    publish(small, hub, tmp_path / "pull")
    assert found.branches[branch] == theirs.oid
    assert held(hub, small) == (True, 1)


@pytest.mark.slow
def test_a_private_and_gated_repository_is_made_so(small: StagedRelease, hub: Hub, tmp_path: Path) -> None:
    """And is there for its owner alone."""
    declared = Repository(repo="an-org/closed", private=True, gated="manual")
    publish(small, hub, tmp_path / "pull", declared)
    found = hub.repositories[declared.repo]
    assert (found.private, found.gated) == (True, "manual")
    with pytest.raises(PublishingError, match="the hub did not") as caught:
        HubRepository.refs(repository(hub, declared.repo, "another"))
    assert "hf auth login" in caught.value.hint


def test_a_public_repository_takes_no_private_release(small: StagedRelease, hub: Hub, tmp_path: Path) -> None:
    """A hub ignores `private` for a repository that exists: nothing is sent to it, and nothing is changed there."""
    repository(hub).create(DECLARED)
    with pytest.raises(PublicationRefusedError, match="everybody reads that repository"):
        publish(small, hub, tmp_path / "pull", Repository(repo=DECLARED.repo, private=True, gated="manual"))
    found = hub.repositories[DECLARED.repo]
    assert (found.private, found.gated, len(found.commits), len(found.branches)) == (False, None, 1, 1)
    assert not {"put", "commit", "branch", "settings"} & hub.faults.asked.keys()


def test_without_a_token_nothing_is_made(small: StagedRelease, hub: Hub, tmp_path: Path) -> None:
    """It says how to get one, and shows none."""
    with pytest.raises(PublishingError, match="did not make it: ") as caught:
        publish(small, hub, tmp_path / "pull", token="wrong")  # noqa: S106  # it must not fit
    assert "hf auth login" in caught.value.hint
    assert "wrong" not in str(caught.value)
    assert hub.repositories == {}


@pytest.mark.slow
def test_many_small_files_are_one_commit(hub: Hub, tmp_path: Path) -> None:
    """The client's own upload cuts more than 250 into several, one of which may be lost."""
    texts = {f"shards/{n:03}.json": f'{{"n": {n}}}' for n in range(300)} | {"README.md": "---\nlicense: mit\n---\n"}
    write_manifest(tmp_path, [add_text(text, tmp_path / "release", path) for path, text in texts.items()])
    many = StagedRelease.read(tmp_path)
    publish(many, hub, tmp_path / "pull")
    assert held(hub, many) == (True, 1)


def test_every_fault_of_the_table_is_told_apart(tmp_path: Path) -> None:
    """Their names are the rows' keys."""
    assert len({str(fault) for fault in PUSH_FAULTS}) == len(PUSH_FAULTS) >= 30


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault("commit", "apply_drop"), Fault("put", "corrupt")], ids=str)
def test_a_trial_ends_as_its_table_says(fault: Fault, small: StagedRelease, tmp_path: Path) -> None:
    """The whole table is met in every gate; here, one of each kind."""
    row = pushed_twice(fault, small, tmp_path)
    assert row.second == row.expected == PUSH_FAULTS[fault]
    assert row.published_then == (row.second == "published")


@pytest.mark.parametrize("change", ["another", "gone", "more", "link"])
def test_a_folder_that_is_not_its_manifest_is_refused(tmp_path: Path, change: str) -> None:
    """Named by what is wrong with it."""
    small = small_release(tmp_path)
    file = small.folder / "config.json"
    if change == "another":
        file.write_text("[]", encoding="utf-8")
    elif change == "more":
        (small.folder / "more.txt").write_text("", encoding="utf-8")
    else:
        file.unlink()
        if change == "link":
            file.symlink_to(small.folder / "README.md")
    with pytest.raises(VerificationError, match=r"config\.json|more\.txt"):
        check_against(small.folder, small.files)


def test_a_blob_is_called_as_git_calls_it() -> None:
    """`printf hello | git hash-object --stdin`."""
    assert git_sha1(b"hello") == "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"
