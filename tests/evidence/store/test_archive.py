"""Archives: what goes in comes out on another machine, and nothing else ever does."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refute.attest import PrivateKey
from refute.errors import ArchiveError, EvidenceError, UsageError
from refute.evidence.store import Store
from refute.evidence.store.archive import CONTENTS
from refute.evidence.store.export import Packing, export
from refute.evidence.store.importing import Imported, import_archive
from refute.evidence.store.prune import Kept, prune
from refute.judge.judge_run import Operator, judge_run
from refute.judge.run.citing import citing_run
from refute.judge.run.folder import RunFolder
from tampering import overwrite

if TYPE_CHECKING:
    from tests.conftest import Cli

MakeRun = Callable[..., RunFolder]
KEY = "a" * 64


def ignore(*_: object) -> None:
    """Progress that nobody watches."""


def filed(root: Path, files: dict[str, bytes], key: str = KEY) -> Store:
    """A store with one piece of evidence, called student."""
    store = Store(root)
    out = store.scratch(key) / "out"
    for name, data in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
    store.add("student", key, out)
    store.discard_scratch(key)
    return store


def pack(store: Store, target: Path, run: Path | None = None) -> Path:
    """An archive of the evidence under KEY, or of a run."""
    if run is None:
        packing = Packing({}, frozenset(), frozenset(), frozenset({KEY}))
    else:
        found = citing_run(run)
        packing = Packing({found.id: run}, found.digests, found.objects, frozenset())
    export(store, packing, target, ignore)
    return target


def take_in(source: Path, elsewhere: Path) -> Imported:
    """Import into a machine whose things lie below `elsewhere`."""
    return import_archive(Store(elsewhere / "store"), elsewhere / "runs", source, ignore)


def visible(elsewhere: Path) -> list[str]:
    """Everything below `elsewhere` that is not there in an empty store."""
    return sorted(
        name
        for path in elsewhere.rglob("*")
        if path.is_file()
        and (name := path.relative_to(elsewhere).as_posix()) not in ("store/store.json", "store/in-use")
    )


@pytest.mark.slow
def test_a_run_is_judged_and_verified_on_another_machine(
    cli: Cli, make_run: MakeRun, tmp_path: Path, key: PrivateKey
) -> None:
    """Exported with its verdict, imported elsewhere while the origin is gone: judged again and verified from there."""
    run = make_run()
    judge_run(run, Operator(key, development=False))
    here, there, archive = tmp_path / "store", tmp_path / "there", tmp_path / "run.tar"
    options = ("--store", here, "--refute-dir", tmp_path)
    packed = json.loads(cli("store", "export", run.path.name, *options, "--to", archive, "--json").stdout)
    assert (packed["runs"], len(packed["keys"])) == ([run.path.name], 2)
    for gone in (here, tmp_path / "runs"):
        shutil.rmtree(gone)
    taken = cli("store", "import", archive, "--refute-dir", there)
    assert (taken.returncode, "took in 1 runs, 2 pieces of evidence" in taken.stdout) == (0, True)
    arrived, store = there / "runs" / run.path.name, there / "store"
    verdict, public = arrived / "verdict.intoto.json", tmp_path / "keys" / "judge.pub"
    verified = cli("verify", verdict, "--key", public, "--store", store)
    assert (verified.returncode, "evidence files hashed again" in verified.stdout) == (0, True)
    judged = cli("judge", arrived, "--store", store, "--key", tmp_path / "keys" / "judge.key", "--refute-dir", there)
    assert judged.returncode == 0, judged.stderr


def test_equal_contents_give_equal_bytes(tmp_path: Path) -> None:
    """Order, times, owners and places do not show; a second import changes nothing."""
    one = pack(filed(tmp_path / "one", {"a": b"1", "b/c": b"2"}), tmp_path / "one.tar")
    other = pack(filed(tmp_path / "other", {"b/c": b"2", "a": b"1"}), tmp_path / "other.tar")
    assert one.read_bytes() == other.read_bytes()
    for _ in range(2):
        assert take_in(one, tmp_path / "there").evidence == (("student", KEY),)
    found = Store(tmp_path / "there" / "store").find("student", KEY)
    assert found is not None
    assert {name: found.path(name).read_bytes() for name in found.files} == {"a": b"1", "b/c": b"2"}


def test_damage_is_not_packed(tmp_path: Path) -> None:
    """An object that is missing or changed stops the export, and no file appears."""
    store = filed(tmp_path / "store", {"a": b"1"})
    path = store.object_path(sha256(b"1").hexdigest())
    overwrite(path, b"2")
    with pytest.raises(EvidenceError, match="should have SHA-256"):
        pack(store, tmp_path / "x.tar")
    path.unlink()
    with pytest.raises(EvidenceError, match="found nothing"):
        pack(store, tmp_path / "x.tar")
    assert [each.name for each in tmp_path.iterdir()] == ["store"]


def test_nothing_is_overwritten_by_an_export(tmp_path: Path) -> None:
    """A file that is there may be the only copy of something."""
    (tmp_path / "x.tar").write_bytes(b"mine")
    with pytest.raises(UsageError, match="already"):
        pack(filed(tmp_path / "store", {"a": b"1"}), tmp_path / "x.tar")
    assert (tmp_path / "x.tar").read_bytes() == b"mine"


def member(name: str, data: bytes = b"", **changes: object) -> tuple[tarfile.TarInfo, bytes]:
    """A member that an attacker writes."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for attribute, value in changes.items():
        setattr(info, attribute, value)
    return info, data


