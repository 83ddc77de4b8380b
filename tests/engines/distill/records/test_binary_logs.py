"""Logs as TensorBoard and W&B write them are read to the last number, and nothing that was torn or changed is."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from refute.engines.distill.experiments.training_record import import_record
from refute.engines.distill.records.event_files import read_events
from refute.engines.distill.records.protobuf import fields
from refute.engines.distill.records.wandb_run import read_wandb
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.evidence_files import CLAIMED_RUN, CLAIMED_STEPS

# What wandb of these versions wrote of five steps, offline.
WANDB = sorted((Path(__file__).parents[3] / "assets" / "training_records").glob("*.wandb"))


def _events(folder: Path, steps: range, *, new_style: bool = False) -> Path:
    """An event file of TensorBoard's own writer, with what is no scalar among the scalars."""
    writer = SummaryWriter(str(folder))
    for step in steps:
        writer.add_scalar("train/loss", 3.0 / step, step, new_style=new_style)
        writer.add_scalar("train/learning_rate", 0.5, step, new_style=new_style)
    writer.add_text("note", "nothing", 1)
    writer.close()
    return max(folder.glob("*tfevents*"))


@pytest.mark.parametrize("new_style", [False, True])
def test_scalars_of_tensorboard_come_by_step(tmp_path: Path, new_style: bool) -> None:
    """As both of its generations write them; other kinds of values are left out."""
    _events(tmp_path, range(1, 6), new_style=new_style)
    found = [entry for _, entry in read_events(tmp_path) if "train/loss" in entry]
    assert [entry["step"] for entry in found] == [1, 2, 3, 4, 5]
    assert [entry["train/loss"] for entry in found] == pytest.approx([3.0, 1.5, 1.0, 0.75, 0.6])
    assert {entry["train/learning_rate"] for entry in found} == {0.5}


@pytest.mark.parametrize("path", WANDB, ids=[path.stem for path in WANDB])
def test_what_wandb_logged_comes_by_the_trainers_step(path: Path) -> None:
    """Files of two of its generations; the trainer counts in tens, W&B in ones."""
    found = [entry for _, entry in read_wandb(path)]
    assert [entry["step"] for entry in found] == [10, 20, 30, 40, 50]
    assert [entry["train/loss"] for entry in found] == pytest.approx([3.0, 1.5, 1.0, 0.75, 0.6])


@pytest.mark.parametrize("kind", ["tensorboard", "wandb"])
def test_a_record_of_either_is_a_claim(make_job: Callable[..., Job], tmp_path: Path, kind: str) -> None:
    """From a folder, as the tools leave it."""
    folder = tmp_path / "run"
    folder.mkdir()
    if kind == "wandb":
        (folder / WANDB[-1].name).write_bytes(WANDB[-1].read_bytes())
    else:
        _events(folder, range(10, 60, 10))
    job = make_job("record", {"format": kind, "path": str(folder)})
    import_record(job)
    run, steps = CLAIMED_RUN.read(job.out, "record"), CLAIMED_STEPS.read(job.out, "record")
    assert (run.origin, run.steps, run.logged) == ("claimed", 50, 5)
    assert [step.step for step in steps] == [10, 20, 30, 40, 50]
    assert all(step.learning_rate is not None for step in steps)


@pytest.mark.parametrize("kind", ["tensorboard", "wandb"])
def test_a_byte_that_was_changed_and_a_file_that_was_cut_are_refused(tmp_path: Path, kind: str) -> None:
    """Every record has a checksum, and each is looked at; a cut between two records is a shorter run."""
    path = WANDB[0] if kind == "wandb" else _events(tmp_path, range(1, 4))
    read, data, place = read_wandb if kind == "wandb" else read_events, path.read_bytes(), tmp_path / "changed"
    for byte in range(0, len(data), 5):
        place.write_bytes(data[:byte] + bytes([data[byte] ^ 0x20]) + data[byte + 1 :])
        with pytest.raises(ExperimentError):
            list(read(place))
    place.write_bytes(data[:-1])
    with pytest.raises(ExperimentError):
        list(read(place))


def test_runs_that_were_put_together_are_refused(tmp_path: Path) -> None:
    """An event file with a scalar twice, a folder of two runs of W&B, and one of none."""
    with SummaryWriter(str(tmp_path / "twice")) as writer:
        for value in (3.0, 2.0):
            writer.add_scalar("loss", value, 1)
    with pytest.raises(ExperimentError, match="loss of step 1 stands there twice"):
        list(read_events(tmp_path / "twice"))
    for path in WANDB:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ExperimentError, match=r"holds 2 \.wandb files"):
        list(read_wandb(tmp_path))
    (tmp_path / "none").mkdir()
    with pytest.raises(ExperimentError, match="no event file"):
        list(read_events(tmp_path / "none"))


def _field(number: int, value: bytes) -> bytes:
    size = len(value)
    length = bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])
    return bytes([number << 3 | 2]) + length + value


def test_a_record_of_wandb_may_be_spread_over_blocks(tmp_path: Path) -> None:
    """First, middle and last part; a last one alone is refused."""
    item = _field(1, _field(1, b"loss") + bytes([16 << 3 & 0x7F | 2 | 0x80, 1, 3]) + b"2.5")
    message = _field(2, item + _field(2, b"\x08\x07"))
    thirds = [message[:4], message[4:9], message[9:]]

    def log(*numbered: tuple[int, bytes]) -> Path:
        path = tmp_path / "run-x.wandb"
        records = [
            struct.pack("<IHB", zlib.crc32(part, zlib.crc32(bytes([kind]))), len(part), kind) + part
            for kind, part in numbered
        ]
        path.write_bytes(b":W&B\xe1\xbe\x00" + b"".join(records))
        return path

    ((_, entry),) = read_wandb(log(*zip((2, 3, 4), thirds, strict=True)))
    assert (entry["step"], entry["loss"]) == (7, 2.5)
    for wrong in ([(4, message)], [(2, message)], [(2, thirds[0]), (1, message)]):
        with pytest.raises(ExperimentError):
            list(read_wandb(log(*wrong)))


@pytest.mark.parametrize("message", [b"\x0a\x05ab", b"\x80" * 12, b"\x0b", b"\x0d\x00"])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    """A field longer than its message, a number without an end, a wire type that nobody uses, a number that is cut."""
    with pytest.raises(ExperimentError, match="no protobuf message"):
        list(fields(message, json.dumps("here")))
