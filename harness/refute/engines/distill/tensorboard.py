"""Scalars for TensorBoard, for those who want them; the JSONL logs are the record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from refute.errors import MissingDependencyError

WriteRow = Callable[[Mapping[str, object]], None]


@contextmanager
def tensorboard_writer(folder: str | None) -> Iterator[WriteRow]:
    """What to call with each row of a log: every number in it becomes a scalar at the row's step, below `folder`.

    Raises MissingDependencyError when TensorBoard is not installed.
    """
    if folder is None:
        yield lambda _: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError("TensorBoard logs", "tensorboard") from error
    writer = SummaryWriter(folder)

    def write(row: Mapping[str, object]) -> None:
        for name, value in row.items():
            if name != "step" and isinstance(value, (int, float)):
                writer.add_scalar(name, value, row["step"])

    try:
        yield write
    finally:
        writer.close()
