"""A published release, pulled as strangers pull it: however the hub's client lays it out, it is what was judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from refute.engines.publish.manifest import hashed, write_manifest
from refute.engines.publish.push import StagedRelease, push
from refute.engines.publish.rehearsal.answers import Hub
from refute.errors import StaleVerdictError
from refute.spec.publication import Repository
from refute.verify.verification import verify_verdict
from staged_run import TOKEN, open_hub, repository
from tiny_run import MODEL_RELEASE, JudgedOnce


def downloaded(hub: Hub, tag: str, cache: Path, folder: Path | None = None) -> Path:
    """Where the hub's own client has laid the release out: in its cache, or in a folder of one's own."""
    got = snapshot_download(
        "org/tiny", revision=tag, endpoint=hub.api, token=TOKEN, cache_dir=cache, local_dir=folder, max_workers=2
    )
    return Path(got)


@pytest.mark.slow  # a run is judged, published and pulled twice
def test_a_pulled_release_is_what_was_judged_in_either_layout(tmp_path: Path) -> None:
    """`hf download --local-dir` leaves notes of its own there; the hub's cache is links into its blobs."""
    folder, staged = tmp_path / "mine" / "model", tmp_path / "staging" / "release"
    for place in (folder, staged):
        place.mkdir(parents=True)
        (place / "config.json").write_text("{}", encoding="utf-8")
        (place / "model.safetensors").write_bytes(bytes(4096))
    (staged / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    release = MODEL_RELEASE.replace("student: mine", "student: mine, staged: staging")
    made = JudgedOnce.make(tmp_path, release=release, also=("student", "staged")).judged
    (staged / "verdict.sigstore.json").write_text("{}", encoding="utf-8")
    write_manifest(staged.parent, [hashed(path, path.name, "stage") for path in sorted(staged.iterdir())])
    with open_hub(tmp_path / "hub") as hub:
        declared = Repository(repo="org/tiny")
        pushed = push(StagedRelease.read(staged.parent), repository(hub), declared, tmp_path / "work", lambda *_: None)
        cached = downloaded(hub, pushed.tag, tmp_path / "cache")
        copied = downloaded(hub, pushed.tag, tmp_path / "none", tmp_path / "copy")
    assert ((cached / "config.json").is_symlink(), (copied / ".cache/huggingface").is_dir()) == (True, True)
    keys = [made.files.key.read_bytes()]
    for pulled in (cached, copied):
        checks = verify_verdict(made.path.read_bytes(), keys, model=pulled).checks
        assert "staged by the gate that judged it, to the byte: README.md" in checks
    (copied / "model.safetensors").write_bytes(bytes(4095) + b"1")
    with pytest.raises(StaleVerdictError, match=r"model\.safetensors changed"):
        verify_verdict(made.path.read_bytes(), keys, model=copied)
