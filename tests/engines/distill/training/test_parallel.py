"""Two ranks under torchrun: the run of one, shared; and none of them waits for a dead one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from json_lines import read_rows
from refute.cli.distill.run import run_distill
from refute.engines.distill.training.ranks import ALONE, Ranks
from training_runs import same, summary, weights

WriteConfig = Callable[..., Path]


def _torchrun(config: Path, out: Path) -> subprocess.Popen[str]:
    """`refute distill` on two ranks of the CPU."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    return subprocess.Popen(
        [*command, "refute", "distill", str(config), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _ended(process: subprocess.Popen[str], timeout_s: float) -> tuple[int, str, str]:
    try:
        out, error = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        for running in (*_children(process.pid), process.pid):
            os.kill(running, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, out, error


def test_two_ranks_train_the_student_of_one(write_config: WriteConfig, tmp_path: Path) -> None:
    """DDP and FSDP2 with prefetched answers: weights within 1e-3 relative and 1e-4 absolute of one rank's, whose losses
    and figures agree to 1e-4; the checkpoint is whole, and the first rank alone talks."""
    shared = {"document_mask": True, "prefetch": 1, "micro_batch_size": 2, "eval_windows": 5, "steps": 6}
    run_distill(write_config("one", **shared), tmp_path / "one", max_steps=None, force=False)
    alone = weights(tmp_path / "one")
    facts = summary(tmp_path / "one")
    for kind in ("ddp", "fsdp"):
        out = tmp_path / kind
        status, printed, error = _ended(_torchrun(write_config(kind, parallel=kind, **shared), out), 120)
        assert status == 0, error
        assert "Warning" not in error.replace("OMP_NUM_THREADS", "")
        assert printed.count("held-out CE") == 1
        model = weights(out)
        assert model.keys() == alone.keys()
        for name, tensor in model.items():
            torch.testing.assert_close(tensor, alone[name], rtol=1e-3, atol=1e-4)
        found = summary(out)
        assert (found["ranks"], facts["ranks"]) == (2, 1)
        for name in ("initial_heldout_ce", "final_heldout_ce", "initial_heldout_kl", "final_heldout_kl"):
            assert found[name] == pytest.approx(facts[name], rel=1e-4)
        assert found["supervised_tokens"] == facts["supervised_tokens"]
        (checkpoint,) = (out / "work" / "checkpoints").iterdir()
        kept = load_file(checkpoint / "weights.safetensors")
        assert all(torch.equal(kept[name], tensor) for name, tensor in model.items())


def test_a_rank_that_dies_ends_the_others_within_a_minute(write_config: WriteConfig, tmp_path: Path) -> None:
    """The second rank is killed in the middle of a run: torchrun fails, no process is left, the checkpoint is kept."""
    config = write_config("long", steps=4_000, micro_batch_size=2, checkpoint_every=3, eval_every=5_000)
    process = _torchrun(config, tmp_path / "out")
    checkpoints = tmp_path / "out" / "work" / "checkpoints"
    deadline = time.monotonic() + 100
    while not list(checkpoints.glob("step-*")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    by_rank = {_rank(child): child for child in _children(process.pid)}
    killed_at = time.monotonic()
    os.kill(by_rank["1"], signal.SIGKILL)
    status, _, error = _ended(process, 60)
    assert status != 0, error
    assert time.monotonic() - killed_at < 60
    assert not any(Path(f"/proc/{child}").exists() for child in by_rank.values())
    assert list(checkpoints.glob("step-*"))
    assert not (tmp_path / "out" / "summary.json").exists()


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_ranks_that_were_killed_continue_bitwise(write_config: WriteConfig, tmp_path: Path, kind: str) -> None:
    """Two ranks killed behind a checkpoint and started again end with the weights of two that never were."""
    config = write_config("run", parallel=kind, steps=80, micro_batch_size=2, checkpoint_every=3, eval_every=40)
    killed, calm = tmp_path / "killed", tmp_path / "calm"
    process = _torchrun(config, killed)
    deadline = time.monotonic() + 100
    while not list((killed / "work" / "checkpoints").glob("step-*")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for running in (process.pid, *_children(process.pid)):
        os.kill(running, signal.SIGKILL)
    process.communicate()
    assert not (killed / "summary.json").exists()
    for out in (killed, calm):
        status, _, error = _ended(_torchrun(config, out), 120)
        assert status == 0, error
    assert same(weights(killed), weights(calm))
    assert [row["step"] for row in read_rows(killed / "metrics.jsonl")] == list(range(1, 81))


def _children(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text(encoding="utf-8").split()]


def _rank(process: int) -> str:
    words = Path(f"/proc/{process}/environ").read_text(encoding="utf-8", errors="replace").split("\0")
    return next((word.removeprefix("RANK=") for word in words if word.startswith("RANK=")), "")


def test_a_single_rank_tells_itself_everything() -> None:
    """Alone, a sum is the number, a gathering has one part, nobody is waited for, and a device keeps its name."""
    numbers = torch.tensor([1.0, 2.0])
    assert torch.equal(ALONE.all_reduce(numbers), torch.tensor([1.0, 2.0]))
    assert ALONE.all_gather("word") == ["word"]
    ALONE.barrier()
    assert (ALONE.is_main, ALONE.device("cpu"), ALONE.device("cuda")) == (True, "cpu", "cuda")


def test_a_rank_of_many_has_a_gpu_of_its_own() -> None:
    """The local number names the GPU; on the CPU there is one device for all."""
    rank = Ranks(rank=5, world_size=8, local_rank=1)
    assert (rank.is_main, rank.device("cpu"), rank.device("cuda")) == (False, "cpu", "cuda:1")
