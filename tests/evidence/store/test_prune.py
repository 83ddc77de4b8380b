"""What a store holds and what may go: nothing that is cited, made use of, young or in use, and all the rest."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refute.errors import EvidenceError
from refute.evidence.store import Store
from refute.evidence.store.inventory import take_inventory
from refute.evidence.store.prune import Kept, Pruned, prune
from refute.judge.run.folder import RunFolder

if TYPE_CHECKING:
    from tests.conftest import Cli

HOUR = 3600.0
NOTHING = Kept(frozenset(), frozenset())


def key_of(name: str) -> str:
    """A key like any other."""
    return name.encode().hex().ljust(64, "0")


def age(path: Path, seconds: float = 2 * HOUR) -> None:
    """Make `path` as old as that."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def fill(store: Store, made_from: dict[str, list[str]], age_s: float = 2 * HOUR, shared: bytes = b"shared") -> None:
    """Evidence by name, each made from the named ones before it, with a file of its own and one that all share."""
    digests: dict[str, str] = {}
    for name, needs in made_from.items():
        out = store.scratch(key_of(name)) / "out"
        out.mkdir()
        (out / "own").write_bytes(name.encode() * 100)
        (out / "shared").write_bytes(shared)
        digests[name] = store.add(name, key_of(name), out, {need: digests[need] for need in needs}).digest
        store.discard_scratch(key_of(name))
        age(store.manifest_path(key_of(name)), age_s)


def kept(store: Store, *names: str) -> Kept:
    """What a run that cites evidence of these names keeps."""
    manifests = [manifest for manifest in store.manifests().values() if manifest.name in names]
    objects = frozenset[str]().union(*(manifest.files.values() for manifest in manifests))
    return Kept(frozenset(manifest.digest for manifest in manifests), objects)


def clean(store: Store, keep: Kept, *, dry_run: bool = False) -> Pruned:
    """Prune what is older than an hour."""
    return prune(store, keep, before=time.time() - HOUR, dry_run=dry_run, report=lambda *_: None)


def disk_usage(root: Path) -> int:
    """Bytes of all files below `root`, each counted once."""
    files = [path.stat() for path in root.rglob("*") if path.is_file()]
    return sum({(status.st_dev, status.st_ino): status.st_size for status in files}.values())


def test_an_inventory_counts_shared_and_loose_bytes(tmp_path: Path) -> None:
    """Sizes are of what is on disk: a shared file is counted once, a file that nothing names is loose."""
    store = Store(tmp_path)
    fill(store, {"corpus": [], "student": ["corpus"], "other": []})
    store.manifest_path(key_of("other")).unlink()
    found = take_inventory(store)
    assert (found.size, found.shared, found.loose) == (600 + 700 + 500 + 6, 6, 500)
    assert {(entry.manifest.name, entry.size, entry.missing) for entry in found.entries} == {
        ("corpus", 606, ()),
        ("student", 706, ()),
    }
    store.object_path(store.manifests()[key_of("corpus")].files["own"]).unlink()
    assert {entry.manifest.name: entry.missing for entry in take_inventory(store).entries}["corpus"] == ("own",)


def test_what_kept_evidence_was_made_from_stays(tmp_path: Path) -> None:
    """A student is kept with its corpus and what that came from: else the next gate would train it again."""
    store = Store(tmp_path)
    fill(store, {"raw": [], "corpus": ["raw"], "student": ["corpus"], "other": ["raw"]})
    assert [name for name, _ in clean(store, kept(store, "student")).evidence] == ["other"]
    assert all(store.find(name, key_of(name)) is not None for name in ("raw", "corpus", "student"))
    assert store.find("other", key_of("other")) is None


def test_what_is_young_stays(tmp_path: Path) -> None:
    """Evidence of the last hour may belong to a run that was interrupted before it cited anything."""
    store = Store(tmp_path)
    fill(store, {"old": []})
    fill(store, {"young": []}, age_s=HOUR / 2)
    assert [name for name, _ in clean(store, NOTHING).evidence] == ["old"]


