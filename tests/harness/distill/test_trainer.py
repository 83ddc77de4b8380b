"""A KD run learns, resumes bitwise, does not depend on micro-batches, and stops where numbers end."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.models.llama.modeling_llama import LlamaMLP

from refute.distill import guards, trainer
from refute.distill.config import TrainConfig
from refute.distill.evaluate import TeacherOnWindows, score_windows
from refute.distill.launch import train
from refute.distill.logs import StepLog
from refute.distill.packing import Batch, pack
from refute.distill.schedule import build_optimizer, learning_rate
from refute.distill.shards import Manifest, ShardWindows
from refute.distill.step import StepModule
from refute.distill.teacher import Answer, load_teacher
from refute.distill.trainer import run_training
from refute.errors import ExperimentError, MissingInputsError, NonFiniteError, UsageError
from refute.errors import StoppedError as StoppedBySignalError
from refute.job import Fact, Job, Report, Stop
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
        corpus: Path = corpus_evidence,
        budget_hours: float | None = None,
        report: Report = lambda *_: None,
        **changes: object,
    ) -> Job:
        place = None if teacher is None else {"model": {"format": "hf", "path": "teacher"}, "path": str(teacher)}
        config = {
            "training": {**BASE, **changes},
            "teacher": place,
            "init": str(init / "model"),
            "corpus": str(corpus),
            "threads": 1,
            "budget_hours": budget_hours,
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
        "batch_sha256",
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


def run(job: Job, **more: Any) -> None:
    """The run of a job's configuration, as the command makes it."""
    run_training(job, TrainConfig.model_validate_json(job.config), **more)


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
    assert same(weights(jobs[0]), weights(jobs[1]))
    for log in ("metrics.jsonl", "evals.jsonl"):
        assert untimed(jobs[0].out / log) == untimed(jobs[1].out / log)


def test_documents_are_kept_apart_in_training_and_evaluation(start: Callable[..., Job], shards_folder: Path) -> None:
    """A masked run counts only tokens with a label, and judges by what a model says about each document alone."""
    masked, crossing = (
        start(f"mask-{mask}", corpus=shards_folder, document_mask=mask, steps=3) for mask in (True, False)
    )
    train(masked)
    train(crossing)
    assert summary(crossing)["supervised_tokens"] == 3 * 8 * 15
    assert summary(masked)["supervised_tokens"] < 3 * 8 * 15
    assert summary(masked)["initial_heldout_ce"] != summary(crossing)["initial_heldout_ce"]
    for log in (masked, crossing):
        assert summary(log)["final_heldout_ce"] < summary(log)["initial_heldout_ce"]
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
    assert summary(masked)["final_heldout_ce"] == pytest.approx(torch.cat(losses).mean().item(), rel=1e-5)


def test_a_mask_without_a_known_document_end_is_refused(start: Callable[..., Job]) -> None:
    """A corpus that does not say which id ends a document cannot be masked, and is not silently left unmasked."""
    with pytest.raises(ExperimentError, match=r"document_mask is on, but .* does not say which id ends a document"):
        train(start(document_mask=True))


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
    for name, tensor in weights(jobs[0]).items():
        torch.testing.assert_close(tensor, weights(jobs[1])[name], rtol=1e-6, atol=1e-7)


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
    facts = summary(jobs["best"])
    assert (facts["best_step"], facts["model_step"]) == (best, best)
    assert facts["best_heldout_ce"] == min(row["heldout_ce"] for row in rows(jobs["best"].out / "evals.jsonl"))
    model = AutoModelForCausalLM.from_pretrained(jobs["best"].out / "model")
    windows = pack(load_file(corpus_evidence / "heldout.safetensors")["tokens"].long()[:6], None)
    scores = score_windows(lambda batch: model(input_ids=batch.ids).logits, windows, None)
    assert sum(score.ce for score in scores) / 6 == pytest.approx(facts["best_heldout_ce"], rel=1e-6)
    assert facts["final_heldout_ce"] == pytest.approx(facts["best_heldout_ce"], rel=1e-6)
    assert same(weights(jobs["best"]), load_file(init_evidence / "model" / "model.safetensors")) == (best == 0)
    last = summary(jobs["last"])
    assert (last["model_step"], last["best_step"]) == (12, best)
    assert same(weights(jobs["best"]), weights(jobs["last"])) == (best == 12)
    assert not (jobs["last"].scratch / "best.safetensors").exists()


