"""Staging a release, beside copying and hashing its bytes; pushing it, beside the hub's own client doing one upload.

python benchmarks/publish.py [--mib 256] [--rounds 3]

Everything is random bytes in three files, and the hub is the rehearsal's, on the loopback device.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from measure import compare, machine, table

from refute.engines.publish.hub import HubRepository, Patience, speak_plainly
from refute.engines.publish.lay_out import lay_out
from refute.engines.publish.manifest import hashed, write_manifest
from refute.engines.publish.pull import pull_and_check
from refute.engines.publish.push import StagedRelease, push
from refute.engines.publish.rehearsal.server import rehearsal_hub
from refute.spec.publication import Repository

_FILES, _TOKEN, _CHUNK = 3, "of the benchmark", 1 << 20
_REPO = Repository(repo="org/model")


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="run this piece alone and print its memory")
    chosen = parser.parse_args()
    speak_plainly(loopback=True)
    scratch = Path(tempfile.mkdtemp(prefix="publish-"))
    try:
        place = scratch / "evidence"
        release = _random_release(place, chosen.mib)
        staging = {
            "copy, SHA-256 and SHA-1": lambda: _copy(release, scratch / "copy"),
            "stage": lambda: _fresh(scratch / "staged", lambda out: lay_out(place, {}, out, lambda *_: None)),
        }
        pushing = {
            "upload, by the client": lambda: _on_a_hub(scratch / "hub", lambda hub: _upload(release, hub)),
            "the same, hashed, pulled and hashed": lambda: _on_a_hub(
                scratch / "hub", lambda hub: _upload_and_look(release, hub, scratch / "pull")
            ),
            "push": lambda: _on_a_hub(
                scratch / "hub", lambda hub: push(release, hub, _REPO, scratch / "pull", lambda *_: None)
            ),
        }
        figures = compare({**staging, **pushing}, rounds=chosen.rounds, device="cpu", only=chosen.only)
    finally:
        shutil.rmtree(scratch)
    for title, pieces in (("staging", staging), ("pushing", pushing)):
        print(table(f"{title} {chosen.mib} MiB", {name: figures[name] for name in pieces}, next(iter(pieces))))
    print(machine("cpu"))


def _random_release(place: Path, mib: int) -> StagedRelease:
    folder = place / "release"
    folder.mkdir(parents=True)
    for number in range(_FILES):
        with (folder / f"model-{number}.safetensors").open("wb") as stream:
            for _ in range(mib // _FILES):
                stream.write(os.urandom(_CHUNK))
    write_manifest(place, [hashed(path, path.name, "student") for path in folder.iterdir()])
    return StagedRelease.read(place)


def _paths(release: StagedRelease) -> list[Path]:
    return [release.folder / each.path for each in release.files]


def _copy(release: StagedRelease, target: Path) -> None:
    """The least that staging can do: SHA-256 and git's SHA-1 of each byte, and the byte itself."""
    for path in _paths(release):
        digests = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
        with path.open("rb") as reading, target.open("wb") as writing:
            while piece := reading.read(_CHUNK):
                for digest in digests:
                    digest.update(piece)
                writing.write(piece)


def _fresh(folder: Path, do: Callable[[Path], object]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    do(folder)


def _on_a_hub(folder: Path, do: Callable[[HubRepository], object]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with rehearsal_hub(folder, _TOKEN) as hub:
        do(HubRepository(_REPO.repo, endpoint=hub.api, token=_TOKEN, patience=Patience()))


def _upload(release: StagedRelease, hub: HubRepository) -> str:
    hub.create(_REPO)
    operations = [CommitOperationAdd(path.name, path) for path in _paths(release)]
    done = HfApi(endpoint=hub.endpoint, token=_TOKEN).create_commit(hub.repo, operations, commit_message="Release")
    return str(done.oid)


def _upload_and_look(release: StagedRelease, hub: HubRepository, scratch: Path) -> None:
    pull_and_check(hub, _upload(release, hub), release.files, scratch, lambda _: None)


if __name__ == "__main__":
    main()
