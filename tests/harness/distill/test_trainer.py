"""A KD run learns, resumes bitwise, does not depend on micro-batches, and stops where numbers end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from refute.distill.evaluate import TeacherOnWindows, score_windows
from refute.distill.launch import train
from refute.distill.logs import StepLog
from refute.distill.packing import Batch, pack
from refute.distill.schedule import build_optimizer, learning_rate
from refute.distill.step import StepModule
from refute.distill.teacher import Answer, load_teacher
from refute.errors import ExperimentError, MissingInputsError, NonFiniteError
from refute.job import Fact, Job, Report
from refute.release import HfModel, Training

KD = {"ce_weight": 0.3, "kd_weight": 0.7}
CE_ONLY = {"ce_weight": 1.0, "kd_weight": 0.0}
BASE: dict[str, Any] = {
    "steps": 12,
    "batch_size": 8,
    "micro_batch_size": 8,
    "seq_len": 16,
    "learning_rate": 0.01,
    "min_learning_rate": 0.001,
    "warmup_steps": 2,
    "weight_decay": 0.1,
    "temperature": 2.0,
    "eval_every": 5,
    "eval_windows": 6,
    "checkpoint_every": 4,
    **KD,
}


@pytest.fixture
def start(
    make_job: Callable[..., Job], teacher_folder: Path, init_evidence: Path, corpus_evidence: Path
) -> Callable[..., Job]:
    """Makes a training job from changes to the base configuration; `teacher=None` leaves the teacher out."""

    def make(
        name: str = "student",
        *,
        teacher: Path | None = teacher_folder,
        init: Path = init_evidence,
        report: Report = lambda *_: None,
        **changes: object,
    ) -> Job:
        place = None if teacher is None else {"model": {"format": "hf", "path": "teacher"}, "path": str(teacher)}
        config = {
            "training": {**BASE, **changes},
            "teacher": place,
            "init": str(init / "model"),
            "corpus": str(corpus_evidence),
            "threads": 1,
        }
        return make_job(name, config, {}, report)

    return make


def weights(job: Job) -> dict[str, torch.Tensor]:
    """The trained weights of a finished job."""
    return load_file(job.out / "model" / "model.safetensors")


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def summary(job: Job) -> dict[str, Any]:
    """summary.json of a finished job."""
    facts: dict[str, Any] = json.loads((job.out / "summary.json").read_text(encoding="utf-8"))
    return facts


def untimed(path: Path) -> list[dict[str, Any]]:
    """Rows without what depends on the clock."""
    return [{k: v for k, v in row.items() if k not in ("wall_s", "tokens_per_s")} for row in rows(path)]


def same(left: Mapping[str, torch.Tensor], right: Mapping[str, torch.Tensor]) -> bool:
    """Bitwise equality of two sets of weights."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_loss_falls_and_every_output_is_there(start: Callable[..., Job], init_evidence: Path) -> None:
    """Twelve steps lower the held-out loss; logs, model, tokenizer and summary agree with each other."""
    job = start()
    train(job)
    metrics, evals, facts = rows(job.out / "metrics.jsonl"), rows(job.out / "evals.jsonl"), summary(job)
    assert [row["step"] for row in metrics] == list(range(1, 13))
    assert set(metrics[0]) == {
        "step",
        "ce",
        "kl",
        "total",
        "lr",
        "grad_norm",
        "tokens",
        "tokens_per_s",
        "wall_s",
    }
    assert [row["step"] for row in evals] == [0, 5, 10, 12]
    assert facts["final_heldout_ce"] == evals[-1]["heldout_ce"] < evals[0]["heldout_ce"] == facts["initial_heldout_ce"]
    assert facts["final_heldout_kl"] < facts["initial_heldout_kl"]
    assert facts["supervised_tokens"] == 12 * 8 * 15
    assert facts["changed_tensors"] == facts["tensors"] == len(weights(job))
    assert (facts["device"], facts["dtype"], facts["steps"]) == ("cpu", "float32", 12)
    assert facts["effective_config"] == Training(**BASE).model_dump(mode="json")
    per_window = rows(job.out / "heldout_windows.jsonl")
    assert sum(row["ce"] for row in per_window) / 6 == pytest.approx(facts["final_heldout_ce"])
    assert json.loads((job.out / "sample.json").read_text(encoding="utf-8"))["new_tokens"] == 64
    tokenizer = "model/tokenizer.json"
    assert (job.out / tokenizer).read_bytes() == (init_evidence / tokenizer).read_bytes()
    saved = AutoModelForCausalLM.from_pretrained(job.out / "model")
    assert (
        saved.config.to_diff_dict()
        == AutoModelForCausalLM.from_pretrained(init_evidence / "model").config.to_diff_dict()
    )


