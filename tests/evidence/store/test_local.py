"""The evidence store: nothing half-written is read, nothing changed goes unnoticed, nothing is done twice."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from refute.disk import file_sha256, link_or_copy
from refute.errors import EvidenceError
from refute.evidence.manifest import manifest_digest
from refute.evidence.store import Store
from tampering import overwrite

KEY = "k" * 64
FILES = {"a.json": b"{}", "model/config.json": b"config", "model/weights": b"\x00" * 5000}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


def write(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    """The files below `folder`."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def the_object(store: Store, data: bytes) -> Path:
    """Where the store keeps `data`."""
    digest = hashlib.sha256(data).hexdigest()
    return store.root / "objects" / digest[:2] / digest


def test_what_was_added_is_found_by_its_key(store: Store, tmp_path: Path) -> None:
    """Names, contents and digests come back, in this store and in another one over the same folder."""
    added = store.add("student", KEY, write(tmp_path / "out"))
    found = Store(store.root).find("student", KEY)
    assert found == added
    assert found is not None
    assert {name: (found.folder / name).read_bytes() for name in found.files} == FILES
    assert found.files == {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    assert found.digest == manifest_digest(found.files)


def test_an_unknown_key_is_no_evidence(store: Store, tmp_path: Path) -> None:
    """Evidence of one key is not given for another."""
    store.add("student", KEY, write(tmp_path / "out"))
    assert store.find("student", "l" * 64) is None


def test_objects_and_views_are_read_only(store: Store, tmp_path: Path) -> None:
    """A falsifier that opens its evidence for writing is refused; the source keeps its mode."""
    found = store.add("student", KEY, write(tmp_path / "out"))
    paths = [path for path in (*(store.root / "objects").rglob("*"), *found.folder.rglob("*")) if path.is_file()]
    assert len(paths) == 2 * len(FILES)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o444}
    assert stat.S_IMODE((tmp_path / "out" / "a.json").stat().st_mode) & stat.S_IWUSR


def test_one_content_is_kept_once(store: Store, tmp_path: Path) -> None:
    """Two files of one content share an object, and a later change of the source changes neither."""
    out = write(tmp_path / "out", {"a": b"same", "b": b"same"})
    found = store.add("student", KEY, out)
    (out / "a").write_bytes(b"other")
    assert len([path for path in (store.root / "objects").rglob("*") if path.is_file()]) == 1
    assert (found.path("a").read_bytes(), found.path("b").read_bytes()) == (b"same", b"same")


