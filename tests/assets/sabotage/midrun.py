"""Sabotages that begin after the first step of a training run, or touch its control alone.

Each applies itself to the real modules of `refute.engines.distill` in the process that trains.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from refute.engines.distill.data.packing import Batch
from refute.engines.distill.teacher.interface import TeacherOutput
from refute.spec.experiments.custody import Resumption
from sabotage.opened import opened

audit_trail = opened("engines.distill.training.audit_trail")
build = opened("engines.distill.training.build")
results = opened("engines.distill.training.results")
step = opened("engines.distill.training.step")
trainer = opened("engines.distill.training.trainer")

# Of the small world: steps of a run, and micro-batches of its first one.
_RUN_STEPS, _FIRST = 100, 2


def _around_steps(act: Callable[[Any, int], None]) -> None:
    """Call `act` with the run before each of its steps but the first."""
    real = trainer.Trainer._training_step

    def made(self: Any, number: int, micro_batches: Any) -> Any:
        if number > 0:
            act(self.run, number)
        return real(self, number, micro_batches)

    trainer.Trainer._training_step = made


def _teacher(change: Callable[[TeacherOutput, Batch], TeacherOutput]) -> None:
    """Change what the teacher says to every training batch from the second step on."""
    real, calls = step.StepModule.forward, list[int]()

    def forward(self: Any, batch: Batch, output: TeacherOutput | None, denominator: float | None) -> Any:
        calls.append(denominator is not None and torch.is_grad_enabled())
        late = calls[-1] and sum(calls) > _FIRST
        return real(self, batch, change(output, batch) if late and output is not None else output, denominator)

    step.StepModule.forward = forward


# ------------------------------------------------------------------------------------------------ the teacher


def teacher_off_from_the_second_step() -> None:
    """Cross-entropy alone, once the first step has been looked at; logged as if the teacher were there."""
    real, calls = step.kd_loss, list[int]()

    def loss(*tensors: Any, **settings: Any) -> Any:
        found = real(*tensors, **settings)
        calls.append(torch.is_grad_enabled())
        if sum(calls) <= _FIRST or not calls[-1]:
            return found
        alone = real(*tensors, **(settings | {"ce_weight": 1.0, "kd_weight": 0.0})).total
        # The value that is logged, the gradient of another.
        return replace(found, total=found.total.detach() + alone - alone.detach())

    step.kd_loss = loss


def teacher_shifted_by_a_position() -> None:
    """From the second step on each position learns what the teacher says of the one before."""

    def shift(output: TeacherOutput, batch: Batch) -> TeacherOutput:
        del batch
        parts: dict[str, Any] = {name: getattr(output, name) for name in ("logits", "hidden")}
        return replace(output, **{name: each.roll(1, dims=0) for name, each in parts.items() if each is not None})

    _teacher(shift)


def teacher_is_noise_from_the_second_step() -> None:
    """From the second step on the teacher's states are drawn."""
    chance = torch.Generator().manual_seed(17)

    def noise(output: TeacherOutput, batch: Batch) -> TeacherOutput:
        del batch
        parts = {name: getattr(output, name) for name in ("logits", "hidden")}
        drawn: dict[str, Any] = {
            n: torch.randn(each.shape, generator=chance) for n, each in parts.items() if each is not None
        }
        return replace(output, **drawn)

    _teacher(noise)


# ------------------------------------------------------------------------------------------------ the optimiser


def every_other_step_skipped() -> None:
    """From the second step on, every other step is logged and not made."""
    real, calls = torch.optim.AdamW.step, list[int]()

    def made(self: Any, *arguments: object) -> None:
        calls.append(1)
        if len(calls) % 2:
            real(self, *arguments)

    opened_adamw: Any = torch.optim.AdamW
    opened_adamw.step = made


def last_micro_batch_only_from_the_second_step() -> None:
    """The first step is made of its whole batch, the others of a part; the whole is logged."""
    real, calls = torch.autograd.backward, list[int]()

    def backward(total: Tensor) -> None:
        calls.append(1)
        real(total * (len(calls) <= _FIRST or len(calls) % 2 == 0))

    opened_autograd: Any = torch.autograd
    opened_autograd.backward = backward


