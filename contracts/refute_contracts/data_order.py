"""Which window belongs to which step, what a window is, and what a model reads of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refute.check.contracts.rewrite import Rewrite
from refute.errors import ExperimentError
from refute_contracts.refusing import refuses
from refute_contracts.scratch import scratch

if TYPE_CHECKING:
    from refute.engines.distill.data.shards import Manifest

_BATCH = "refute.engines.distill.data.batch_order:BatchOrder.batch"
_ORDER = "refute.engines.distill.data.batch_order:epoch_order"
_PACK = "refute.engines.distill.data.packing:pack"
_END, _BEGIN = 0, 9
ORDERS = st.integers(12, 40).flatmap(lambda windows: st.tuples(st.just(windows), st.integers(1, windows)))
ROWS = st.integers(2, 9).flatmap(
    lambda size: st.lists(st.lists(st.integers(0, 3), min_size=size, max_size=size), min_size=1, max_size=3)
)
SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=5)


@given(order=ORDERS, seed=st.integers(0, 2**31), epochs=st.integers(1, 3))
def every_epoch_is_a_permutation(order: tuple[int, int], seed: int, epochs: int) -> None:
    """Cut at the borders of epochs, the batches end to end name every window exactly once."""
    from refute.engines.distill.data.batch_order import BatchOrder

    windows, size = order
    batches = BatchOrder(windows, size, seed)
    seen = [index for step in range(-(-epochs * windows // size)) for index in batches.batch(step)]
    for epoch in range(epochs):
        assert sorted(seen[epoch * windows : (epoch + 1) * windows]) == list(range(windows))


@given(order=ORDERS, seed=st.integers(0, 2**31), step=st.integers(0, 30))
def a_step_is_a_function_of_seed_and_step(order: tuple[int, int], seed: int, step: int) -> None:
    """Asked alone, whatever was asked before, a step has the windows that the formula gives it."""
    from refute.engines.distill.data.batch_order import BatchOrder

    windows, size = order

    def place(epoch: int, index: int) -> bytes:
        return hashlib.sha256(f"{seed}/{epoch}/{index}".encode()).digest()

    epochs = range((step + 1) * size // windows + 1)
    flat = [index for epoch in epochs for index in sorted(range(windows), key=lambda i: place(epoch, i))]
    assert BatchOrder(windows, size, seed).batch(step) == flat[step * size : (step + 1) * size]


@given(rows=ROWS, begin=st.sampled_from([None, _BEGIN]))
def documents_are_kept_apart(rows: list[list[int]], begin: int | None) -> None:
    """Positions count from the start of a document, and its end predicts nothing, or is where the next one begins."""
    import torch

    from refute.engines.distill.data.packing import IGNORED, pack

    batch = pack(torch.tensor(rows), _END, begin)
    assert batch.positions is not None
    for row, ids, labels, positions in zip(
        rows, batch.ids.tolist(), batch.labels.tolist(), batch.positions.tolist(), strict=True
    ):
        place = 0
        for index, token in enumerate(row[:-1]):
            ends = token == _END
            place = 0 if ends and begin is not None else place
            assert ids[index] == (begin if ends and begin is not None else token)
            assert positions[index] == place
            assert labels[index] == (IGNORED if ends and begin is None else row[index + 1])
            place = 0 if ends and begin is None else place + 1
    assert batch.supervised == sum(token != _END or begin is not None for row in rows for token in row[:-1])


@given(sizes=SIZES, length=st.integers(1, 6), begin=st.sampled_from([None, _BEGIN]))
def windows_are_the_shards_end_to_end(sizes: list[int], length: int, begin: int | None) -> None:
    """Window i is what texts begin with and ids [i M, (i + 1) M) of all shards put together; the rest is left out."""
    from refute.engines.distill.data.shards import ShardWindows

    with scratch() as name:
        manifest, first = write_shards(Path(name), sizes), [] if begin is None else [begin]
        windows = ShardWindows(Path(name), replace(manifest, beginning_of_sequence=begin), "train", length + len(first))
        total = sum(sizes)
        assert len(windows) == total // length
        if len(windows):
            expected = np.arange(total // length * length).reshape(-1, length) + 70_000
            assert windows[range(len(windows))].tolist() == [first + row for row in expected.tolist()]


@given(sizes=SIZES, place=st.integers(0, 44), bit=st.integers(0, 31))
def altered_shards_are_refused(sizes: list[int], place: int, bit: int) -> None:
    """One flipped bit of one id anywhere."""
    from refute.engines.distill.data.shards import verify_shards

    with scratch() as name:
        manifest = write_shards(Path(name), sizes)
        verify_shards(Path(name), manifest)
        path = Path(name) / manifest.shards["train"][place % len(sizes)].file
        ids = np.frombuffer(path.read_bytes(), dtype="<u4").copy()
        ids[place % len(ids)] ^= np.uint32(1 << bit)
        path.write_bytes(ids.tobytes())
        assert refuses(ExperimentError, lambda: verify_shards(Path(name), manifest))


def write_shards(folder: Path, sizes: Sequence[int]) -> Manifest:
    """Shards of these sizes, counted up from 70,000."""
    from refute.engines.distill.data.shards import Manifest, Shard

    shards, first = [], 70_000
    for number, size in enumerate(sizes):
        data = np.arange(first, first + size, dtype="<u4").tobytes()
        (folder / f"train-{number}.bin").write_bytes(data)
        shards.append(Shard(f"train-{number}.bin", size, hashlib.sha256(data).hexdigest()))
        first += size
    return Manifest("tokenizer", _END, first, {"train": tuple(shards), "heldout": ()})


window_skipped = Rewrite(_BATCH, {"range(step * self.batch_size,": "range(step * self.batch_size + 1,"})
one_window_twice = Rewrite(_BATCH, {"[position % self.windows]": "[position % (self.windows - 1)]"})
unseeded = Rewrite(_ORDER, {"{seed}/{epoch}/{index}": "{epoch}/{index}"})
one_order_for_all_epochs = Rewrite(_ORDER, {"{seed}/{epoch}/{index}": "{seed}/{index}"})
ends_predict_the_next_document = Rewrite(_PACK, {"labels.masked_fill(ends, IGNORED)": "labels"})
positions_restart_late = Rewrite(
    _PACK, {"functional.pad(ends[:, :-1], (1, 0))": "functional.pad(ends[:, :-2], (2, 0))"}
)
beginning_after_the_end = Rewrite(
    _PACK, {"starts = ends * index": "starts = functional.pad(ends[:, :-1], (1, 0)) * index"}
)
labels_not_shifted = Rewrite(_PACK, {"windows[:, 1:]": "windows[:, :-1]"})
digests_not_compared = Rewrite(
    "refute.engines.distill.data.shards:verify_shards", {"if found != shard.sha256": "if not found"}
)
_SHARDS = "refute.engines.distill.data.shards:ShardWindows"
windows_overlap = Rewrite(
    f"{_SHARDS}.__getitem__",
    {
        "(index + 1) * self._stride": "(index + 1) * self._stride - index",
        "self._span(index * self._stride": "self._span(index * self._stride - index",
    },
)
no_beginning = Rewrite(f"{_SHARDS}.__getitem__", {"np.concatenate([begin, span])": "np.concatenate([span, begin])"})
rest_counts_as_a_window = Rewrite(f"{_SHARDS}.__len__", {"// self._stride": "// self._stride + 1"})
