"""The ring buffer: same items, same order, same bits as without it, and no way to hang or to leave a thread behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from refute.engines.distill.teacher.prefetch import prefetched
from refute.errors import ExperimentError, NonFiniteError


@dataclass(frozen=True, slots=True)
class Numbered:
    """A tensor with a number."""

    number: int
    tensor: Tensor

    def tensors(self) -> list[Tensor]:
        """See `HasTensors`."""
        return [self.tensor]


def _items(count: int) -> Iterator[Numbered]:
    source = torch.Generator().manual_seed(3)
    for number in range(count):
        yield Numbered(number, torch.randn(64, 129, generator=source))


def _product(item: Numbered) -> Numbered:
    return Numbered(item.number, item.tensor @ item.tensor.T)


def _ring(
    answer: Callable[[Numbered], Numbered], items: Iterator[Numbered], *, depth: int = 2, patience_s: float = 30.0
) -> Any:
    return prefetched(answer, items, depth=depth, device="cpu", patience_s=patience_s)


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "teacher"]


@pytest.mark.parametrize("depth", [1, 2, 7, 50])
def test_any_depth_gives_the_bits_of_depth_zero_in_order(depth: int) -> None:
    """Items and answers come in order, bitwise as without a ring, and the thread is gone at the end."""
    expected = list(_ring(_product, _items(12), depth=0))
    found = list(_ring(_product, _items(12), depth=depth))
    assert [item.number for item, _ in found] == list(range(12))
    for (item, answer), (item_0, answer_0) in zip(found, expected, strict=True):
        assert item.number == answer.number
        assert torch.equal(item.tensor, item_0.tensor)
        assert torch.equal(answer.tensor, answer_0.tensor)
    assert not _threads()


def test_at_most_depth_answers_wait_beside_the_one_in_the_making() -> None:
    """The producer runs ahead, but never further than the ring is long."""
    made: list[int] = []

    def noted(item: Numbered) -> Numbered:
        made.append(item.number)
        return _product(item)

    with closing(_ring(noted, _items(20), depth=2)) as ring:
        for number in range(4):
            next(ring)
            deadline = time.monotonic() + 10
            while len(made) < number + 4 and time.monotonic() < deadline:
                time.sleep(0.005)
            # One was taken, two wait, one is made and does not fit yet.
            assert made == list(range(number + 4))


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_an_error_surfaces_at_its_item_and_those_before_are_unharmed(depth: int) -> None:
    """Items 0 to 4 arrive whole; asking for item 5 raises what its answer raised, with the same type and text."""

    def fails_at_five(item: Numbered) -> Numbered:
        if item.number == 5:
            raise NonFiniteError("item 5")
        return _product(item)

    expected = list(_ring(_product, _items(5), depth=0))
    ring = _ring(fails_at_five, _items(9), depth=depth)
    for item, answer in expected:
        found, said = next(ring)
        assert found.number == item.number
        assert torch.equal(said.tensor, answer.tensor)
    with pytest.raises(NonFiniteError, match=r"^item 5$"):
        next(ring)
    assert not _threads()


@pytest.mark.parametrize("depth", [0, 2])
def test_an_error_of_the_items_surfaces_as_well(depth: int) -> None:
    """A window that cannot be read is told as such, not as a thread that died."""

    def broken() -> Iterator[Numbered]:
        yield from _items(2)
        raise OSError("shard gone")

    ring = _ring(_product, broken(), depth=depth)
    assert [next(ring)[0].number, next(ring)[0].number] == [0, 1]
    with pytest.raises(OSError, match="shard gone"):
        next(ring)
    assert not _threads()


@pytest.mark.slow
def test_a_teacher_that_hangs_is_given_up_on() -> None:
    """After its patience the ring raises, naming the patience, while the answer is still in the making."""
    release = threading.Event()

    def hangs_at_one(item: Numbered) -> Numbered:
        if item.number == 1:
            release.wait(30)
        return item

    ring = _ring(hangs_at_one, _items(3), patience_s=0.2)
    assert next(ring)[0].number == 0
    began = time.monotonic()
    # The thread outlives the ring by as long as the answer takes; let it go while the ring waits for it.
    timer = threading.Timer(2.0, release.set)
    timer.start()
    with pytest.raises(ExperimentError, match=r"no answer within 0\.2 s"):
        next(ring)
    assert time.monotonic() - began < 10
    timer.join()


@pytest.mark.slow
def test_patience_is_for_one_answer_not_for_all() -> None:
    """Answers that together take longer than the patience, but not one by one, are all received."""

    def slow(item: Numbered) -> Numbered:
        time.sleep(0.1)
        return item

    assert [item.number for item, _ in _ring(slow, _items(30), patience_s=2.5)] == list(range(30))


def test_closing_early_ends_the_thread_at_once() -> None:
    """A consumer that stops after one item waits neither for room in the ring nor for the other items."""
    made: list[int] = []

    def noted(item: Numbered) -> Numbered:
        made.append(item.number)
        return _product(item)

    ring = _ring(noted, _items(1000), depth=1)
    next(ring)
    assert len(_threads()) == 1
    ring.close()
    assert not _threads()
    assert len(made) <= 4  # one taken, one that waits, one that does not fit, and one for the place that was given up


def test_the_thread_computes_with_as_many_threads_as_its_caller() -> None:
    """torch counts threads per thread; another number would be another rounding."""
    before, seen = torch.get_num_threads(), set[int]()
    wanted = before + 1

    def counted(item: Numbered) -> Numbered:
        seen.add(torch.get_num_threads())
        return item

    torch.set_num_threads(wanted)
    try:
        list(_ring(counted, _items(3)))
    finally:
        torch.set_num_threads(before)
    assert seen == {wanted}