def test_total_is_the_weighted_sum(start: Callable[..., Job]) -> None:
    """total = ce_weight * CE + kd_weight * T^2 * KL in every row."""
    job = start(steps=2)
    train(job)
    for row in rows(job.out / "metrics.jsonl"):
        assert row["total"] == pytest.approx(0.3 * row["ce"] + 0.7 * 4.0 * row["kl"], rel=1e-5)


def test_micro_batches_do_not_change_the_step(start: Callable[..., Job]) -> None:
    """1 x 8 and 4 x 2 give one gradient: same norms and losses, same weights to float32 rounding."""
    whole, split = start("whole", steps=3), start("split", steps=3, micro_batch_size=2)
    train(whole)
    train(split)
    for left, right in zip(rows(whole.out / "metrics.jsonl"), rows(split.out / "metrics.jsonl"), strict=True):
        for name in ("grad_norm", "ce", "kl", "total"):
            assert left[name] == pytest.approx(right[name], rel=2e-4)
    others = weights(split)
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(tensor, others[name], rtol=1e-3, atol=1e-4)


class StoppedError(Exception):
    """Stands for a kill."""


Outcome = tuple[torch.Tensor, ...]
UNPATCHED = StepModule.forward


def patch_steps(monkeypatch: pytest.MonkeyPatch, change: Callable[[Batch, Outcome], Outcome]) -> None:
    """Let `change` see and replace what every training micro-batch gives."""

    def forward(self: StepModule, batch: Batch, answer: Answer | None, denominator: float | None) -> Outcome:
        loss = UNPATCHED(self, batch, answer, denominator)
        return change(batch, loss) if torch.is_grad_enabled() and denominator is not None else loss

    monkeypatch.setattr(StepModule, "forward", forward)


