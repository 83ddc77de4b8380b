"""A store in a bucket, at a real S3 server: machines that share, die and write at once, and what was damaged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from refute.errors import EvidenceError
from refute.evidence.store.lease import Timing
from refute.evidence.store.opening import connect
from refute.evidence.store.shared import SharedStore
from s3_server import BUCKET, S3Server, s3_server

pytestmark = pytest.mark.slow  # a client of S3 takes a second to load, and so does the server
KEY = "b" * 64
FILES = {"a.json": b"{}", "empty": b"", "model/weights": b"\x01" * 5000}


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """One server for all, its bucket made."""
    with s3_server() as started, pytest.MonkeyPatch.context() as patch:
        for name, text in started.environment.items():
            patch.setenv(name, text)
        connect(f"s3://{BUCKET}/x").files.mkdir(BUCKET)
        yield started


@pytest.fixture
def url(server: S3Server, tmp_path: Path) -> Iterator[str]:
    """A folder of its own in the bucket, and a server that is honest again afterwards."""
    yield f"s3://{BUCKET}/{tmp_path.name}"
    server.before = lambda _method, _path: None


def machine(root: Path, url: str) -> SharedStore:
    """What a machine whose cache is `root` sees of the store."""
    return SharedStore(connect(url), root, Timing(expiry_s=5, renewal_s=1, poll_s=0.05))


def write(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    """The files below `folder`."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_two_machines_share_a_bucket(tmp_path: Path, url: str) -> None:
    """One computes, the other reads the same names, bytes and digests; nothing but the store is left there."""
    one = machine(tmp_path / "one", url)
    with one.lock(KEY, lambda: None):
        added = one.add("student", KEY, write(tmp_path / "out"))
    other = machine(tmp_path / "other", url)
    found = other.find("student", KEY)
    assert found is not None
    assert (found.digest, {name: found.path(name).read_bytes() for name in found.files}) == (added.digest, FILES)
    assert other.manifests().keys() == {KEY}
    assert sum(other.remote.object_sizes().values()) == sum(map(len, FILES.values()))
    assert (other.remote.find("uploads"), other.remote.find("locks")) == ({}, {})
    assert other.remote.recorded_at(KEY) is not None


UPLOAD = """
import sys
from pathlib import Path
from refute.evidence.store.opening import connect
from refute.evidence.store.shared import SharedStore

url, cache, out = sys.argv[1:]
print("begins", flush=True)
SharedStore(connect(url), Path(cache)).add("student", "b" * 64, Path(out))
"""


def test_a_killed_upload_leaves_nothing_that_counts(tmp_path: Path, url: str, server: S3Server) -> None:
    """Killed as its last object arrives: no evidence is there, and the next run there uploads what was kept."""
    command = [sys.executable, "-c", UPLOAD, url, str(tmp_path / "one"), str(write(tmp_path / "out"))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    moved: list[str] = []

    def kill(method: str, path: str) -> None:
        moved.extend([path] if method == "PUT" and "/objects/" in path else [])
        if len(moved) == len(FILES):
            os.kill(process.pid, signal.SIGKILL)
            raise ConnectionResetError("the client died")

    server.before = kill
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    server.before = lambda _method, _path: None
    other = machine(tmp_path / "other", url)
    assert other.find("student", KEY) is None
    assert len(other.remote.object_sizes()) == len(FILES) - 1
    assert machine(tmp_path / "one", url).find("student", KEY) is not None
    found = other.find("student", KEY)
    assert found is not None
    assert {name: found.path(name).read_bytes() for name in found.files} == FILES


def test_two_first_writers_of_one_key(tmp_path: Path, url: str, server: S3Server) -> None:
    """Both had looked and found nothing, both record at the same moment: one result stays, the other writer is told."""
    machines = [machine(tmp_path / name, url) for name in ("one", "other")]
    outputs = [write(tmp_path / f"out{turn}", {"a.json": b"%d" % turn}) for turn in (1, 2)]
    together = threading.Barrier(2)

    def wait(method: str, path: str) -> None:
        if method == "PUT" and "/keys/" in path:
            together.wait(60)

    told: list[str] = []

    def add(store: SharedStore, output: Path) -> None:
        try:
            store.add("student", KEY, output)
        except EvidenceError as error:
            told.append(str(error))

    server.before = wait
    threads = [threading.Thread(target=add, args=each) for each in zip(machines, outputs, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.before = lambda _method, _path: None
    assert len(told) == 1
    assert "records another result for evidence 'student'" in told[0]
    found = machine(tmp_path / "third", url).find("student", KEY)
    assert found is not None
    assert found.path("a.json").read_bytes() in (b"1", b"2")


@pytest.mark.parametrize("damage", [b"\x01" * 4999 + b"\x02", None], ids=["changed", "removed"])
def test_a_damaged_object_is_refused_by_name(tmp_path: Path, url: str, damage: bytes | None) -> None:
    """By its address in the bucket and its name in the evidence."""
    here = machine(tmp_path / "here", url)
    digest = here.add("student", KEY, write(tmp_path / "out")).files["model/weights"]
    here.remote.remove(f"objects/{digest[:2]}/{digest}")
    if damage is not None:
        here.remote.replace(f"objects/{digest[:2]}/{digest}", damage)
    other = machine(tmp_path / "other", url)
    where = rf"evidence 'student', file 'model/weights': .*{url}.*objects/{digest[:2]}/{digest}"
    with pytest.raises(EvidenceError, match=where):
        other.find("student", KEY)
    assert other.manifest(KEY) is None


def test_a_bucket_that_is_not_there_is_named(tmp_path: Path, server: S3Server) -> None:
    """A mistyped bucket is no empty store."""
    with pytest.raises(EvidenceError, match=r"the store s3://taem/x failed at .*bucket does not exist"):
        machine(tmp_path / "here", "s3://taem/x")
