"""The ring buffer of teacher answers: a thread computes the next ones while the student learns from this one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from refute.errors import ExperimentError


class HasTensors(Protocol):
    """What a teacher is asked and what it answers: tensors, whatever else."""

    def tensors(self) -> Iterable[Tensor]:
        """All of them."""
        ...


Item = TypeVar("Item", bound=HasTensors)
Output = TypeVar("Output", bound=HasTensors)
Value = TypeVar("Value")
_BEAT_S = 1.0


@dataclass(frozen=True, slots=True)
class _Made(Generic[Item, Output]):
    """An item and its answer, and the event on the producer's stream after which both may be read."""

    item: Item
    answer: Output
    ready: torch.cuda.Event | None


def prefetched(
    answer: Callable[[Item], Output], items: Iterable[Item], *, depth: int, device: str, patience_s: float
) -> Iterator[tuple[Item, Output]]:
    """Each item with its answer, in order; up to `depth` answers are made ahead, on CUDA on a stream of their own.

    Depth 0 makes each answer when it is asked for; any other depth gives bitwise the same. An error of `answer` or
    of `items` is raised where its item would have come, those before it unharmed. Raises ExperimentError when one
    answer takes longer than `patience_s` seconds. Closing the iterator ends the thread. On CUDA, `items` must put
    their tensors on `device` as they are asked for: that happens on the same stream.
    """
    if depth == 0:
        yield from ((item, answer(item)) for item in items)
        return
    ring: queue.Queue[_Made[Item, Output] | Exception | None] = queue.Queue(maxsize=depth)
    stopped = threading.Event()
    # Threads of matrix products are counted per calling thread: another number would be other rounding.
    threads = torch.get_num_threads()

    def produce() -> None:
        torch.set_num_threads(threads)
        # A new thread starts on GPU 0, whichever this rank's is: the stream is made on the device by name.
        stream = None if device == "cpu" else torch.cuda.Stream(torch.device(device))  # type: ignore[no-untyped-call]  # torch's
        try:
            with nullcontext() if stream is None else torch.cuda.stream(stream):
                for item in items:
                    if stopped.is_set():
                        return
                    _put(ring, _make(answer, item, stream), stopped)
        except Exception as error:  # noqa: BLE001  # raised again in the thread that needs the answer
            _put(ring, error, stopped)
        else:
            _put(ring, None, stopped)

    producer = threading.Thread(target=produce, name="teacher", daemon=True)
    producer.start()
    try:
        while (found := _take(ring, producer, patience_s)) is not None:
            if isinstance(found, Exception):
                raise found
            yield _receive(found)
    finally:
        stopped.set()
        with suppress(queue.Empty):
            # A producer that waits for room has it at once.
            ring.get_nowait()
        producer.join(timeout=2 * _BEAT_S)  # it ends with the answer that it is making; a hanging one is left behind


def _make(answer: Callable[[Item], Output], item: Item, stream: torch.cuda.Stream | None) -> _Made[Item, Output]:
    made = answer(item)
    if stream is None:
        return _Made(item, made, None)
    ready = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's
    ready.record(stream)
    return _Made(item, made, ready)


def _receive(made: _Made[Item, Output]) -> tuple[Item, Output]:
    if made.ready is not None:
        stream = torch.cuda.current_stream()
        stream.wait_event(made.ready)
        for tensor in (*made.item.tensors(), *made.answer.tensors()):
            # Else its memory could be given to the next answer while this stream still reads it.
            tensor.record_stream(stream)
    return made.item, made.answer


def _put(ring: queue.Queue[Value], item: Value, stopped: threading.Event) -> None:
    while not stopped.is_set():
        try:
            return ring.put(item, timeout=_BEAT_S)
        except queue.Full:
            continue
    return None


def _take(ring: queue.Queue[Value], producer: threading.Thread, patience_s: float) -> Value:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return ring.get(timeout=_BEAT_S)
        except queue.Empty:
            if not producer.is_alive() and ring.empty():
                raise ExperimentError("the thread that asks the teacher ended without an answer") from None
            if time.monotonic() > deadline:
                raise ExperimentError(
                    f"the teacher gave no answer within {patience_s:g} s",
                    hint="is its device hanging? Raise training.teacher_patience_s for a slow one",
                ) from None