CRASH = """
import os, signal, sys
from pathlib import Path
from refute.evidence.store import local

def crash(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

place = Path if sys.argv[3] == "replace" else local
setattr(place, sys.argv[3], crash)
local.Store(Path(sys.argv[1])).add("student", "k" * 64, Path(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["link_or_copy", "_write_atomically", "file_sha256", "Manifest", "replace"])
def test_a_crash_before_the_key_leaves_no_evidence(store: Store, tmp_path: Path, moment: str) -> None:
    """Killed at any step of filing, the evidence is either whole or not there, and filing again completes it."""
    out = write(tmp_path / "out")
    killed = subprocess.run([sys.executable, "-c", CRASH, store.root, out, moment], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    found = store.find("student", KEY)
    assert (found is None) == (moment != "link_or_copy"), "only views are made after the key"
    assert (found or store.add("student", KEY, out)).files.keys() == FILES.keys()


def test_a_changed_object_is_refused_with_what_to_delete(store: Store, tmp_path: Path) -> None:
    """The message names evidence, file, both digests and place; doing what the hint says repairs it."""
    out = write(tmp_path / "out")
    store.add("student", KEY, out)
    damaged = the_object(store, FILES["model/weights"])
    overwrite(damaged, b"\x00" * 4999 + b"\x01")
    with pytest.raises(EvidenceError, match=r"evidence 'student': file 'model/weights' should have SHA-256") as caught:
        store.find("student", KEY)
    assert file_sha256(damaged) in str(caught.value)
    manifest = store.root / "keys" / f"{KEY}.json"
    assert str(manifest) in caught.value.hint
    assert str(damaged) in caught.value.hint
    manifest.unlink()
    damaged.unlink()
    store.add("student", KEY, out)
    assert store.find("student", KEY) is not None


@pytest.mark.parametrize("damage", [b"", b"\x00" * 100, None])
def test_truncated_and_missing_objects_are_refused(store: Store, tmp_path: Path, damage: bytes | None) -> None:
    """A file cut short, or gone, is damage and not an experiment to be run again quietly."""
    store.add("student", KEY, write(tmp_path / "out"))
    path = the_object(store, FILES["model/weights"])
    if damage is None:
        path.unlink()
    else:
        overwrite(path, damage)
    with pytest.raises(EvidenceError, match="nothing" if damage is None else "should have SHA-256"):
        store.find("student", KEY)


def test_adding_again_repairs_a_damaged_object(store: Store, tmp_path: Path) -> None:
    """An object that does not hold what its name says is replaced when its content is at hand."""
    out = write(tmp_path / "out")
    store.add("student", KEY, out)
    overwrite(the_object(store, FILES["a.json"]), b"damaged")
    added = store.add("student", "l" * 64, out)
    assert added.path("a.json").read_bytes() == FILES["a.json"]


def test_a_changed_view_is_restored(store: Store, tmp_path: Path) -> None:
    """Where views are copies, changing or deleting one damages nothing: it is made again from the object."""
    folder = store.add("student", KEY, write(tmp_path / "out")).folder
    (folder / "a.json").unlink()
    (folder / "a.json").write_bytes(b"forged")
    (folder / "model" / "config.json").unlink()
    found = store.find("student", KEY)
    assert found is not None
    assert {name: (found.folder / name).read_bytes() for name in found.files} == FILES


def test_a_view_holds_nothing_of_an_earlier_result(store: Store, tmp_path: Path) -> None:
    """An experiment that is filed again under its key does not inherit files that it no longer writes."""
    store.add("student", KEY, write(tmp_path / "out", {"a": b"1", "old.safetensors": b"2"}))
    (store.root / "keys" / f"{KEY}.json").unlink()
    again = store.add("student", KEY, write(tmp_path / "again", {"a": b"1"}))
    assert [path.name for path in again.folder.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        '{"a": "%s"}' % ("0" * 64),
        '{"name": "student", "files": {}, "made_from": {}}',
        '{"name": "student", "files": {"a": "short"}, "made_from": {}}',
        '{"name": "student", "files": {"../../escaped": "%s"}, "made_from": {}}' % ("0" * 64),
        '{"name": "student", "files": {"/etc/escaped": "%s"}, "made_from": {}}' % ("0" * 64),
    ],
)
def test_a_manifest_that_is_none_is_refused(store: Store, tmp_path: Path, text: str) -> None:
    """Empty, truncated, of another form, or leading out of the folder: an error that says what to delete."""
    manifest = store.root / "keys" / f"{KEY}.json"
    manifest.write_text(text, encoding="utf-8")
    with pytest.raises(EvidenceError, match="is no manifest") as caught:
        store.find("student", KEY)
    assert caught.value.hint == f"delete {manifest}: the experiment will run again"
    assert not list(tmp_path.rglob("escaped"))


def test_nothing_is_not_evidence(store: Store, tmp_path: Path) -> None:
    """An experiment that wrote only folders produced nothing."""
    (tmp_path / "out" / "empty").mkdir(parents=True)
    with pytest.raises(EvidenceError, match="wrote no files: nothing is not evidence"):
        store.add("student", KEY, tmp_path / "out")
    assert store.find("student", KEY) is None


def test_a_file_name_that_is_no_text_is_refused(store: Store, tmp_path: Path) -> None:
    """Bytes that are not UTF-8 could be in no record and no verdict."""
    (tmp_path / "out").mkdir()
    with (Path(os.fsdecode(bytes(tmp_path / "out") + b"/bad\xff"))).open("wb") as stream:
        stream.write(b"x")
    with pytest.raises(EvidenceError, match="not UTF-8"):
        store.add("student", KEY, tmp_path / "out")


@pytest.mark.parametrize("name", ["objects", "keys", "work"])
def test_an_unwritable_folder_is_a_clear_error(tmp_path: Path, name: str) -> None:
    """A file where a folder must be: as root, permissions stop nobody, so this stands for them."""
    Store(tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / name)
    (tmp_path / "store" / name).write_bytes(b"")
    with pytest.raises(EvidenceError, match=r"the evidence store .* cannot be written") as caught:
        Store(tmp_path / "store")
    assert "--store" in caught.value.hint


def test_a_store_that_becomes_unwritable_is_a_clear_error(store: Store, tmp_path: Path) -> None:
    """The same error when it happens while evidence is filed; nothing is recorded."""
    for folder in ("objects", "keys"):
        (store.root / folder).rmdir()
        (store.root / folder).write_bytes(b"")
        with pytest.raises(EvidenceError, match="cannot be written"):
            store.add("student", KEY, write(tmp_path / "out"))
        (store.root / folder).unlink()
        (store.root / folder).mkdir()
    assert store.find("student", KEY) is None


def test_scratch_survives_until_it_is_discarded(store: Store) -> None:
    """Checkpoints are there for a second run over the same store, and gone once the evidence is."""
    (store.scratch(KEY) / "checkpoint").write_bytes(b"step 5")
    assert (Store(store.root).scratch(KEY) / "checkpoint").read_bytes() == b"step 5"
    assert not list(store.scratch("l" * 64).iterdir())
    store.discard_scratch(KEY)
    assert not list(store.scratch(KEY).iterdir())


def test_one_holder_of_a_key_at_a_time(store: Store) -> None:
    """The second waits, is told so first, and gets in when the first leaves; other keys are free meanwhile."""
    events: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with Store(store.root).lock(KEY, waiting.set):
            events.append("second")

    thread = threading.Thread(target=second)
    with store.lock(KEY, lambda: events.append("never")):
        thread.start()
        assert waiting.wait(10)
        with store.lock("l" * 64, lambda: events.append("never")):
            events.append("other key")
        events.append("first")
    thread.join(10)
    assert events == ["other key", "first", "second"]


def test_a_holder_that_is_killed_lets_go(store: Store) -> None:
    """A lock does not outlive its process: the next run is not stuck behind a dead one."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom refute.evidence.store import Store\n"
        "with Store(Path(sys.argv[1])).lock('k' * 64, lambda: None):\n    print('held', flush=True)\n    input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, store.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TimeoutError), store.lock(KEY, _raise_timeout):
            pass
        holder.kill()
        holder.wait()
        with store.lock(KEY, _raise_timeout):
            pass


