"""Do the windows of a corpus stand where they belong, and how much of the held-out ones is known from training?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

Windows = NDArray[np.int32]
Codes = NDArray[np.uint64]

# Tokens of a run that a held-out window has in common with training: of shorter windows, three quarters.
_RUN: Final = 24
# A window is known when such runs cover so much of it.
_COVERED: Final = 0.5
_WINDOWS_AT_ONCE: Final = 1 << 15
# Knuth's 64-bit linear congruence: equal runs have equal codes, and others hardly ever.
_FACTOR, _TERM = np.uint64(6364136223846793005), np.uint64(1442695040888963407)


def out_of_order(heldout: Windows) -> int:
    """Held-out windows that do not follow the one before in the order of SHA-256 of their ids, little-endian int32.

    One that stands there twice is none that follows.
    """
    digests = [hashlib.sha256(window.astype("<i4").tobytes()).digest() for window in heldout]
    return sum(before >= after for before, after in pairwise(digests))


def out_of_turn(files: Iterable[Mapping[str, str]], seed: int) -> int:
    """Held-out files, of rows with `path` and `split`, that do not come before all that are trained on.

    Files are taken in the order of SHA-256 of "seed, NUL, path", and what is held out is taken first.
    """
    turns: dict[str, list[bytes]] = {"train": [], "heldout": []}
    for file in files:
        turns[file["split"]].append(hashlib.sha256(f"{seed}\0{file['path']}".encode()).digest())
    first = min(turns["train"], default=b"\xff" * 33)
    return sum(turn > first for turn in turns["heldout"])


def joints(train: Windows, count: int) -> list[Windows]:
    """The end of a window with the beginning of the next, of `count` evenly spaced ones."""
    wanted, half = min(count, len(train) - 1), train.shape[1] // 2
    places = [number * (len(train) - 1) // wanted for number in range(wanted)]
    return [np.concatenate([train[place][-half:], train[place + 1][:half]]) for place in places]


def known_windows(train: Windows, heldout: Windows) -> int:
    """Held-out windows of which runs of tokens that stand in the training windows cover half or more."""
    run = min(_RUN, heldout.shape[1] * 3 // 4)
    codes = [_codes(window, run) for window in heldout]
    sought = np.unique(np.concatenate(codes))
    found = np.zeros(0, np.uint64)
    for part in _parts(train):
        found = np.union1d(found, np.intersect1d(sought, _codes(part.reshape(-1), run)))
    return sum(_covered(np.isin(each, found), run) >= _COVERED * heldout.shape[1] for each in codes)


def _parts(train: Windows) -> Iterator[Windows]:
    """All windows in parts that follow each other by one window, so that no run is cut."""
    for start in range(0, len(train), _WINDOWS_AT_ONCE):
        yield train[max(start - 1, 0) : start + _WINDOWS_AT_ONCE]


def _codes(ids: Windows, run: int) -> Codes:
    """A number for the run that begins at each place."""
    wide = ids.astype(np.uint64)
    count = max(len(wide) - run + 1, 0)
    found = np.zeros(count, np.uint64)
    for place in range(run):
        found = found * _FACTOR + wide[place : place + count] + _TERM
    return found


def _covered(begins: NDArray[np.bool_], run: int) -> int:
    """Tokens in runs of which it is said where they begin."""
    covered = np.zeros(len(begins) + run, np.bool_)
    for place in np.flatnonzero(begins):
        covered[place : place + run] = True
    return int(covered.sum())
