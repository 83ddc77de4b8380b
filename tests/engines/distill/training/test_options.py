"""Options of a run: prefetching, document masks, recomputation, precision, and which weights become the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.models.llama.modeling_llama import LlamaMLP

from refute.engines.distill.data.packing import pack
from refute.engines.distill.data.shards import Manifest, ShardWindows
from refute.engines.distill.experiments.train import train
from refute.engines.distill.training import trainer
from refute.engines.distill.training.evaluate import score_windows
from refute.engines.distill.training.optimizer import learning_rate
from refute.job import Job
from refute.spec.experiments.training import Training
from training_runs import KilledError, asked_for, each_step, kill_at, same, summary, untimed, weights

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("mask", [True, False])
def test_prefetched_answers_give_bitwise_the_same_run(
    start: Callable[..., Job], shards_folder: Path, mask: bool
) -> None:
    """Depth 2 and depth 0: the same weights and logs, with documents kept apart and without."""
    jobs = [
        start(f"depth-{depth}", corpus=shards_folder, prefetch=depth, document_mask=mask, micro_batch_size=4)
        for depth in (0, 2)
    ]
    for job in jobs:
        train(job)
    assert same(weights(jobs[0].out), weights(jobs[1].out))
    assert untimed(jobs[0].out / "metrics.jsonl") == untimed(jobs[1].out / "metrics.jsonl")
    assert asked_for(jobs[0].out) == asked_for(jobs[1].out)


def test_documents_are_kept_apart_in_training_and_evaluation(start: Callable[..., Job], shards_folder: Path) -> None:
    """A masked run counts only tokens with a label, and judges by what a model says about each document alone."""
    masked, crossing = (
        start(f"mask-{mask}", corpus=shards_folder, document_mask=mask, steps=3) for mask in (True, False)
    )
    train(masked)
    train(crossing)
    assert summary(crossing.out)["supervised_tokens"] == 3 * 8 * 15
    assert summary(masked.out)["supervised_tokens"] < 3 * 8 * 15
    assert summary(masked.out)["initial_heldout_ce"] != summary(crossing.out)["initial_heldout_ce"]
    for log in (masked, crossing):
        assert summary(log.out)["final_heldout_ce"] < summary(log.out)["initial_heldout_ce"]
    manifest = Manifest.load(shards_folder)
    windows = ShardWindows(shards_folder, manifest, "heldout", 16)[range(6)]
    model = AutoModelForCausalLM.from_pretrained(masked.out / "model")
    losses: list[torch.Tensor] = []
    for window in windows:
        ends = [index + 1 for index, number in enumerate(window[:-1].tolist()) if number == manifest.end_of_document]
        for first, last in zip([0, *ends], [*ends, 16], strict=True):
            if last - first > 1:
                document = window[None, first:last]
                logits = model(input_ids=document[:, :-1]).logits[0]
                losses.append(torch.nn.functional.cross_entropy(logits, document[0, 1:], reduction="none"))
    assert summary(masked.out)["final_heldout_ce"] == pytest.approx(torch.cat(losses).mean().item(), rel=1e-5)


def test_gradient_checkpointing_computes_again_and_gives_the_same(
    start: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers run a second time in the backward pass, and the weights are those of a run without."""
    calls, original = {"n": 0}, LlamaMLP.forward

    def counted(self: Any, states: torch.Tensor) -> torch.Tensor:
        calls["n"] += torch.is_grad_enabled()
        result: torch.Tensor = original(self, states)
        return result

    monkeypatch.setattr(LlamaMLP, "forward", counted)
    jobs, counts = [], []
    for on in (False, True):
        calls["n"] = 0
        jobs.append(start(f"checkpointing-{on}", steps=3, gradient_checkpointing=on))
        train(jobs[-1])
        counts.append(calls["n"])
    assert counts == [counts[0], counts[0] + 3 * 2]
    for name, tensor in weights(jobs[0].out).items():
        torch.testing.assert_close(tensor, weights(jobs[1].out)[name], rtol=1e-6, atol=1e-7)


