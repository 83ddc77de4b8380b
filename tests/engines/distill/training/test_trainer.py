"""A KD run learns what it is told to, from its teacher, and says what it did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForCausalLM, MambaConfig, MambaForCausalLM, PreTrainedTokenizerFast

from json_lines import read_rows
from refute.engines.distill.data.packing import Batch, pack
from refute.engines.distill.experiments.train import train
from refute.engines.distill.teacher.loaded import load_teacher
from refute.engines.distill.training import evaluate
from refute.engines.distill.training.evaluate import HeldoutTeacher, score_windows
from refute.engines.distill.training.optimizer import build_optimizer, learning_rate
from refute.errors import MissingInputsError
from refute.job import Job
from refute.spec.experiments.training import Training
from refute.spec.release import HfModel
from training_runs import CE_ONLY, KD, SCHEDULED, Losses, patch_steps, summary, weights


@pytest.mark.slow
def test_loss_falls_and_every_output_is_there(straight: Job, init_evidence: Path) -> None:
    """Twelve steps lower the held-out loss; logs, model, tokenizer and summary agree with each other."""
    job = straight
    metrics, evals, facts = read_rows(job.out / "metrics.jsonl"), read_rows(job.out / "evals.jsonl"), summary(job.out)
    assert [row["step"] for row in metrics] == list(range(1, 13))
    assert set(metrics[0]) == {
        "step",
        "ce",
        "kl",
        "total",
        "lr",
        "grad_norm",
        "batch_sha256",
        "attempt",
        "tokens",
        "tokens_per_s",
        "wall_s",
    }
    # Beside those that are asked for, steps whose states are kept for others to score.
    assert [row["step"] for row in evals if row["step"] % 5 == 0 or row["step"] == 12] == [0, 5, 10, 12]
    assert facts["final_heldout_ce"] == evals[-1]["heldout_ce"] < evals[0]["heldout_ce"] == facts["initial_heldout_ce"]
    assert facts["final_heldout_kl"] < facts["initial_heldout_kl"]
    assert facts["supervised_tokens"] == 12 * 8 * 15
    assert facts["changed_tensors"] == facts["tensors"] == len(weights(job.out))
    assert (facts["device"], facts["dtype"], facts["steps"]) == ("cpu", "float32", 12)
    assert facts["effective_config"] == Training(**SCHEDULED).model_dump(mode="json")
    per_window = read_rows(job.out / "heldout_windows.jsonl")
    assert sum(row["ce"] for row in per_window) / 6 == pytest.approx(facts["final_heldout_ce"])
    assert json.loads((job.out / "sample.json").read_text(encoding="utf-8"))["new_tokens"] == 64
    tokenizer = "model/tokenizer.json"
    assert (job.out / tokenizer).read_bytes() == (init_evidence / tokenizer).read_bytes()
    saved = AutoModelForCausalLM.from_pretrained(job.out / "model")
    assert (
        saved.config.to_diff_dict()
        == AutoModelForCausalLM.from_pretrained(init_evidence / "model").config.to_diff_dict()
    )


@pytest.mark.slow
def test_total_is_the_weighted_sum(straight: Job) -> None:
    """total = ce_weight * CE + kd_weight * T^2 * KL in every row."""
    for row in read_rows(straight.out / "metrics.jsonl"):
        assert row["total"] == pytest.approx(0.3 * row["ce"] + 0.7 * 4.0 * row["kl"], rel=1e-5)


@pytest.mark.slow
def test_micro_batches_do_not_change_the_step(start: Callable[..., Job]) -> None:
    """1 x 8 and 4 x 2 give one gradient: same norms and losses, same weights to float32 rounding."""
    whole, split = start("whole", steps=3), start("split", steps=3, micro_batch_size=2)
    train(whole)
    train(split)
    for left, right in zip(read_rows(whole.out / "metrics.jsonl"), read_rows(split.out / "metrics.jsonl"), strict=True):
        for name in ("grad_norm", "ce", "kl", "total"):
            assert left[name] == pytest.approx(right[name], rel=2e-4)
    others = weights(split.out)
    for name, tensor in weights(whole.out).items():
        torch.testing.assert_close(tensor, others[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_kd_brings_the_student_closer_to_its_teacher_than_ce_alone(start: Callable[..., Job]) -> None:
    """Same init, batches and steps: only KD lowers the distance to a random teacher much."""
    kd, ce = start("kd", steps=40, temperature=1.0), start("ce", steps=40, **CE_ONLY)
    train(kd)
    train(ce)
    assert summary(kd.out)["initial_heldout_kl"] == summary(ce.out)["initial_heldout_kl"]
    assert summary(kd.out)["final_heldout_kl"] < 0.8 * summary(ce.out)["final_heldout_kl"]
    assert summary(ce.out)["final_heldout_ce"] < summary(kd.out)["final_heldout_ce"]


@pytest.mark.slow
def test_kd_and_its_control_see_the_same_batches(start: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    """The control differs in its loss only: every step uses the same windows."""
    seen: dict[str, list[list[list[int]]]] = {"kd": [], "ce": []}
    for name, mix in (("kd", KD), ("ce", CE_ONLY)):

        def record(batch: Batch, loss: Losses, name: str = name) -> Losses:
            seen[name].append(batch.ids.tolist())
            return loss

        patch_steps(monkeypatch, record)
        train(start(name, steps=8, **mix))
    assert len(seen["kd"]) == 8
    assert seen["kd"] == seen["ce"]


@pytest.mark.slow
def test_control_asks_its_teacher_only_at_both_ends(start: Callable[..., Job]) -> None:
    """Without KD the teacher judges the first and last evaluation; between them distances are unknown."""
    job = start(**CE_ONLY)
    train(job)
    evals = read_rows(job.out / "evals.jsonl")
    for figure in ("heldout_kl", "probe_cosine"):
        assert [row["step"] for row in evals if row[figure] is not None] == [0, 12]
    assert all(row["kl"] is None for row in read_rows(job.out / "metrics.jsonl"))


@pytest.mark.slow
def test_a_run_without_any_teacher(start: Callable[..., Job]) -> None:
    """CE-only training needs no teacher at all, KD does."""
    job = start(teacher=None, steps=2, **CE_ONLY)
    train(job)
    assert summary(job.out)["final_heldout_kl"] is None
    with pytest.raises(MissingInputsError, match=r"kd_weight is 0.7, but the run names no teacher"):
        train(start("kd", teacher=None))


@pytest.mark.slow
def test_a_wider_teacher_teaches_and_what_it_loses_is_told(
    start: Callable[..., Job], wide_init_evidence: Path, teacher_folder: Path, tmp_path: Path
) -> None:
    """A teacher of 320 rows and a student of 300: the run works, and the mean dropped mass is in the summary."""
    shutil.copytree(teacher_folder, tmp_path / "init" / "model")
    job = start(teacher=wide_init_evidence / "model", init=tmp_path / "init", steps=2)
    train(job)
    facts = json.loads((job.out / "preflight.json").read_text(encoding="utf-8"))
    assert (facts["teacher_rows"], facts["student_rows"]) == (320, 300)
    assert 0 < summary(job.out)["dropped_mass"] < 1
    assert 0 < facts["dropped_mass"] < 1


def test_teacher_as_its_own_student_is_at_distance_zero(teacher_folder: Path, corpus_evidence: Path) -> None:
    """KL 0 and cosine 1 on the windows, cached or recomputed."""
    teacher = load_teacher(HfModel(format="hf", path="teacher"), teacher_folder, device="cpu")
    windows = pack(load_file(corpus_evidence / "heldout.safetensors")["tokens"].long()[:3], None)
    for cache_mib in (0, 64):
        judge = HeldoutTeacher(teacher, windows, 300, cache_mib=cache_mib)
        for _ in range(2):
            scores = score_windows(lambda batch: teacher.model(input_ids=batch.ids).logits, windows, judge)
            assert [score.kl for score in scores] == pytest.approx([0.0] * 3, abs=1e-5)
            assert [score.cosine for score in scores] == pytest.approx([1.0] * 3, abs=1e-5)


def test_scores_do_not_depend_on_how_many_rows_are_in_memory(
    teacher_folder: Path, corpus_evidence: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row of logits at a time, and all of them: so the size of a vocabulary does not decide what an evaluation
    takes beside the logits themselves."""
    teacher = load_teacher(HfModel(format="hf", path="teacher"), teacher_folder, device="cpu")
    batch = pack(load_file(corpus_evidence / "heldout.safetensors")["tokens"].long()[:2], None)
    rows: list[int] = []
    original = functional.log_softmax

    def noting(logits: torch.Tensor, dim: int) -> torch.Tensor:
        rows.append(len(logits))
        found: torch.Tensor = original(logits, dim=dim)
        return found

    monkeypatch.setattr(functional, "log_softmax", noting)
    found = []
    for tile in (1, 2**23):
        monkeypatch.setattr(evaluate, "_TILE", tile)
        judge = HeldoutTeacher(teacher, batch, 300)
        found.append(score_windows(lambda each: 0.9 * teacher.model(input_ids=each.ids).logits, batch, judge))
    assert rows == [1] * (2 * 2 * 15) + [15] * (2 * 2)
    for one, other in zip(*found, strict=True):
        assert (one.ce, one.kl, one.cosine) == pytest.approx((other.ce, other.kl, other.cosine), rel=1e-5)


