"""The evidence store gives back what was filed, or says that it cannot."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from refute.check.contracts.rewrite import Rewrite
from refute.errors import EvidenceError
from refute_contracts.refusing import refuses
from refute_contracts.scratch import scratch

_KEY = "k" * 64
_STORE = "refute.evidence.store.local:Store"
FILES = st.dictionaries(
    st.sampled_from(["a", "b", "model/config.json", "model/weights"]), st.binary(max_size=40), min_size=1
)
DIGESTS = st.dictionaries(st.text(min_size=1, max_size=8), st.sampled_from(["1" * 64, "2" * 64]), max_size=4)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """The files below `folder`."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@given(files=FILES, earlier=FILES | st.none())
def what_is_filed_is_found(files: dict[str, bytes], earlier: dict[str, bytes] | None) -> None:
    """Names and contents of exactly these files, by their key, whatever was filed under it before."""
    from refute.evidence.store import Store

    with scratch() as name:
        store = Store(Path(name) / "store")
        assert store.find("x", _KEY) is None
        if earlier is not None:
            store.add("x", _KEY, write(Path(name) / "earlier", earlier))
        added = store.add("x", _KEY, write(Path(name) / "out", files))
        found = Store(Path(name) / "store").find("x", _KEY)
        assert found == added
        assert found is not None
        assert found.files == {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
        kept = {
            path.relative_to(found.folder).as_posix(): path.read_bytes()
            for path in found.folder.rglob("*")
            if path.is_file()
        }
        assert kept == files
        assert store.find("x", "l" * 64) is None


@given(files=FILES, place=st.integers(0, 3), damage=st.sampled_from(["flip", "cut", "remove"]))
def damaged_evidence_is_refused(files: dict[str, bytes], place: int, damage: str) -> None:
    """Every read hashes again: one changed bit, a cut or a missing object is never read; filing again repairs it."""
    from refute.evidence.store import Store

    with scratch() as name:
        store = Store(Path(name) / "store")
        found = store.add("x", _KEY, write(Path(name) / "out", files))
        objects = sorted(path for path in (store.root / "objects").rglob("*") if path.is_file())
        path = objects[place % len(objects)]
        data = path.read_bytes()
        path.chmod(0o644)
        if damage == "remove":
            path.unlink()
        elif damage == "flip" or not data:
            path.write_bytes(data[:-1] + bytes([(data or b"\0")[-1] ^ 1]))
        else:
            path.write_bytes(data[:-1])
        assert refuses(EvidenceError, lambda: store.find("x", _KEY))
        assert store.add("x", _KEY, Path(name) / "out") == found
        assert not refuses(EvidenceError, lambda: store.find("x", _KEY))


@given(files=DIGESTS)
def a_digest_is_of_the_manifest_as_written(files: dict[str, str]) -> None:
    """Whatever the names, the digest can be recomputed from the JSON of the manifest file."""
    from refute.evidence.manifest import manifest_digest

    text = json.dumps(files, sort_keys=True, separators=(",", ":"))
    assert manifest_digest(files) == hashlib.sha256(text.encode()).hexdigest()


@given(one=DIGESTS, other=DIGESTS)
def a_digest_binds_names_and_contents(one: dict[str, str], other: dict[str, str]) -> None:
    """Equal exactly for equal manifests; the order of listing does not show."""
    from refute.evidence.manifest import manifest_digest

    assert (manifest_digest(one) == manifest_digest(other)) == (one == other)
    assert manifest_digest(dict(reversed(one.items()))) == manifest_digest(one)
    if len(one) > 1:
        names = sorted(one)
        renamed = {name: one[other_name] for name, other_name in zip(names, [*names[1:], names[0]], strict=True)}
        assert (manifest_digest(renamed) == manifest_digest(one)) == (renamed == one)


@given(name=st.sampled_from(["../a", "/a", "a/../../b", "model/.."]))
def names_that_lead_elsewhere_are_refused(name: str) -> None:
    """A manifest cannot point out of its evidence."""
    from refute.evidence.store import Store

    with scratch() as folder:
        store = Store(Path(folder) / "store")
        digest = store.add("x", "j" * 64, write(Path(folder) / "out", {"a": b"data"})).files["a"]
        text = json.dumps({"name": "x", "files": {name: digest}, "made_from": {}})
        store.manifest_path(_KEY).write_text(text, encoding="utf-8")
        assert refuses(EvidenceError, lambda: store.find("x", _KEY))


read_without_hashing = Rewrite(f"{_STORE}._check", {"if found != digest:": "if found == 'nothing':"})
earlier_files_stay = Rewrite(f"{_STORE}.add", {'shutil.rmtree(self.root / "views" / key, ignore_errors=True)': "pass"})
names_not_bound = Rewrite(
    "refute.evidence.manifest:manifest_digest", {"_canonical(dict(files))": "repr(sorted(files.values())).encode()"}
)
order_shows = Rewrite("refute.evidence.manifest:_canonical", {", sort_keys=True": ""})
names_not_checked = Rewrite(
    "refute.evidence.manifest:_stay_below",
    {'if path.is_absolute() or not path.parts or ".." in path.parts or "\\0" in name:': "if False:"},
)
one_file_kept = Rewrite(f"{_STORE}.add", {'sorted(folder.rglob("*"))': 'sorted(folder.rglob("*"))[-1:]'})
damaged_objects_stay = Rewrite(f"{_STORE}._keep", {" or file_sha256(target) != digest": ""})
