"""A store at a URL: machines share what one computed, whatever the network does, and nothing half-written is read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fsspec.registry import _registry  # the public one is a view of it that forgets nothing

from flaky_files import FlakyFiles
from refute.attest import PrivateKey
from refute.errors import EvidenceError, MissingDependencyError, UsageError
from refute.evidence.experiment import Experiment
from refute.evidence.laboratory import Laboratory
from refute.evidence.plan import plan_release
from refute.evidence.store.lease import Lease, Timing
from refute.evidence.store.opening import connect, is_url, open_store, untested
from refute.evidence.store.prune import UPLOAD_S, prune_remote
from refute.evidence.store.shared import SharedStore
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.folder import RunFolder
from refute.spec.files import load_release
from silence import Silence
from tiny_run import RELEASE

if TYPE_CHECKING:
    from tests.conftest import Cli

KEY = "b" * 64
URL = "flaky://bucket/team"
FAST = Timing(expiry_s=0.4, renewal_s=0.1, poll_s=0.05)
FILES = {"a.json": b"{}", "model/weights": b"\x01" * 5000}


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    """Empty and honest at first."""
    FlakyFiles.reset()
    yield
    FlakyFiles.reset()


def machine(root: Path, url: str = URL) -> SharedStore:
    """What a machine whose cache is `root` sees of the store."""
    return SharedStore(connect(url), root, FAST)


def write(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    """The files below `folder`."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("kind", ["memory", "flaky", "file"])
def test_one_machine_computes_and_the_other_reads(tmp_path: Path, kind: str) -> None:
    """The same names, bytes and digests, read-only, on a machine that never ran it; objects are there once."""
    url = f"{kind}://{tmp_path}/remote"
    added = machine(tmp_path / "one", url).add("student", KEY, write(tmp_path / "out"), {"corpus": "c" * 64})
    other = machine(tmp_path / "other", url)
    found = other.find("student", KEY)
    assert found is not None
    assert (found.digest, found.files) == (added.digest, added.files)
    assert {name: found.path(name).read_bytes() for name in found.files} == FILES
    assert other.find("student", "d" * 64) is None
    manifest = other.manifest(KEY)
    assert manifest is not None
    assert manifest.made_from == {"corpus": "c" * 64}
    assert sum(other.remote.object_sizes().values()) == sum(map(len, FILES.values()))
    assert other.remote.find("uploads") == {}