def test_bfloat16_run_keeps_float32_weights(start: Callable[..., Job]) -> None:
    """Reduced precision is in the computation; what is saved and averaged stays float32."""
    job = start(steps=3, dtype="bfloat16")
    train(job)
    assert summary(job.out)["dtype"] == "float32"
    assert {tensor.dtype for tensor in weights(job.out).values()} == {torch.float32}
    assert summary(job.out)["final_heldout_ce"] < summary(job.out)["initial_heldout_ce"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_model_is_scored_as_it_is_saved(
    start: Callable[..., Job], corpus_evidence: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files, config, summary and curve are of the rounded weights; the run itself, and what others redo, are not."""
    precise, job = start("precise", steps=3), start("rounded", steps=3, save_dtype=dtype)
    # Drawn anew in each run, and then evaluated, which the other curve would lack.
    monkeypatch.setattr("secrets.token_hex", lambda size: "17" * size)
    train(precise)
    train(job)
    saved = getattr(torch, dtype)
    assert same(weights(job.out), {name: each.to(saved) for name, each in weights(precise.out).items()})
    config = json.loads((job.out / "model" / "config.json").read_text(encoding="utf-8"))
    assert (config["dtype"], config["torch_dtype"]) == (dtype, dtype)
    model = AutoModelForCausalLM.from_pretrained(job.out / "model", dtype=torch.float32)
    windows = pack(load_file(corpus_evidence / "heldout.safetensors")["tokens"].long()[:6], None)
    scores = score_windows(lambda batch: model(input_ids=batch.ids).logits, windows, None)
    facts, curve = summary(job.out), untimed(job.out / "evals.jsonl")
    told = pytest.approx(sum(score.ce for score in scores) / 6, rel=1e-9)
    assert facts["final_heldout_ce"] == curve[-1]["heldout_ce"] == told != summary(precise.out)["final_heldout_ce"]
    assert curve[:-1] == untimed(precise.out / "evals.jsonl")[:-1]


def test_what_only_rounding_changed_was_not_trained(start: Callable[..., Job]) -> None:
    """Else every tensor of such a release would pass for trained, whatever the run did."""
    job = start(steps=1, learning_rate=1e-30, min_learning_rate=0.0, save_dtype="bfloat16")
    train(job)
    assert summary(job.out)["changed_tensors"] == 0


def spoil(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """From step `after` on, a learning rate that destroys the student."""
    rate = learning_rate
    changed: Callable[[Training, int], float] = lambda training, step: rate(training, step) if step < after else 3.0  # noqa: E731
    monkeypatch.setattr(trainer, "learning_rate", changed)


@pytest.mark.parametrize(("spoilt_after", "best"), [(0, 0), (6, 5), (99, 12)])
def test_the_best_weights_become_the_model(
    start: Callable[..., Job],
    init_evidence: Path,
    corpus_evidence: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoilt_after: int,
    best: int,
) -> None:
    """Whether the run spoils its student at once, in the middle or never: the model has the lowest held-out loss."""
    spoil(monkeypatch, spoilt_after)
    jobs = {keep: start(keep, keep=keep) for keep in ("last", "best")}
    for job in jobs.values():
        train(job)
    facts = summary(jobs["best"].out)
    assert (facts["best_step"], facts["model_step"]) == (best, best)
    assert facts["best_heldout_ce"] == min(row["heldout_ce"] for row in asked_for(jobs["best"].out))
    model = AutoModelForCausalLM.from_pretrained(jobs["best"].out / "model")
    windows = pack(load_file(corpus_evidence / "heldout.safetensors")["tokens"].long()[:6], None)
    scores = score_windows(lambda batch: model(input_ids=batch.ids).logits, windows, None)
    assert sum(score.ce for score in scores) / 6 == pytest.approx(facts["best_heldout_ce"], rel=1e-6)
    assert facts["final_heldout_ce"] == pytest.approx(facts["best_heldout_ce"], rel=1e-6)
    assert same(weights(jobs["best"].out), load_file(init_evidence / "model" / "model.safetensors")) == (best == 0)
    last = summary(jobs["last"].out)
    assert (last["model_step"], last["best_step"]) == (12, best)
    assert same(weights(jobs["best"].out), weights(jobs["last"].out)) == (best == 12)
    assert not (jobs["last"].scratch / "best.safetensors").exists()


def test_the_best_weights_survive_a_kill(start: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    """Best at step 5, killed at step 7, resumed from step 4: the same model as without the kill."""
    spoil(monkeypatch, 6)
    straight = start("straight", keep="best")
    train(straight)
    with pytest.raises(KilledError):
        train(start("killed", keep="best", report=each_step(kill_at(7))))
    killed = start("killed", keep="best")
    train(killed)
    assert summary(killed.out)["model_step"] == 5
    assert same(weights(straight.out), weights(killed.out))
