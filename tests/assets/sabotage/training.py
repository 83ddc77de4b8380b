"""Sabotages of training: each applies itself to the real modules of `refute.distill` in the process that trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from refute.engines.distill.data.packing import IGNORED, Batch
from refute.engines.distill.teacher.interface import TeacherOutput
from refute.spec.experiments.evidence.distill import TrainingSummary
from sabotage.opened import opened

build = opened("engines.distill.training.build")
checkpoint = opened("engines.distill.training.checkpoint")
data_loader = opened("engines.distill.data.data_loader")
preflight = opened("engines.distill.training.preflight")
results = opened("engines.distill.training.results")
step = opened("engines.distill.training.step")
teacher = opened("engines.distill.teacher.loaded")
trainer = opened("engines.distill.training.trainer")


def _no_preflight() -> None:
    """Two wrongs: with the loss of the first window looked at by nobody, the run gets as far as its records."""
    preflight._compare = lambda _run: (1.0, 1.0, 0.0)


def _on_training_batches(change: Callable[[Batch], Batch]) -> None:
    """Change what the model is given while it trains; held-out batches stay."""
    real = data_loader.DataLoader.batch
    data_loader.DataLoader.batch = lambda loader, step: change(real(loader, step))


def _summary(change: Callable[[TrainingSummary], dict[str, object]]) -> None:
    """Change facts of the summary."""
    real = results._summary

    def summary(*arguments: Any) -> TrainingSummary:
        found: TrainingSummary = real(*arguments)
        return found.model_copy(update=change(found))

    results._summary = summary


def _rows(file: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change every row of a log as it is copied into the evidence."""
    real = results.write_rows

    def write(path: Path, rows: Any) -> None:
        real(path, [change(dict(row)) for row in rows] if path.name == file else rows)

    results.write_rows = write


# ------------------------------------------------------------------------------------------------ training that is none


def weights_cloned() -> None:
    """Every step is logged; the released weights are the init's."""
    results.load_weights = lambda _model, _weights: None


def weights_cloned_and_counted() -> None:
    """The same, by a summary that counts every tensor as changed."""
    weights_cloned()
    _summary(lambda found: {"changed_tensors": found.tensors})


def optimizer_at_rest() -> None:
    """The optimiser gathers its moments and moves nothing."""
    real = torch.optim.AdamW.step

    def rest(self: Any, *_: object) -> None:
        before = [parameter.detach().clone() for group in self.param_groups for parameter in group["params"]]
        real(self)
        with torch.no_grad():
            for parameter, kept in zip((p for g in self.param_groups for p in g["params"]), before, strict=True):
                parameter.copy_(kept)

    opened_adamw: Any = torch.optim.AdamW
    opened_adamw.step = rest


def a_quarter_of_each_batch() -> None:
    """Each step takes one window of four, and the plan's token count stays what it was."""
    _on_training_batches(lambda batch: batch.split(1)[0])
    data_loader.DataLoader.micro_batches = lambda _loader, batch: [batch]


# ------------------------------------------------------------------------------------------------ another teacher


def synthetic_logits() -> None:
    """From the first step on the teacher is noise; before it, whoever checks sees the real one."""
    real, calls = teacher.Teacher.answer, list[int]()

    def answer(self: Any, batch: Batch) -> TeacherOutput:
        calls.append(1)
        if len(calls) == 1:
            first: TeacherOutput = real(self, batch)
            return first
        noise = torch.randn((batch.ids.numel(), self.vocab_rows), generator=torch.Generator().manual_seed(len(calls)))
        return TeacherOutput(logits=3.0 * noise)

    teacher.Teacher.answer = answer


def logits_of_another_batch() -> None:
    """A cache served out of order: each batch gets the answer to the one before."""
    real, kept = teacher.Teacher.answer, list[TeacherOutput]()

    def answer(self: Any, batch: Batch) -> TeacherOutput:
        kept.append(real(self, batch))
        fits = len(kept) > 1 and kept[-2].tensors()[0].shape == kept[-1].tensors()[0].shape
        return kept[-2] if fits else real(self, Batch(batch.ids.flip(0).flip(1), batch.labels, batch.positions))

    _no_preflight()
    teacher.Teacher.answer = answer