def test_a_laboratory_runs_what_nobody_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--store URL` on two machines: the second reuses what the first took in."""
    (tmp_path / "release.yaml").write_text(RELEASE, encoding="utf-8")
    (tmp_path / "answers.jsonl").write_text('{"right": true}\n', encoding="utf-8")
    said: list[str] = []

    class Watch(Silence):
        def finished(self, experiment: Experiment, seconds: float) -> None:
            said.append("ran")

        def reused(self, experiment: Experiment) -> None:
            said.append("reused")

    for cache in ("one", "other"):
        monkeypatch.setenv("REFUTE_CACHE", str(tmp_path / cache))
        plan = plan_release(load_release(tmp_path / "release.yaml").release, tmp_path)
        assert Laboratory(plan, open_store(f"file://{tmp_path}/remote"), Watch()).obtain("answers").files
    assert said == ["ran", "reused"]


def test_the_first_result_of_a_key_stays(tmp_path: Path) -> None:
    """Two machines that disagree: the second is told so by name, whenever it asks, and the first result stays."""
    first = machine(tmp_path / "one").add("student", KEY, write(tmp_path / "out"))
    other = machine(tmp_path / "other")
    asks: list[Callable[[], object]] = [
        lambda: other.add("student", KEY, write(tmp_path / "out2", {"a.json": b"other"})),
        lambda: other.find("student", KEY),
    ]
    for ask in asks:
        with pytest.raises(EvidenceError, match="records another result for evidence 'student' of key b"):
            ask()
    third = machine(tmp_path / "third").find("student", KEY)
    assert third is not None
    assert third.files == first.files


def fail_at(turn: int, operations: list[str]) -> Callable[[str, str], None]:
    """The network goes at operation number `turn`, and stays away."""

    def before(operation: str, path: str) -> None:
        operations.append(operation)
        if len(operations) > turn:
            raise ConnectionResetError(f"gone at {path}")

    return before


def test_whenever_the_network_goes_nothing_is_lost(tmp_path: Path) -> None:
    """At each operation: an error with URL and object, no evidence elsewhere, and the next run uploads what it kept."""
    seen: list[str] = []
    counted = machine(tmp_path / "count")
    FlakyFiles.before = staticmethod(fail_at(1000, seen))
    counted.add("student", KEY, write(tmp_path / "out"))
    assert seen == ["upload", "move", "upload", "move", "write"]
    for turn in range(1, len(seen) + 1):
        FlakyFiles.reset()
        here = machine(tmp_path / f"here{turn}")
        FlakyFiles.before = staticmethod(fail_at(turn - 1, []))
        with pytest.raises(
            EvidenceError, match=rf"the store {URL} failed at (objects|keys)/.*: ConnectionResetError"
        ) as caught:
            here.add("student", KEY, tmp_path / "out")
        assert "kept on this machine, and uploaded then" in caught.value.hint
        FlakyFiles.before = staticmethod(lambda *_: None)
        other = machine(tmp_path / f"other{turn}")
        assert other.find("student", KEY) is None
        assert machine(tmp_path / f"here{turn}").find("student", KEY) is not None
        assert other.find("student", KEY) is not None


def test_a_part_that_arrives_is_no_object(tmp_path: Path) -> None:
    """An upload that is cut short without an error is noticed by its size; prune clears it after a day."""
    here = machine(tmp_path / "here")
    FlakyFiles.cut = 1
    with pytest.raises(EvidenceError, match=r"arrived with 1 of \d+ bytes"):
        here.add("student", KEY, write(tmp_path / "out"))
    FlakyFiles.cut = None
    assert here.remote.object_sizes() == {}
    assert len(here.remote.find("uploads")) == 1
    later = time.time() + UPLOAD_S + 60
    assert not any(prune_remote(here.remote, now=time.time(), dry_run=False, report=lambda *_: None).paths.values())
    rehearsal = prune_remote(here.remote, now=later, dry_run=True, report=lambda *_: None)
    assert prune_remote(here.remote, now=later, dry_run=False, report=lambda *_: None) == rehearsal
    assert {kind: len(names) for kind, names in rehearsal.paths.items()} == {
        "objects": 0,
        "half-written": 1,
        "locks": 0,
    }
    assert here.remote.find("uploads") == {}
    assert here.find("student", KEY) is not None


@pytest.mark.parametrize("damage", [b"", b"\x01" * 4999 + b"\x02", None])
def test_what_arrives_is_hashed(tmp_path: Path, damage: bytes | None) -> None:
    """An object that was changed, cut or removed there is refused here, by name, and leaves nothing."""
    here = machine(tmp_path / "here")
    digest = here.add("student", KEY, write(tmp_path / "out")).files["model/weights"]
    here.remote.remove(f"objects/{digest[:2]}/{digest}")
    if damage is not None:
        here.remote.create(f"objects/{digest[:2]}/{digest}", damage)
    other = machine(tmp_path / "other")
    with pytest.raises(
        EvidenceError, match=rf"evidence 'student', file 'model/weights': .*objects/{digest[:2]}/{digest}"
    ):
        other.find("student", KEY)
    assert other.manifest(KEY) is None
    assert not [path for path in (other.root / "objects").glob("*/*") if digest in path.name]


@pytest.mark.parametrize("text", [b"", b"{", b'{"name": "x", "files": {"../x": "%s"}, "made_from": {}}' % (b"0" * 64)])
def test_a_manifest_there_that_is_none_is_refused(tmp_path: Path, text: bytes) -> None:
    """With its URL, and what to delete."""
    here = machine(tmp_path / "here")
    here.remote.create(f"keys/{KEY}.json", text)
    with pytest.raises(EvidenceError, match=f"{URL}/keys/{KEY}.json is no manifest"):
        here.find("student", KEY)


def test_another_place_is_not_taken_for_a_store(tmp_path: Path) -> None:
    """A bucket with other things in it, or a store of another layout, is refused and left as it is."""
    connect(URL).create("thesis.tex", b"mine")
    with pytest.raises(EvidenceError, match=r"is no evidence store: it has no store.json, and holds thesis.tex"):
        machine(tmp_path / "here")
    connect("flaky://bucket/new").create("store.json", b'{"refute_store": 9}\n')
    with pytest.raises(EvidenceError, match="marks a store of another layout"):
        machine(tmp_path / "there", "flaky://bucket/new")


@pytest.mark.slow
def test_one_machine_makes_what_two_want(tmp_path: Path) -> None:
    """The second waits, is told so once, and goes on when the first is done, though a lease is shorter than that."""
    events: list[str] = []
    one, two = machine(tmp_path / "one"), machine(tmp_path / "two")
    waiting = threading.Event()

    def second() -> None:
        with two.lock(KEY, waiting.set):
            events.append("second")

    thread = threading.Thread(target=second)
    with one.lock(KEY, lambda: events.append("never")):
        thread.start()
        assert waiting.wait(10)
        time.sleep(3 * FAST.expiry_s)
        events.append("first")
    thread.join(10)
    assert events == ["first", "second"]
    assert one.remote.find("locks") == {}


@pytest.mark.parametrize("left", ["expired", "unreadable"])
def test_a_lock_of_a_machine_that_died_is_taken_over(tmp_path: Path, left: str) -> None:
    """After its expiry, and not before; prune removes those that nobody wanted again."""
    here = machine(tmp_path / "here")
    expires = time.time() + 0.3
    lease = Lease(owner="x", host="gone", pid=1, since=expires - 1, expires=expires).model_dump_json().encode()
    here.remote.create(f"locks/{KEY}.json", lease if left == "expired" else b"{")
    with here.lock(KEY, lambda: None):
        assert left == "unreadable" or time.time() >= expires
    here.remote.create(f"locks/{KEY}.json", lease)
    assert prune_remote(here.remote, now=expires + 1, dry_run=False, report=lambda *_: None).paths["locks"]
    assert here.remote.find("locks") == {}


MACHINE = """
import sys
from pathlib import Path
import flaky_files
from refute.evidence.store.lease import Timing
from refute.evidence.store.opening import connect
from refute.evidence.store.shared import SharedStore

url, cache, out, ran = sys.argv[1], *map(Path, sys.argv[2:])
store = SharedStore(connect(url), cache, Timing(poll_s=0.05))
for key in ("a" * 64, "b" * 64):
    with store.lock(key, lambda: None):
        found = store.find("student", key)
        if found is None:
            with ran.open("a") as stream:
                stream.write(key[0])
            found = store.add("student", key, out)
        assert {name: found.path(name).stat().st_size for name in found.files} == {"a.json": 2, "model/weights": 5000}
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "slow"])
def test_processes_at_once_do_each_thing_once(tmp_path: Path, kind: str) -> None:
    """Four machines that begin together: every experiment runs once, and all read it whole."""
    write(tmp_path / "out")
    command = [sys.executable, "-c", MACHINE, f"{kind}://{tmp_path}/remote"]
    paths = [[str(tmp_path / name) for name in (f"cache{number}", "out", "ran")] for number in range(4)]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2] / "assets")}
    running = [subprocess.Popen([*command, *each], stderr=subprocess.PIPE, env=environment) for each in paths]
    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in running]
    assert [status for _, status in ended] == [0, 0, 0, 0], ended
    assert sorted((tmp_path / "ran").read_text()) == ["a", "b"]


@pytest.mark.slow
def test_commands_take_urls(
    cli: Cli, make_run: Callable[..., RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: PrivateKey
) -> None:
    """`judge --store`, `verify --store`, `store list` and `store prune` of a store at a URL, its folder here gone."""
    monkeypatch.setenv("REFUTE_CACHE", str(tmp_path / "cache"))
    run = make_run()
    judge_run(run, Operator(key, development=False))
    shutil.move(tmp_path / "store", tmp_path / "remote")
    url, verdict = f"file://{tmp_path}/remote", run.path / "verdict.intoto.json"
    verified = cli("verify", verdict, "--key", tmp_path / "keys" / "judge.pub", "--store", url)
    assert (verified.returncode, "evidence files hashed again" in verified.stdout) == (0, True), verified.stderr
    judged = cli("judge", run.path, "--store", url, "--key", tmp_path / "keys" / "judge.key")
    assert judged.returncode == 0, judged.stderr
    listed = json.loads(cli("store", "list", "--store", url, "--refute-dir", tmp_path, "--json").stdout)
    assert {entry["name"]: entry["runs"] for entry in listed["evidence"]}["answers"] == [run.path.name]
    assert "removed 0 objects" in cli("store", "prune", "--store", url).stdout
    refused = cli("store", "prune", "--store", url, "--keep-runs", 1)
    assert (refused.returncode, "do not go with a URL" in refused.stderr) == (2, True)


def test_looking_makes_no_store(cli: Cli, tmp_path: Path) -> None:
    """A mistyped URL is an error and stays empty."""
    url = f"file://{tmp_path}/absent"
    for words in (("list",), ("prune",), ("export", "latest", "--to", tmp_path / "x.tar")):
        ended = cli("store", *words, "--store", url)
        assert (ended.returncode, f"there is no evidence store at {url}" in ended.stderr) == (7, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_archives_travel_between_urls(
    cli: Cli, make_run: Callable[..., RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed from a store at a URL by a machine that holds nothing of it, and taken into another for a third."""
    run = make_run()
    shutil.move(tmp_path / "store", tmp_path / "remote")
    archive = tmp_path / "run.tar"
    calls = (
        ("here", ("export", run.path.name, "--to", archive, "--refute-dir", tmp_path, "--store", "remote")),
        ("there", ("import", archive, "--refute-dir", tmp_path / "there", "--store", "other")),
        ("third", ("export", "answers", "notes", "--to", tmp_path / "again.tar", "--store", "other")),
    )
    told = []
    for cache, words in calls:
        monkeypatch.setenv("REFUTE_CACHE", str(tmp_path / cache))
        ended = cli("store", *words[:-1], f"file://{tmp_path}/{words[-1]}", "--json")
        assert ended.returncode == 0, ended.stderr
        told.append(json.loads(ended.stdout))
    assert len(told[-1]["keys"]) == 2
    assert (tmp_path / "there" / "runs" / run.path.name / "run.json").is_file()


def test_a_url_that_cannot_be_used_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package by its extra, a kind that nobody knows, a password that every run would tell."""
    for url, package, extra in (("s3://bucket/x", "s3fs", "s3"), ("gs://bucket/x", "gcsfs", "gcs")):
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delitem(_registry, url.partition(":")[0], raising=False)  # it keeps what was loaded
        with pytest.raises(MissingDependencyError, match=package) as caught:
            connect(url)
        assert caught.value.hint == f"pip install 'refute[{extra}]'"
    with pytest.raises(UsageError, match="no URL of a known file system"):
        connect("gopher://x")
    with pytest.raises(UsageError, match="carries a password"):
        connect("ftp://me:secret@host/x")
    assert not is_url(Path("s3://bucket"))


def test_who_goes_where_no_test_went_is_told(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In so many words, and nobody else is."""
    monkeypatch.setenv("REFUTE_CACHE", str(tmp_path / "cache"))
    machine(tmp_path / "here").add("student", KEY, write(tmp_path / "out"))
    listed = cli("store", "list", "--store", URL, "--refute-dir", tmp_path)
    assert (listed.returncode, "stores at flaky:// go the way of s3://, and were not tested" in listed.stderr) == (
        0,
        True,
    )
    assert [untested(place) for place in (tmp_path, "s3://bucket/x", "file:///x")] == [None] * 3
