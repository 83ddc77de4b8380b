"""Windows where they belong, and held-out text that training knows."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from refute.engines.distill.experiments.corpus_places import known_windows, out_of_order, out_of_turn

RANDOM = np.random.default_rng(17).integers(0, 5000, (80, 64), dtype=np.int32)
TRAIN, HELDOUT = RANDOM[:60], RANDOM[60:]


def test_held_out_windows_stand_in_the_order_of_their_hashes() -> None:
    """One that was moved breaks the order where it came from or where it went."""
    digests = [hashlib.sha256(window.tobytes()).digest() for window in HELDOUT]
    ordered = HELDOUT[sorted(range(len(HELDOUT)), key=lambda place: digests[place])]
    assert out_of_order(ordered) == 0
    assert out_of_order(np.roll(ordered, 1, axis=0)) == 1
    assert out_of_order(ordered[::-1]) == len(ordered) - 1
    assert out_of_order(np.repeat(ordered, 2, axis=0)) == len(ordered), "a window that stands there twice"


def test_held_out_files_are_taken_first() -> None:
    """In an order that nobody chose: another one than the seed's holds out what suits."""
    paths = sorted((f"{n}.py" for n in range(20)), key=lambda path: hashlib.sha256(f"17\0{path}".encode()).digest())
    files = [{"path": path, "split": "heldout" if n < 6 else "train"} for n, path in enumerate(paths)]
    assert out_of_turn(sorted(files, key=lambda file: file["path"]), 17) == 0
    assert out_of_turn(files, 18) > 0
    assert out_of_turn(files[:6], 17) == 0, "nothing is trained on"
    files[0]["split"] = "train"
    assert out_of_turn(files, 17) == 5


def test_text_that_was_never_trained_on_is_not_known() -> None:
    """Nor a few words of it, however often."""
    train = TRAIN.copy()
    train[:, :20] = HELDOUT[0, :20]
    assert known_windows(train, HELDOUT) == 0


@pytest.mark.parametrize("shift", [0, 7, 40])
def test_near_twins_are_known_wherever_they_were_cut(shift: int) -> None:
    """A changed token in each window does not hide it, nor do windows that begin elsewhere."""
    train = TRAIN.copy()
    twins = np.roll(HELDOUT.reshape(-1), shift).reshape(-1, 64)[:12].copy()
    twins[:, 50] = 0
    train[10:22] = twins
    assert known_windows(train, HELDOUT) >= 11


def test_half_of_a_window_must_be_known() -> None:
    """Thirty-two of sixty-four tokens are half, thirty are not."""
    for tokens, known in ((32, 1), (30, 0)):
        train = TRAIN.copy()
        train[5, 3 : 3 + tokens] = HELDOUT[4, 10 : 10 + tokens]
        assert known_windows(train, HELDOUT) == known
