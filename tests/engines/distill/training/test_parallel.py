"""Two ranks under torchrun: the run of one, shared; and none of them waits for a dead one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from json_lines import read_rows
from refute.cli.distill.run import run_distill
from refute.engines.distill.training.ranks import ALONE, Ranks
from training_runs import same, summary, weights

WriteConfig = Callable[..., Path]
# Long enough behind its first checkpoint to be killed there.
SHARED: dict[str, Any] = {
    "document_mask": True,
    "prefetch": 1,
    "micro_batch_size": 2,
    "eval_windows": 5,
    "eval_every": 40,
    "checkpoint_every": 3,
    "steps": 80,
}


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


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that nobody disturbed: look, do not touch."""

    config: Path
    out: Path
    printed: str
    error: str


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, distill_config: Callable[..., str]) -> Path:
    """What one rank makes of the run that the others share."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "config.yaml").write_text(distill_config(**SHARED), encoding="utf-8")
    run_distill(folder / "config.yaml", folder / "out", max_steps=None, force=False)
    return folder / "out"


@pytest.fixture(scope="module", params=["ddp", "fsdp"])
def together(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, distill_config: Callable[..., str]
) -> Finished:
    """The same run on two ranks."""
    folder = tmp_path_factory.mktemp(request.param)
    config, out = folder / "config.yaml", folder / "out"
    config.write_text(distill_config(parallel=request.param, **SHARED), encoding="utf-8")
    status, printed, error = _ended(_torchrun(config, out), 120)
    assert status == 0, error
    return Finished(config, out, printed, error)


@pytest.mark.exhaustive
def test_two_ranks_train_the_student_of_one(alone: Path, together: Finished) -> None:
    """DDP and FSDP2 with prefetched answers: weights within 1e-3 relative and 1e-4 absolute of one rank's, whose losses
    and figures agree to 1e-4; the checkpoint is whole, and the first rank alone talks."""
    assert "Warning" not in together.error.replace("OMP_NUM_THREADS", "")
    assert together.printed.count("held-out CE") == 1
    expected, model = weights(alone), weights(together.out)
    assert model.keys() == expected.keys()
    for name, tensor in model.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-4)
    facts, found = summary(alone), summary(together.out)
    assert (found["ranks"], facts["ranks"]) == (2, 1)
    for name in ("initial_heldout_ce", "final_heldout_ce", "initial_heldout_kl", "final_heldout_kl"):
        assert found[name] == pytest.approx(facts[name], rel=1e-4)
    assert found["supervised_tokens"] == facts["supervised_tokens"]
    kept_checkpoints = sorted((together.out / "work" / "checkpoints").iterdir())
    assert [path.name for path in kept_checkpoints] == ["step-00000078", "step-00000080"]
    kept = load_file(kept_checkpoints[-1] / "weights.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.items())


@pytest.mark.exhaustive
def test_ranks_that_were_killed_continue_bitwise(together: Finished, tmp_path: Path) -> None:
    """Two ranks killed behind a checkpoint and started again end with the weights of two that never were."""
    killed = tmp_path / "killed"
    process = _torchrun(together.config, killed)
    deadline = time.monotonic() + 100
    while not list((killed / "work" / "checkpoints").glob("step-*")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for running in (process.pid, *_children(process.pid)):
        os.kill(running, signal.SIGKILL)
    process.communicate()
    assert not (killed / "summary.json").exists()
    status, _, error = _ended(_torchrun(together.config, killed), 120)
    assert status == 0, error
    assert same(weights(killed), weights(together.out))
    assert [row["step"] for row in read_rows(killed / "metrics.jsonl")] == list(range(1, SHARED["steps"] + 1))


@pytest.mark.exhaustive
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