def moments_thrown_away() -> None:
    """AdamW begins each step without memory."""
    _around_steps(lambda run, _: run.optimizer.state.clear())


def rate_doubled_midway() -> None:
    """From the middle on the rate is twice the declared one; the log says what was declared."""
    real = torch.optim.AdamW.step

    def made(self: Any, *arguments: object) -> None:
        count = next((int(each["step"]) for each in self.state.values()), 0)
        for group in self.param_groups:
            group["lr"] *= 2.0 if count >= _RUN_STEPS // 2 else 1.0
        real(self, *arguments)
        for group in self.param_groups:
            group["lr"] /= 2.0 if count >= _RUN_STEPS // 2 else 1.0

    opened_adamw: Any = torch.optim.AdamW
    opened_adamw.step = made


def decay_off_from_the_second_step() -> None:
    """Nothing decays any more."""

    def off(run: Any, _: int) -> None:
        for group in run.optimizer.param_groups:
            group["weight_decay"] = 0.0

    _around_steps(off)


# ------------------------------------------------------------------------------------------------ lessons


def _lesson(run: Any) -> None:
    """One step of plain descent on held-out text, which no log knows."""
    batch = run.heldout
    run.optimizer.zero_grad(set_to_none=True)
    logits = run.student(input_ids=batch.ids, use_cache=False).logits
    torch.autograd.backward(torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.labels.flatten()))
    with torch.no_grad():
        for parameter in run.student.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.05 * parameter.grad)