def spoil(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """From step `after` on, a learning rate that destroys the student."""
    rate = learning_rate
    changed: Callable[[Training, int], float] = lambda training, step: rate(training, step) if step < after else 3.0  # noqa: E731
    monkeypatch.setattr(trainer, "learning_rate", changed)


def test_the_best_weights_survive_a_kill(start: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    """Best at step 5, killed at step 7, resumed from step 4: the same model as without the kill."""
    spoil(monkeypatch, 6)
    straight = start("straight", keep="best")
    train(straight)

    def kill(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        if stage == "distil" and step == 7:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(start("killed", keep="best", report=kill))
    killed = start("killed", keep="best")
    train(killed)
    assert summary(killed)["model_step"] == 5
    assert same(weights(straight), weights(killed))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_after_the_step_with_a_checkpoint(start: Callable[..., Job], number: int) -> None:
    """Asked during step 3's report, the run ends after step 4 saying so, and continues to the straight run's end."""
    straight = start("straight", checkpoint_every=100)
    train(straight)
    stop, taken = Stop(), list[int]()

    def ask(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        if stage == "distil":
            taken.append(step)
            if step == 3:
                stop.signal = number

    job = start("stopped", checkpoint_every=100, report=ask)
    with pytest.raises(StoppedBySignalError, match=r"stopped after step 4 of 12; its checkpoint is in") as caught:
        run(job, stop=stop)
    assert caught.value.signal == number
    assert taken == [1, 2, 3, 4]
    assert [path.name for path in (job.scratch / "checkpoints").iterdir()] == ["step-00000004"]
    again = start("stopped", checkpoint_every=100)
    run(again)
    assert same(weights(straight), weights(again))


def test_a_stop_in_the_last_step_is_a_finished_run(start: Callable[..., Job]) -> None:
    """Nothing is left to be continued, so the model is written."""
    stop = Stop()

    def ask(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        if stage == "distil" and step == 11:
            stop.signal = signal.SIGTERM

    job = start(report=ask)
    run(job, stop=stop)
    assert summary(job)["steps"] == 12


def test_a_smoke_run_is_exactly_so_many_steps_and_leaves_no_model(start: Callable[..., Job]) -> None:
    """smoke.json projects the time of all steps; no model, no summary."""
    taken: list[int] = []

    def note(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        if stage == "distil":
            taken.append(step)

    job = start(report=note)
    run(job, max_steps=3)
    assert taken == [1, 2, 3]
    assert [path.name for path in job.out.iterdir()] == ["smoke.json"]
    smoke = json.loads((job.out / "smoke.json").read_text(encoding="utf-8"))
    assert smoke["steps"] == 3
    assert smoke["last"]["step"] == 3
    assert smoke["projected_hours"] == pytest.approx(smoke["seconds"] / 3 * 12 / 3600)


def test_a_long_run_needs_a_smoke_run_of_the_same_configuration(
    start: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None, another one's, its own, and by force, which is recorded; an experiment of a release is not asked."""
    monkeypatch.setattr(guards, "_LONG_STEPS", 12)
    job = start()
    with pytest.raises(UsageError, match=r"12 steps need a smoke run .* there is no .*smoke\.json") as caught:
        run(job, forced=False)
    assert "--force" in caught.value.hint
    other = start("other", seed=18)
    run(other, max_steps=2)
    (job.out / "smoke.json").write_bytes((other.out / "smoke.json").read_bytes())
    with pytest.raises(UsageError, match=r"smoke\.json is of another one"):
        run(job, forced=False)
    run(start("smoke"), max_steps=2)
    (job.out / "smoke.json").write_bytes((start("smoke").out / "smoke.json").read_bytes())
    run(job, forced=False)
    assert json.loads((job.out / "preflight.json").read_text(encoding="utf-8"))["forced_without_smoke"] is False
    forced = start("forced")
    run(forced, forced=True)
    assert json.loads((forced.out / "preflight.json").read_text(encoding="utf-8"))["forced_without_smoke"] is True
    run(start("experiment"))


@pytest.mark.parametrize(("steps", "refused"), [(4_999, False), (5_000, True)])
def test_long_begins_at_five_thousand_steps(start: Callable[..., Job], steps: int, refused: bool) -> None:
    """One step fewer may begin without a smoke run."""
    job = start(steps=steps)
    stop = Stop(signal.SIGTERM)
    expected = UsageError if refused else StoppedBySignalError
    with pytest.raises(expected, match="need a smoke run" if refused else "stopped after step 1 of 4999"):
        run(job, forced=False, stop=stop)


def test_a_pace_that_cannot_keep_its_budget_is_stopped_after_twenty_steps(start: Callable[..., Job]) -> None:
    """Both durations are named, no further step is made; a budget that suffices, or a run at its end, goes on."""
    taken: list[int] = []

    def note(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        if stage == "distil":
            taken.append(step)

    job = start(steps=22, budget_hours=1e-7, report=note)
    with pytest.raises(ExperimentError, match=r"first 20 steps the run takes \S+ h, its budget is 1e-07 h"):
        train(job)
    assert taken[-1] == 20
    enough = start("enough", steps=22, budget_hours=1.0)
    train(enough)
    assert summary(enough)["steps"] == 22
    done = start("done", steps=20, budget_hours=1e-7)
    train(done)
    assert summary(done)["steps"] == 20


def test_a_teacher_that_is_the_init_is_refused(start: Callable[..., Job], teacher_folder: Path, tmp_path: Path) -> None:
    """The same weights under another path would distil nothing."""
    copy = tmp_path / "copy"
    copied(teacher_folder, copy / "model")
    with pytest.raises(ExperimentError, match="teacher and init have the same weights"):
        train(start(init=copy))


def copied(source: Path, target: Path) -> Path:
    """A copy of a flat folder, which a test may damage."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_a_wider_teacher_teaches_and_what_it_loses_is_told(
    start: Callable[..., Job], wide_init_evidence: Path, teacher_folder: Path, tmp_path: Path
) -> None:
    """A teacher of 320 rows and a student of 300: the run works, and the mean dropped mass is in the summary."""
    copied(teacher_folder, tmp_path / "init" / "model")
    job = start(teacher=wide_init_evidence / "model", init=tmp_path / "init", steps=2)
    train(job)
    facts = json.loads((job.out / "preflight.json").read_text(encoding="utf-8"))
    assert (facts["teacher_rows"], facts["student_rows"]) == (320, 300)
    assert 0 < summary(job)["dropped_mass"] < 1
    assert 0 < facts["dropped_mass"] < 1


def test_altered_shards_stop_the_run(start: Callable[..., Job], shards_folder: Path, tmp_path: Path) -> None:
    """One flipped bit in a shard: nothing is trained on it."""
    copy = copied(shards_folder, tmp_path / "shards")
    data = bytearray((copy / "train-00001.bin").read_bytes())
    data[0] ^= 1
    (copy / "train-00001.bin").write_bytes(bytes(data))
    with pytest.raises(ExperimentError, match=r"train-00001\.bin"):
        train(start(corpus=copy))


def test_shards_of_another_tokenizer_are_refused(
    start: Callable[..., Job], shards_folder: Path, tmp_path: Path
) -> None:
    """The manifest's digest is neither the init's nor the teacher's."""
    copy = copied(shards_folder, tmp_path / "shards")
    text = (copy / "manifest.json").read_text(encoding="utf-8")
    digest = json.loads(text)["tokenizer_sha256"]
    (copy / "manifest.json").write_text(text.replace(digest, "f" * 64), encoding="utf-8")
    with pytest.raises(ExperimentError, match=f"tokenised by tokenizer {'f' * 64}"):
        train(start(corpus=copy))