@pytest.mark.parametrize("stop", [2, 4, 7, 12])
def test_a_killed_run_resumes_bitwise(start: Callable[..., Job], stop: int) -> None:
    """Stopped before, at and after a checkpoint or at the end, a rerun has the straight run's weights and logs."""
    straight = start("straight")
    train(straight)

    def kill(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        if stage == "distil" and step == stop:
            raise StoppedError

    killed = start("killed", report=kill)
    with pytest.raises(StoppedError):
        train(killed)
    train(start("killed"))
    assert same(weights(straight), weights(killed))
    for log in ("metrics.jsonl", "evals.jsonl", "heldout_windows.jsonl"):
        assert untimed(straight.out / log) == untimed(killed.out / log)


def test_resuming_does_not_start_again(start: Callable[..., Job]) -> None:
    """The second attempt takes only the steps after the last checkpoint."""
    taken: list[int] = []

    def kill(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        if stage == "distil":
            taken.append(step)
            if step == 6:
                raise StoppedError

    with pytest.raises(StoppedError):
        train(start(report=kill))

    def note(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        if stage == "distil":
            taken.append(step)

    train(start(report=note))
    assert taken == [1, 2, 3, 4, 5, 6, *range(5, 13)]


def test_checkpoint_of_other_settings_is_refused(start: Callable[..., Job]) -> None:
    """A scratch folder that holds another run's state stops this one."""
    train(start())
    with pytest.raises(ExperimentError, match="another configuration"):
        train(start(learning_rate=0.02))


def test_kd_brings_the_student_closer_to_its_teacher_than_ce_alone(start: Callable[..., Job]) -> None:
    """Same init, batches and steps: only KD lowers the distance to a random teacher much."""
    kd, ce = start("kd", steps=40, temperature=1.0), start("ce", steps=40, **CE_ONLY)
    train(kd)
    train(ce)
    assert summary(kd)["initial_heldout_kl"] == summary(ce)["initial_heldout_kl"]
    assert summary(kd)["final_heldout_kl"] < 0.8 * summary(ce)["final_heldout_kl"]
    assert summary(ce)["final_heldout_ce"] < summary(kd)["final_heldout_ce"]


def test_kd_and_its_control_see_the_same_batches(start: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    """The control differs in its loss only: every step uses the same windows."""
    seen: dict[str, list[list[list[int]]]] = {"kd": [], "ce": []}
    for name, mix in (("kd", KD), ("ce", CE_ONLY)):

        def record(batch: Batch, loss: Outcome, name: str = name) -> Outcome:
            seen[name].append(batch.ids.tolist())
            return loss

        patch_steps(monkeypatch, record)
        train(start(name, steps=8, **mix))
    assert len(seen["kd"]) == 8
    assert seen["kd"] == seen["ce"]


def test_control_asks_its_teacher_only_at_both_ends(start: Callable[..., Job]) -> None:
    """Without KD the teacher judges the first and last evaluation; between them distances are unknown."""
    job = start(**CE_ONLY)
    train(job)
    evals = rows(job.out / "evals.jsonl")
    assert [row["heldout_kl"] is None for row in evals] == [False, True, True, False]
    assert [row["probe_cosine"] is None for row in evals] == [False, True, True, False]
    assert all(row["kl"] is None for row in rows(job.out / "metrics.jsonl"))


def test_a_run_without_any_teacher(start: Callable[..., Job]) -> None:
    """CE-only training needs no teacher at all, KD does."""
    job = start(teacher=None, steps=2, **CE_ONLY)
    train(job)
    assert summary(job)["final_heldout_kl"] is None
    with pytest.raises(MissingInputsError, match=r"kd_weight is 0.7, but the run names no teacher"):
        train(start("kd", teacher=None))


def test_nan_stops_at_that_step_with_state_and_batch(
    start: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names step and folder; the folder holds the weights before the step and the batch itself."""
    calls: list[torch.Tensor] = []

    def poisoned_at_six(batch: Batch, loss: Outcome) -> Outcome:
        calls.append(batch.ids)
        return (loss[0] * float("nan"), *loss[1:]) if len(calls) == 6 else loss

    patch_steps(monkeypatch, poisoned_at_six)
    job = start()
    with pytest.raises(NonFiniteError, match=r"loss is nan at step 6, .*nonfinite-step-00000006"):
        train(job)
    folder = job.scratch / "nonfinite-step-00000006"
    batch = json.loads((folder / "batch.json").read_text(encoding="utf-8"))
    assert (batch["step"], batch["what"], batch["tokens"]) == (6, "loss", batch["tokens"])
    assert [window[:-1] for window in batch["tokens"]] == calls[-1].tolist()
    assert len(rows(job.scratch / "metrics.jsonl")) == 5
    monkeypatch.undo()

    def kill(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        if stage == "distil" and step == 5:
            raise StoppedError

    clean = start("clean", checkpoint_every=5, report=kill)
    with pytest.raises(StoppedError):
        train(clean)
    kept = load_file(folder / "step-00000005" / "weights.safetensors")
    assert same(kept, load_file(clean.scratch / "checkpoints" / "step-00000005" / "weights.safetensors"))


def test_infinite_gradient_stops_before_the_optimiser_moves(
    start: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finite loss with an infinite gradient is noticed too."""

    def steep(batch: Batch, loss: Outcome) -> Outcome:
        # A zero whose derivative is infinite.
        return (loss[0] + (loss[0] - loss[0].detach()).abs().sqrt(), *loss[1:])

    patch_steps(monkeypatch, steep)
    with pytest.raises(NonFiniteError, match=r"gradient norm is (nan|inf) at step 1"):
        train(start())


def test_nan_in_the_teacher_stops_the_step(start: Callable[..., Job], teacher_folder: Path, tmp_path: Path) -> None:
    """A teacher whose weights hold NaN never becomes a student's target."""
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in teacher_folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NonFiniteError, match=r"teacher logits hold NaN"):
        train(start(teacher=broken))


def test_student_wider_than_its_teacher_is_refused(start: Callable[..., Job], wide_init_evidence: Path) -> None:
    """KD has no target for tokens that the teacher does not know."""
    with pytest.raises(ExperimentError, match="student predicts 320 tokens, its teacher only 300"):
        train(start(init=wide_init_evidence))


def test_too_few_heldout_windows(start: Callable[..., Job]) -> None:
    """Evaluation windows that the corpus lacks are named."""
    with pytest.raises(ExperimentError, match=r"eval_windows = 13, the corpus has 12"):
        train(start(eval_windows=13))


def test_bfloat16_run_keeps_float32_weights(start: Callable[..., Job]) -> None:
    """Reduced precision is in the computation; what is saved and averaged stays float32."""
    job = start(steps=3, dtype="bfloat16")
    train(job)
    assert summary(job)["dtype"] == "float32"
    assert {tensor.dtype for tensor in weights(job).values()} == {torch.float32}
    assert summary(job)["final_heldout_ce"] < summary(job)["initial_heldout_ce"]


def test_learning_rate_warms_up_and_ends_at_its_floor() -> None:
    """Linear to the peak in the warm-up's last step, then a cosine that reaches the minimum in the last step."""
    training = Training(**{**BASE, "steps": 101, "warmup_steps": 10})
    rates = [learning_rate(training, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.001)
    assert rates[9:11] == pytest.approx([0.01, 0.01])
    assert rates[55] == pytest.approx(0.0055)
    assert rates[100] == pytest.approx(0.001)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_norms_do_not_decay(init_evidence: Path) -> None:
    """Every vector is in the group without weight decay, every matrix in the other."""
    model = AutoModelForCausalLM.from_pretrained(init_evidence / "model")
    groups = build_optimizer(model, Training(**BASE)).param_groups
    decay = {group["weight_decay"]: {p.ndim for p in group["params"]} for group in groups}
    assert decay == {0.1: {2}, 0.0: {1}}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_teacher_as_its_own_student_is_at_distance_zero(teacher_folder: Path, corpus_evidence: Path) -> None:
    """KL 0 and cosine 1 on the windows, cached or recomputed."""
    teacher = load_teacher(HfModel(format="hf", path="teacher"), teacher_folder, device="cpu")
    windows = pack(load_file(corpus_evidence / "heldout.safetensors")["tokens"].long()[:3], None)
    for cache_mib in (0, 64):
        judge = TeacherOnWindows(teacher, windows, 300, cache_mib=cache_mib)
        for _ in range(2):
            scores = score_windows(lambda batch: teacher.model(input_ids=batch.ids).logits, windows, judge)
            assert [score.kl for score in scores] == pytest.approx([0.0] * 3, abs=1e-5)
            assert [score.cosine for score in scores] == pytest.approx([1.0] * 3, abs=1e-5)


def test_log_is_cut_back_to_its_checkpoint(tmp_path: Path) -> None:
    """Rows after the step, and a line that a kill cut short, are gone; NaN is never written."""
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st', encoding="utf-8")
    log = StepLog(path, keep_until=2)
    log.append({"step": 3, "ce": 1.0})
    with pytest.raises(ValueError, match="JSON compliant"):
        log.append({"step": 4, "ce": float("nan")})
    log.close()
    assert rows(path) == [{"step": 1}, {"step": 2}, {"step": 3, "ce": 1.0}]