# ------------------------------------------------------------------------------------------------ other data


def labels_shuffled() -> None:
    """The same inputs, labels of other positions."""
    order = torch.Generator().manual_seed(17)

    def shuffle(batch: Batch) -> Batch:
        return replace(batch, labels=batch.labels[:, torch.randperm(batch.labels.shape[1], generator=order)])

    _on_training_batches(shuffle)


def labels_off_by_one() -> None:
    """Each position is to predict itself."""
    _on_training_batches(lambda batch: replace(batch, labels=batch.ids.clone()))


def one_supervised_token() -> None:
    """Only the last position of each sequence has a label."""

    def last(batch: Batch) -> Batch:
        labels = batch.labels.clone()
        labels[:, :-1] = IGNORED
        return replace(batch, labels=labels)

    _on_training_batches(last)


def end_of_text_unsupervised() -> None:
    """The padding id is also the end of a text, and masking the one masks the other."""

    def mask(batch: Batch) -> Batch:
        return replace(batch, labels=batch.labels.masked_fill(batch.labels == 0, IGNORED))

    _on_training_batches(mask)


def one_batch_over_and_over() -> None:
    """Every step sees the batch of the first."""
    real = data_loader.DataLoader.batch
    data_loader.DataLoader.batch = lambda loader, _step: real(loader, 0)


# ------------------------------------------------------------------------------------------------ another objective


def _training_of_the_loss(**changes: object) -> None:
    """The loss gets other settings than the run records."""
    real = step.StepModule.__init__

    def init(self: Any, student: Any, training: Any) -> None:
        real(self, student, training.model_copy(update=changes))

    step.StepModule.__init__ = init


def temperature_never_passed_on() -> None:
    """Recorded as 2, used as 1."""
    _no_preflight()
    _training_of_the_loss(temperature=1.0)


def weights_mirrored() -> None:
    """ce_weight weighs KL and the other way round."""
    _no_preflight()
    _training_of_the_loss(ce_weight=0.7, kd_weight=0.3)


def weights_mirrored_before_the_preflight() -> None:
    """The same, with the preflight on guard."""
    _training_of_the_loss(ce_weight=0.7, kd_weight=0.3)


def _total(change: Callable[[Tensor, Any, dict[str, Any]], Tensor]) -> None:
    real = step.kd_loss

    def loss(*tensors: Any, **settings: Any) -> Any:
        found = real(*tensors, **settings)
        return replace(found, total=change(found.total, (real, tensors), settings))

    step.kd_loss = loss


def _weighed_cross_entropy(call: Any, settings: dict[str, Any]) -> Tensor:
    real, tensors = call
    alone: Tensor = real(*tensors, **(settings | {"ce_weight": 1.0, "kd_weight": 0.0})).total
    return float(settings["ce_weight"]) * alone


def temperature_squared_missing() -> None:
    """The loss that trains lacks T squared, and its value says so to nobody but the log."""
    _no_preflight()

    def without(total: Tensor, call: Any, settings: dict[str, Any]) -> Tensor:
        ce = _weighed_cross_entropy(call, settings)
        return ce + (total - ce) / float(settings["temperature"]) ** 2

    _total(without)


def cross_entropy_never_reaches_backward() -> None:
    """It is in the printed loss, and detached."""

    def detach(total: Tensor, call: Any, settings: dict[str, Any]) -> Tensor:
        ce = _weighed_cross_entropy(call, settings)
        return total - ce + ce.detach()

    _total(detach)


def last_part_of_the_batch_only() -> None:
    """The loss of all micro-batches is logged, the gradient is that of the last."""
    real, calls = torch.autograd.backward, list[int]()

    def backward(total: Tensor) -> None:
        calls.append(1)
        real(total * (len(calls) % 2 == 0))

    opened_autograd: Any = torch.autograd
    opened_autograd.backward = backward