def a_lesson_on_held_out_windows() -> None:
    """Once, in the middle of the run, between two steps."""
    _around_steps(lambda run, number: _lesson(run) if number == _RUN_STEPS // 2 else None)


def held_out_windows_in_every_batch() -> None:
    """From the second step on the gradient is that of held-out windows; the log has the batch that it should be."""
    real, calls = step.StepModule.forward, list[int]()
    kept: list[Any] = []
    real_build = trainer.build

    def built(*arguments: Any) -> Any:
        kept.append(real_build(*arguments))
        return kept[-1]

    def forward(self: Any, batch: Batch, output: TeacherOutput | None, denominator: float | None) -> Any:
        training = denominator is not None and torch.is_grad_enabled()
        calls.append(training)
        if not training or sum(calls) <= _FIRST:
            return real(self, batch, output, denominator)
        run = kept[-1]
        lesson = run.heldout.split(len(batch.ids))[0]
        return real(self, lesson, run.provider and run.provider.answer(lesson), denominator)

    trainer.build = built
    step.StepModule.forward = forward


# ------------------------------------------------------------------------------------------------ what is released


@torch.no_grad()
def _shake(model: Any, size: float) -> None:
    chance = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.add_(size * torch.randn(parameter.shape, generator=chance))


def another_model_at_the_end() -> None:
    """The weights are exchanged after the last step, before they are scored and saved: a model trained elsewhere."""
    real = trainer.Trainer._training_step

    def made(self: Any, number: int, micro_batches: Any) -> Any:
        found = real(self, number, micro_batches)
        if number == _RUN_STEPS - 1:
            _shake(self.run.student, 0.02)
        return found

    trainer.Trainer._training_step = made


def entries_of_another_model_in_the_release() -> None:
    """A hundredth of the released entries are another model's, few enough to pass between those that are sampled."""
    real = results.save_model

    def save(model: Any, folder: Any, *, tokenizer_from: Any) -> None:
        real(model, folder, tokenizer_from=tokenizer_from)
        file = folder / "model.safetensors"
        chance = torch.Generator().manual_seed(3)
        tensors = {
            name: each + 0.05 * (torch.rand(each.shape, generator=chance) < 0.01)
            for name, each in load_file(file).items()
        }
        save_file(tensors, file, metadata={"format": "pt"})

    results.save_model = save


def a_checkpoint_edited_together_with_its_digest() -> None:
    """In the middle the run is interrupted, and goes on from a checkpoint whose weights and digests are others."""
    _interrupted(_edit_checkpoint)


def _interrupted(then: Callable[[Path], object]) -> None:
    """After its first checkpoint the run is killed; another attempt, before which `then` sees it, goes on with it."""
    real, seen = trainer.Trainer._save_checkpoint, list[Path]()

    def save(self: Any, logs: Any, number: int) -> Any:
        seen.append(real(self, logs, number))
        if len(seen) == 1:
            raise _Interrupted
        return seen[-1]

    trainer.Trainer._save_checkpoint = save
    train = opened("engines.distill.experiments.train")
    real_run = train.run_training

    def twice(job: Any, config: Any) -> None:
        try:
            real_run(job, config)
        except _Interrupted:
            then(seen[0])
            real_run(job, config)

    train.run_training = twice


def a_resumption_that_nobody_tells() -> None:
    """The run is killed and goes on, and its record knows of nothing."""
    real = audit_trail._resumed

    def hide(_checkpoint: Path) -> None:
        audit_trail._resumed = lambda *given: real(*given).model_copy(update={"resumed": ()})

    _interrupted(hide)


def a_resumption_that_never_was() -> None:
    """The record tells of one, from where a state is kept anyway."""
    real = audit_trail.AuditTrail.save

    def save(self: Any, out: Path) -> None:
        told = Resumption(since=0, at=min(self._kept))
        self._custody = self._custody.model_copy(update={"resumed": (told,)})
        real(self, out)

    audit_trail.AuditTrail.save = save


def steps_skipped_at_a_resumption() -> None:
    """The run is killed, and goes on with its checkpoint as if that were five steps further."""
    real = trainer.Trainer.resume

    def skip(_checkpoint: Path) -> None:
        trainer.Trainer.resume = lambda self: real(self) + 5 * (real(self) > 0)

    _interrupted(skip)


def _edit_checkpoint(place: Path) -> None:
    file, state = place / "weights.safetensors", place / "state.json"
    chance = torch.Generator().manual_seed(3)
    tensors = {name: each + 0.01 * torch.randn(each.shape, generator=chance) for name, each in load_file(file).items()}
    save_file(tensors, file)
    content = json.loads(state.read_text(encoding="utf-8"))
    content["sha256"][file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    state.write_text(json.dumps(content), encoding="utf-8")


class _Interrupted(Exception):  # stands for a kill
    """Ends the first attempt."""


# ------------------------------------------------------------------------------------------------ the control


def control_at_a_tenth_of_the_rate() -> None:
    """Every rate that is applied is a tenth, the log says what it should be."""
    real = torch.optim.AdamW.step

    def made(self: Any, *arguments: object) -> None:
        for group in self.param_groups:
            group["lr"] /= 10
        real(self, *arguments)
        for group in self.param_groups:
            group["lr"] *= 10

    opened_adamw: Any = torch.optim.AdamW
    opened_adamw.step = made


def control_stops_learning_halfway() -> None:
    """Half of the steps are logged and not made."""
    real, calls = torch.optim.AdamW.step, list[int]()

    def made(self: Any, *arguments: object) -> None:
        calls.append(1)
        if len(calls) <= _RUN_STEPS // 2:
            real(self, *arguments)

    opened_adamw: Any = torch.optim.AdamW
    opened_adamw.step = made


def control_on_shuffled_labels() -> None:
    """From the second step on labels are those of other positions; the log digests the right ones."""
    real, calls = step.StepModule.forward, list[int]()
    order = torch.Generator().manual_seed(17)

    def forward(self: Any, batch: Batch, output: TeacherOutput | None, denominator: float | None) -> Any:
        training = denominator is not None and torch.is_grad_enabled()
        calls.append(training)
        if training and sum(calls) > _FIRST:
            batch = replace(batch, labels=batch.labels[:, torch.randperm(batch.labels.shape[1], generator=order)])
        return real(self, batch, output, denominator)

    step.StepModule.forward = forward


def control_from_another_init() -> None:
    """The control begins with an init that was shaken; it says that it began with the student's."""
    real = build.load_model

    def load(folder: Any, *, device: str) -> Any:
        model = real(folder, device=device)
        _shake(model, 0.05)
        return model

    build.load_model = load
