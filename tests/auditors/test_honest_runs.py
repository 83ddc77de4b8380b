"""Runs that did what they say are found again, however they were made, far below the bars of the specification."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditing import Audit
from json_lines import read_rows
from refute import Bench, Outcome
from refute.falsifier.loading import load_registry
from refute.falsifier.runner import bench_bars
from refute.spec.bars.decide import control_outcome
from refute.spec.criteria import load_spec, uses_of
from training_runs import KilledError, each_step, kill_at

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NO_TEACHER = {"ce_weight": 1.0, "kd_weight": 0.0}


def assert_found_again(made: Audit) -> dict[str, float]:
    """Every measurement of the second loop lies at least a hundred times below its bar."""
    redone = made.measure("segments-redone")
    assert redone["moment_distance"] < 1e-5
    assert redone["distance"] < 5e-4
    assert redone["loss_difference"] < 1e-5
    assert redone["broken_links"] == redone["unredone_resumptions"] == 0
    followed = made.measure("optimizer-followed")
    assert max(followed["step_error"], followed["decay_error"], followed["moment_error"]) < 1e-4
    assert followed["missing_rows"] == followed["rate_error"] == 0
    assert max(made.measure("teacher-distance").values()) < 1e-5
    first = made.measure("first-step")
    assert max(first["loss_error"], first["gradient_error"], first["rate_error"]) < 1e-3
    assert first["foreign_batches"] == 0
    assert made.measure("segments-drawn")["undrawn_segments"] == 0
    assert made.measure("resumptions-told")["misstated_resumptions"] == 0
    numbers = made.measure("numbers-unrounded")
    assert numbers["rounded_states"] < 4
    assert numbers["rounded_gradients"] < 30
    return redone


def assert_foreign_text_fails(made: Audit, folder: Path) -> None:
    """The controls that are made of steps on foreign text are refused by the bars of the specification."""
    uses = {use.uses: use for use in uses_of([load_spec(ROOT / "specs" / "distill-001.yaml").spec])}
    for name in ("first-step", "segments-redone"):
        falsifier = load_registry([])[name]
        (control,) = [each for each in falsifier.controls if "foreign" in each.name and each.build.__doc__]
        bench = Bench(folder / name, dict(falsifier.parameters), made.evidence(), bench_bars(uses[name]))
        control.build(bench)
        found = tuple(falsifier.measure(bench.context()))
        assert control_outcome(uses[name], found)[0] is Outcome.FALSIFIED, found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"document_mask": True, "save_dtype": "bfloat16"},
        NO_TEACHER,
        {"max_grad_norm": 0.01, "prefetch": 2, "keep": "best", "save_dtype": "float16"},
        {"divergence": "reverse_kl", "temperature": 4.0, "document_mask": True},
        {"divergence": "jensen_shannon", "beta": 0.2},
    ],
    ids=[
        "plain",
        "documents apart, saved in bfloat16",
        "no teacher",
        "clipped, prefetched, the best kept in float16",
        "reverse KL, documents apart",
        "Jensen-Shannon",
    ],
)
def test_an_honest_run_is_found_again(audit: Callable[..., Audit], changes: dict[str, Any], tmp_path: Path) -> None:
    """Weights, losses, moments, batches and distances to the teacher, by code that shares nothing with the loop."""
    made = audit(**changes)
    made.train()
    made.redo()
    assert assert_found_again(made)["redone_share"] == 16.0
    assert_foreign_text_fails(made, tmp_path)


def test_bfloat16_stays_below_the_bars(audit: Callable[..., Audit]) -> None:
    """Two loops round otherwise: a few parts in a thousand of weights, moments and losses."""
    made = audit(dtype="bfloat16")
    made.train()
    made.redo()
    redone = made.measure("segments-redone")
    assert max(redone["distance"], redone["moment_distance"]) < 2e-2
    assert redone["loss_difference"] < 1e-2
    assert max(made.measure("teacher-distance").values()) < 3e-3
    assert made.measure("numbers-unrounded")["rounded_states"] < 4


@pytest.mark.exhaustive
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_ranks_are_found_again(audit: Callable[..., Audit], parallel: str) -> None:
    """Whether they share the batch or the model, too; rows of a model in pieces are gathered from them."""
    made = audit(processes=2, steps=8, warmup_steps=1, eval_every=8, parallel=parallel)
    made.train()
    made.redo()
    assert_found_again(made)


def test_an_interrupted_run_is_found_again(audit: Callable[..., Audit]) -> None:
    """Killed twice: each resumption is recorded, and the steps before and after each are made again."""
    for stop in (17, 38):
        with pytest.raises(KilledError):
            audit(each_step(kill_at(stop))).train()
    made = audit()
    made.train()
    custody = json.loads((made.job.out / "custody.json").read_text(encoding="utf-8"))
    assert custody["resumed"] == [{"since": 0, "at": 10}, {"since": 20, "at": 30}]
    segments = read_rows(made.redo() / "segments.jsonl")
    assert {(0, 10, "state"), (10, 12, "trace"), (20, 30, "state"), (30, 32, "trace"), (48, 50, "model")} <= {
        (row["start"], row["end"], row["target"]) for row in segments
    }
    assert assert_found_again(made)["resumptions"] == 2