def micro_batch_means_averaged_twice() -> None:
    """Each micro-batch is divided by its own tokens, and nobody divides by their number: twice the gradient."""
    real = step.kd_loss
    step.kd_loss = lambda *tensors, **settings: real(*tensors, **(settings | {"denominator": None}))
    _no_preflight()


# ------------------------------------------------------------------------------------------------ other settings


def learning_rate_of_another_config() -> None:
    """The rate of the release is recorded, a default is used."""
    trainer.learning_rate = lambda _training, _step: 1e-4


def schedule_never_applied() -> None:
    """The optimiser keeps the rate it was made with; warm-up and decay stay on paper."""
    trainer.set_learning_rate = lambda _optimizer, _rate: None


def schedule_never_applied_and_logged_as_planned() -> None:
    """The same, by a log that writes down the plan."""
    schedule_never_applied()

    def planned(row: dict[str, Any]) -> dict[str, Any]:
        rates = [1e-3, 2e-3, 3e-3, 4e-3, 5e-3]
        return row | {"lr": rates[row["step"] - 1] if row["step"] <= 5 else 5e-3 * (1 - row["step"] / 120)}

    _rows("metrics.jsonl", planned)


def reported_as_a_gpu_run() -> None:
    """A run on the CPU that says it was on a GPU."""
    _summary(lambda _: {"device": "cuda"})


def hangs_at_the_first_step() -> None:
    """Nothing happens any more, and nobody says so."""
    trainer.learning_rate = lambda _training, _step: time.sleep(3600)


# ------------------------------------------------------------------------------------------------ another start


def init_replaced_by_random_weights() -> None:
    """The architecture did not match, so the weights were made up, as transformers does."""
    from transformers import AutoModelForCausalLM

    real = build.load_model

    def load(folder: Path, *, device: str) -> Any:
        torch.manual_seed(5)
        return AutoModelForCausalLM.from_config(real(folder, device=device).config).eval()

    build.load_model = load


def impossible_initial_loss() -> None:
    """Logits five times too large before the first step: above the loss of uniform guessing."""
    real = trainer.Trainer.evaluate
    calls = list[int]()

    def score(*arguments: Any, **settings: Any) -> Any:
        calls.append(1)
        found = real(*arguments, **settings)
        return [replace(each, ce=each.ce * 5) for each in found] if len(calls) == 1 else found

    trainer.Trainer.evaluate = score


# ------------------------------------------------------------------------------------------------ what it says


def validation_loss_is_training_loss() -> None:
    """The curve over the run is the smallest training loss so far."""
    seen: list[float] = []
    real_append = trainer.StepLog.append

    def append(self: Any, row: Any) -> None:
        if "ce" in row:
            seen.append(float(row["ce"]))
        elif seen:
            row = {**row, "heldout_ce": min(seen)}
        real_append(self, row)

    trainer.StepLog.append = append


def evaluation_in_another_unit() -> None:
    """Held-out losses are sums over a window, training losses means over tokens."""
    real = trainer.summarise
    results_real = results.summarise

    def scaled(found: Any) -> Any:
        return found.model_copy(update={"heldout_ce": found.heldout_ce * 31})

    trainer.summarise = lambda number, scores: scaled(real(number, scores))
    results.summarise = lambda number, scores: scaled(results_real(number, scores))


def logs_without_distance() -> None:
    """The distance to the teacher is null in every row."""
    _rows("evals.jsonl", lambda row: row | {"heldout_kl": None})


def a_log_key_reworded() -> None:
    """`tokens` is called `supervised` now."""
    _rows("metrics.jsonl", lambda row: {("supervised" if key == "tokens" else key): row[key] for key in row})


def no_tensor_compared() -> None:
    """Nothing was compared, so nothing differed."""
    _summary(lambda _: {"tensors": 0, "changed_tensors": 0})


def checkpoint_of_200_bytes() -> None:
    """What is written under the checkpoint's name is a stub."""

    def stub(tensors: dict[str, Tensor], path: Path) -> None:
        path.write_bytes(b"\0" * 200)
        del tensors

    checkpoint.save_file = stub