def _raise_timeout() -> None:
    raise TimeoutError


@pytest.mark.parametrize("link", [os.link, None])
def test_link_or_copy_replaces_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: Callable[..., None] | None
) -> None:
    """The target holds the source's bytes, whether or not the file system can link; twice does no harm."""
    if link is None:

        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    for _ in range(2):
        link_or_copy(source, target)
        assert target.read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]
    assert source.samefile(target) == (link is not None)


@pytest.mark.parametrize(
    ("files", "what"),
    [
        (("objects/ab/abcd", "keys/k.json"), "as refute 0.1.0 kept it"),
        (
            ("thesis.tex", "a", "b", "c", "d"),
            "it has no store.json, and holds a, b, c and 2 more",
        ),
        (("store.json",), "marks a store of another layout"),
    ],
)
def test_another_folder_is_not_taken_for_a_store(tmp_path: Path, files: tuple[str, ...], what: str) -> None:
    """A store of an older refute, or a folder of other things, is refused with what to do, and left as it is."""
    write(tmp_path / "old", dict.fromkeys(files, b""))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(EvidenceError, match=what) as caught:
        Store(tmp_path / "old")
    assert "--store" in caught.value.hint
    assert sorted(tmp_path.rglob("*")) == before


def test_many_may_make_one_store_at_once(tmp_path: Path) -> None:
    """Workers of one gate open a store that is not there yet: each finds it a store, and none a foreign folder."""
    with ThreadPoolExecutor(8) as pool:
        roots = {store.root for store in pool.map(lambda _: Store(tmp_path / "store"), range(64))}
    assert roots == {(tmp_path / "store").resolve()}


def test_nobody_is_alone_in_a_store_that_others_have_open(store: Store) -> None:
    """Whoever cleans up waits for nobody: it is refused while another has the store open, and not afterwards."""
    other = Store(store.root)
    with pytest.raises(EvidenceError, match="in use by another process"), store.alone():
        pass
    del other
    with store.alone():
        pass
    Store(store.root)