def test_leftovers_go_and_checkpoints_stay(tmp_path: Path) -> None:
    """Loose objects, views of what is gone, old half-written files and finished scratch; never an unfinished run's."""
    store = Store(tmp_path)
    fill(store, {"it": [], "lost": []})
    store.manifest_path(key_of("lost")).unlink()
    (store.scratch(key_of("it")) / "checkpoint").write_bytes(b"1")
    (store.scratch(key_of("unfinished")) / "checkpoint").write_bytes(b"2")
    parts = [store.root / "keys" / "k.7.part", store.object_path("ab" * 32).with_suffix(".7.part")]
    for part in parts:
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(b"half")
        age(part)
    pruned = clean(store, kept(store, "it"))
    assert {kind: len(paths) for kind, paths in pruned.paths.items()} == {
        "evidence": 0,
        "views": 1,
        "objects": 1,
        "half-written": 2,
        "scratch": 1,
    }
    assert (store.root / "work" / key_of("unfinished") / "checkpoint").read_bytes() == b"2"
    assert store.find("it", key_of("it")) is not None


def test_nothing_goes_while_somebody_uses_the_store(tmp_path: Path) -> None:
    """A gate that has the store open may read what it found there: pruning is refused, and removes nothing."""
    store = Store(tmp_path)
    fill(store, {"it": []})
    gate = Store(tmp_path)
    with pytest.raises(EvidenceError, match="in use"):
        clean(store, NOTHING)
    del gate
    assert clean(store, NOTHING).evidence


def test_a_manifest_that_cannot_be_read_stops_it(tmp_path: Path) -> None:
    """What it names is not known, so nothing may go."""
    store = Store(tmp_path)
    fill(store, {"it": [], "other": []})
    store.manifest_path(key_of("it")).write_bytes(b"{")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(EvidenceError, match="is no manifest"):
        clean(store, NOTHING)
    assert sorted(tmp_path.rglob("*")) == before


NAMES = ("a", "b", "c", "d", "e")


@pytest.mark.slow
@given(data=st.data())
def test_what_is_kept_is_whole_and_what_is_freed_is_free(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Whatever builds on what: all that is cited can be read afterwards, and the bytes are those that the disk gained.

    A rehearsal says the same and removes nothing; a second pruning finds nothing.
    """
    store = Store(tmp_path_factory.mktemp("store"))
    graph = {
        name: data.draw(st.lists(st.sampled_from(NAMES[:place]), unique=True)) if place else []
        for place, name in enumerate(NAMES)
    }
    fill(store, graph)
    cited = data.draw(st.sets(st.sampled_from(NAMES)))
    before, keep = disk_usage(store.root / "objects"), kept(store, *cited)
    rehearsal = clean(store, keep, dry_run=True)
    assert disk_usage(store.root / "objects") == before
    manifests = sum(Path(path).stat().st_size for path in rehearsal.paths["evidence"])
    done = clean(store, keep)
    assert done == rehearsal
    assert before - disk_usage(store.root / "objects") == done.size - manifests
    assert all(store.find(name, key_of(name)) is not None for name in cited)
    assert not any(clean(store, keep).paths.values())


@pytest.mark.slow
def test_the_command_keeps_what_runs_cite(cli: Cli, make_run: Callable[..., RunFolder], tmp_path: Path) -> None:
    """`refute store list` names runs; `prune` removes evidence of runs that are not kept, in words and as JSON."""
    run, options = make_run(), ("--store", tmp_path / "store", "--refute-dir", tmp_path)
    listed = json.loads(cli("store", "list", *options, "--json").stdout)
    assert {entry["name"]: entry["runs"] for entry in listed["evidence"]}["answers"] == [run.path.name]
    assert run.path.name in cli("store", "list", *options).stdout
    assert "removed 0 evidence" in cli("store", "prune", *options, "--keep-runs", 0).stdout
    for path in (*run.path.iterdir(), run.path, *(tmp_path / "store" / "keys").iterdir()):
        age(path)
    assert json.loads(cli("store", "prune", *options, "--json").stdout)["evidence"] == []
    assert "would remove 2 evidence" in cli("store", "prune", *options, "--keep-runs", 0, "--dry-run").stdout
    gone = json.loads(cli("store", "prune", *options, "--keep-runs", 0, "--json").stdout)
    assert ([entry["name"] for entry in gone["evidence"]], gone["bytes"] > 0) == (["answers", "notes"], True)
    assert json.loads(cli("store", "list", *options, "--json").stdout)["bytes"] == 0


def test_looking_makes_no_store(cli: Cli, tmp_path: Path) -> None:
    """A mistyped folder is a usage error, and stays absent."""
    for command in ("list", "prune"):
        ended = cli("store", command, "--store", tmp_path / "absent")
        assert (ended.returncode, "there is no evidence store at" in ended.stderr) == (2, True)
    assert not (tmp_path / "absent").exists()
