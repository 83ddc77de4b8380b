"""Token shards: windows are cut across their borders, and nothing that was altered is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refute.engines.distill.data.shards import Manifest, Shard, ShardWindows, verify_shards
from refute.errors import ExperimentError, MissingInputsError

SIZES = {"train": (7, 1, 1, 20, 4), "heldout": (5,)}


def _write(folder: Path, sizes: Sequence[int], split: str, first: int) -> tuple[Shard, ...]:
    shards = []
    for number, size in enumerate(sizes):
        data = np.arange(first, first + size, dtype="<u4").tobytes()
        name = f"{split}-{number:05d}.bin"
        (folder / name).write_bytes(data)
        shards.append(Shard(name, size, hashlib.sha256(data).hexdigest()))
        first += size
    return tuple(shards)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Shards of 7, 1, 1, 20 and 4 training ids, counted up from 100,000, and one of 5 held-out ones."""
    shards = {split: _write(tmp_path, sizes, split, 100_000) for split, sizes in SIZES.items()}
    made = Manifest("tokenizer", 0, 100_032, shards, {"seed": 1})
    made.save(tmp_path)
    return made


@pytest.mark.parametrize("seq_len", [2, 3, 6, 8, 11, 33])
def test_windows_run_across_the_borders_of_shards(tmp_path: Path, manifest: Manifest, seq_len: int) -> None:
    """Every window is the next `seq_len` ids of all shards end to end, in any order of asking, above 65,535."""
    windows = ShardWindows(tmp_path, manifest, "train", seq_len)
    assert len(windows) == 33 // seq_len
    expected = [[100_000 + n for n in range(i * seq_len, (i + 1) * seq_len)] for i in range(len(windows))]
    assert windows[range(len(windows))].tolist() == expected
    backwards = list(reversed(range(len(windows))))
    assert windows[backwards].tolist() == expected[::-1]


@pytest.mark.parametrize("seq_len", [2, 4, 9])
def test_every_window_begins_as_texts_do(tmp_path: Path, manifest: Manifest, seq_len: int) -> None:
    """The id before a text is each window's first, and the others follow each other from window to window."""
    windows = ShardWindows(tmp_path, replace(manifest, beginning_of_sequence=7), "train", seq_len)
    assert len(windows) == 33 // (seq_len - 1)
    rows = windows[range(len(windows))]
    assert set(rows[:, 0].tolist()) == {7}
    assert rows[:, 1:].flatten().tolist() == list(range(100_000, 100_000 + len(windows) * (seq_len - 1)))


def test_a_rest_that_fills_no_window_is_left_out(tmp_path: Path, manifest: Manifest) -> None:
    """Five held-out ids are one window of three."""
    windows = ShardWindows(tmp_path, manifest, "heldout", 3)
    assert len(windows) == 1
    assert windows[[0]].tolist() == [[100_000, 100_001, 100_002]]
    assert manifest.tokens("train") == 33


def test_a_manifest_is_read_back_as_it_was_written(tmp_path: Path, manifest: Manifest) -> None:
    """Shards, digests, facts and ids are equal after a round trip."""
    assert Manifest.load(tmp_path) == manifest
    verify_shards(tmp_path, manifest)


@pytest.mark.parametrize("change", ["flip", "cut", "longer", "gone"])
def test_an_altered_shard_is_named_with_both_digests(tmp_path: Path, manifest: Manifest, change: str) -> None:
    """A flipped bit, a lost tail, an addition or a missing file: the shard and what was expected are told."""
    path = tmp_path / "train-00003.bin"
    data = bytearray(path.read_bytes())
    data[11] ^= 1
    altered = {"flip": bytes(data), "cut": path.read_bytes()[:-4], "longer": path.read_bytes() + b"\0\0\0\0"}
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(altered[change])
    digest = manifest.shards["train"][3].sha256
    with pytest.raises(ExperimentError, match=rf"1 of 6 shards differ .*train-00003\.bin: .*expected {digest}"):
        verify_shards(tmp_path, manifest)


def test_a_truncated_shard_cannot_be_mapped(tmp_path: Path, manifest: Manifest) -> None:
    """Even where digests are not looked at, a window is never made of what is not there."""
    path = tmp_path / "train-00003.bin"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ExperimentError, match=r"train-00003\.bin holds 19 ids, its manifest says 20"):
        ShardWindows(tmp_path, manifest, "train", 3)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises((ExperimentError, MissingInputsError), match=r"train-00003\.bin"):
        ShardWindows(tmp_path, manifest, "train", 3)
    path.unlink()
    with pytest.raises(MissingInputsError, match=r"train-00003\.bin cannot be read"):
        ShardWindows(tmp_path, manifest, "train", 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2, expected 1"),
        ({"shards": {"train": []}}, "KeyError.*heldout"),
        ({"shards": {"train": [{"file": "a"}], "heldout": []}}, "TypeError"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(
    tmp_path: Path, manifest: Manifest, change: dict[str, object], message: str
) -> None:
    """Another format, or a list of shards that is not whole, is told as such."""
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(ExperimentError, match=message):
        Manifest.load(tmp_path)


def test_shards_without_a_manifest_are_unfinished(tmp_path: Path) -> None:
    """The manifest is written last, so its absence says that `tokenize` did not end."""
    with pytest.raises(MissingInputsError, match=r"holds no manifest\.json") as caught:
        Manifest.load(tmp_path)
    assert "to its end" in caught.value.hint