def forge(path: Path, files: dict[str, bytes], *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """An archive that declares `files` and holds `members`."""
    declared = {name: {"sha256": sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()}
    contents = json.dumps({"refute_archive": 1, "files": declared}).encode()
    with tarfile.open(path, "w") as archive:
        for info, data in (member(CONTENTS, contents), *members):
            archive.addfile(info, io.BytesIO(data))
    return path


OBJECT = f"objects/{sha256(b'1').hexdigest()[:2]}/{sha256(b'1').hexdigest()}"
ONE = {OBJECT: b"1"}
TRICKS: dict[str, tuple[dict[str, bytes], list[tuple[tarfile.TarInfo, bytes]], str]] = {
    "absolute": ({"/etc/x": b"1"}, [member("/etc/x", b"1")], "is refused"),
    "above": ({"runs/r/../../../x": b"1"}, [member("runs/r/../../../x", b"1")], "is refused"),
    "elsewhere": ({"views/x": b"1"}, [member("views/x", b"1")], "is refused"),
    "backslash": ({"runs/r/a\\..\\b": b"1"}, [member("runs/r/a\\..\\b", b"1")], "is refused"),
    "latest": ({"runs/latest/a": b"1"}, [member("runs/latest/a", b"1")], "is refused"),
    "hidden run": ({"runs/.x/a": b"1"}, [member("runs/.x/a", b"1")], "is refused"),
    "object of another name": ({f"objects/00/{'0' * 64}": b"1"}, [], "with another SHA-256"),
    "undeclared": (ONE, [member(OBJECT, b"1"), member("runs/r/x", b"1")], "do not declare"),
    "twice": (ONE, [member(OBJECT, b"1"), member(OBJECT, b"1")], "or a second time"),
    "symbolic link": (ONE, [member(OBJECT, type=tarfile.SYMTYPE, linkname="/etc/passwd")], "no plain file"),
    "hard link": (ONE, [member(OBJECT, type=tarfile.LNKTYPE, linkname="/etc/passwd")], "no plain file"),
    "device": (ONE, [member(OBJECT, type=tarfile.CHRTYPE)], "no plain file"),
    "larger than declared": (ONE, [member(OBJECT, b"11")], "of 2 bytes"),
    "other bytes": (ONE, [member(OBJECT, b"2")], "should have SHA-256"),
    "missing": (ONE, [], "ends without 1 of the files"),
    "no manifest": ({f"keys/{KEY}.json": b"{}"}, [member(f"keys/{KEY}.json", b"{}")], "that is none"),
    "a file below a file": (
        {"runs/r/a": b"1", "runs/r/a/b": b"1"},
        [member("runs/r/a", b"1"), member("runs/r/a/b", b"1")],
        "cannot be written",
    ),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_leaves_nothing(tmp_path: Path, trick: str) -> None:
    """Whatever the archive tries: it is refused by name, and neither store nor runs nor anything else changes."""
    files, members, what = TRICKS[trick]
    with pytest.raises(EvidenceError, match=what):
        take_in(forge(tmp_path / "x.tar", files, *members), tmp_path / "there")
    assert visible(tmp_path / "there") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there", "x.tar"]


def test_a_declared_size_that_cannot_fit_is_refused_at_once(tmp_path: Path) -> None:
    """A bomb is refused by what it declares, before anything is written."""
    huge = json.dumps({"refute_archive": 1, "files": {OBJECT: {"sha256": OBJECT[11:], "size": 10**18}}}).encode()
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.addfile(member(CONTENTS, huge)[0], io.BytesIO(huge))
    with pytest.raises(EvidenceError, match="declares 1,000,000,000,000,000,000 bytes"):
        take_in(tmp_path / "x.tar", tmp_path / "there")


def test_cut_anywhere_it_is_refused(tmp_path: Path) -> None:
    """At every block: an error that says so, and nothing appears; only its empty end may be missing."""
    whole = pack(filed(tmp_path / "store", {"a": b"1" * 700, "b": b"2"}), tmp_path / "x.tar").read_bytes()
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 512
    for length in [*range(0, end, 512), end - 300]:
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        with pytest.raises(EvidenceError):
            take_in(tmp_path / "cut.tar", tmp_path / "there")
        assert visible(tmp_path / "there") == []


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    """Text, an empty file, a compressed tar, another tar, a file that is not there, and a folder."""
    (tmp_path / "text").write_bytes(b"hello" * 1000)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "other").write_bytes(b"")
    with tarfile.open(tmp_path / "other", "w") as archive:
        archive.addfile(member("README")[0])
    with tarfile.open(tmp_path / "packed", "w:gz") as archive:
        archive.addfile(member(CONTENTS)[0])
    for name in ("text", "empty", "other", "packed"):
        with pytest.raises(ArchiveError, match=r"is no (tar file|archive of refute)"):
            take_in(tmp_path / name, tmp_path / "there")
    for name in ("absent", "."):
        with pytest.raises(UsageError, match="cannot read "):
            take_in(tmp_path / name, tmp_path / "there")


@pytest.mark.slow
def test_what_is_here_stays(tmp_path: Path, make_run: MakeRun) -> None:
    """A key or a run that is here with other contents is a named fault, and neither is touched."""
    archive = pack(filed(tmp_path / "one", {"a": b"1"}), tmp_path / "x.tar")
    here = filed(tmp_path / "there" / "store", {"a": b"2"})
    before = here.manifests()
    with pytest.raises(EvidenceError, match="with other contents"):
        take_in(archive, tmp_path / "there")
    assert here.manifests() == before
    run = make_run()
    archive = pack(Store(tmp_path / "store"), tmp_path / "run.tar", run.path)
    take_in(archive, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "runs" / run.path.name / "records.jsonl").write_bytes(b"mine")
    with pytest.raises(EvidenceError, match="is here with other contents"):
        take_in(archive, tmp_path / "elsewhere")


KILLED = """
import os, signal, sys
from pathlib import Path
from refute.evidence.store import Store, export, importing
from refute.evidence.store.export import Packing

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

store = Store(Path(sys.argv[1]))
if sys.argv[3] == "export":
    export.export(store, Packing({}, frozenset(), frozenset(), frozenset({"a" * 64})), Path(sys.argv[2]), kill)
elif sys.argv[3] == "the key's turn":
    replace, calls = Path.replace, []
    Path.replace = lambda *names: (calls.append(0), kill() if len(calls) == 2 else replace(*names))
    importing.import_archive(store, Path(sys.argv[1]).parent / "runs", Path(sys.argv[2]), lambda *_: None)
else:
    setattr(importing, sys.argv[3], kill)
    importing.import_archive(store, Path(sys.argv[1]).parent / "runs", Path(sys.argv[2]), lambda *_: None)
"""


@pytest.mark.slow
def test_killed_it_leaves_nothing_half_visible(tmp_path: Path) -> None:
    """No archive under its name, no evidence without its files; the same command completes it, and prune clears up."""

    def killed(*arguments: object) -> None:
        ended = subprocess.run([sys.executable, "-c", KILLED, *map(str, arguments)], capture_output=True, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr

    store = filed(tmp_path / "store", {"a": b"1"})
    killed(store.root, tmp_path / "x.tar", "export")
    assert not (tmp_path / "x.tar").exists()
    archive = pack(store, tmp_path / "x.tar")
    for moment in ("_manifests", "_publish", "the key's turn"):
        killed(tmp_path / "there" / "store", archive, moment)
        assert Store(tmp_path / "there" / "store").manifests() == {}
    assert take_in(archive, tmp_path / "there").evidence == (("student", KEY),)
    found = Store(tmp_path / "there" / "store")
    staged = list((found.root / "work").iterdir())
    keep = Kept(frozenset(manifest.digest for manifest in found.manifests().values()), frozenset())
    pruned = prune(found, keep, before=time.time() + 1, dry_run=False, report=ignore)
    assert (len(staged), pruned.paths["half-written"]) == (3, tuple(sorted(staged)))
    assert found.find("student", KEY) is not None