def test_a_student_without_keys_and_values_gives_a_sample(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    """A state-space model trained to its last step, and then could not say anything."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 300, "hidden_size": 16, "state_size": 4, "num_hidden_layers": 1}
    sample = evaluate.greedy_sample(MambaForCausalLM(MambaConfig(**sizes)).eval(), tiny_tokenizer)
    assert (sample.new_tokens, sample.greedy, type(sample.text)) == (evaluate.SAMPLE_TOKENS, True, str)


def test_learning_rate_warms_up_and_ends_at_its_floor() -> None:
    """Linear to the peak in the warm-up's last step, then a cosine that reaches the minimum in the last step."""
    training = Training(**{**SCHEDULED, "steps": 101, "warmup_steps": 10})
    rates = [learning_rate(training, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.001)
    assert rates[9:11] == pytest.approx([0.01, 0.01])
    assert rates[55] == pytest.approx(0.0055)
    assert rates[100] == pytest.approx(0.001)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_norms_do_not_decay(init_evidence: Path) -> None:
    """Every vector is in the group without weight decay, every matrix in the other."""
    model = AutoModelForCausalLM.from_pretrained(init_evidence / "model")
    groups = build_optimizer(model, Training(**SCHEDULED)).param_groups
    decay = {group["weight_decay"]: {p.ndim for p in group["params"]} for group in groups}
    assert decay == {0.1: {2}, 0.0: {1}}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
