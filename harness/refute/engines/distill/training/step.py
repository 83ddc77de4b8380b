"""One micro-batch through student and loss, as a module: whoever shares its work among ranks must see all of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from refute.engines.distill.data.packing import Batch
from refute.engines.distill.loss.kd_loss import kd_loss
from refute.engines.distill.teacher.interface import TeacherOutput
from refute.errors import ExperimentError
from refute.spec.experiments.training import Training


class StepModule(nn.Module):
    """The student and the loss on it.

    DDP and FSDP hook the forward of the module that they wrap; a loss that reached past it, to the head's weight or
    the model's body, would train ranks apart (as it did in several peers).
    """

    def __init__(self, student: PreTrainedModel, training: Training) -> None:
        super().__init__()
        self.student = student
        self._training = training

    def forward(
        self, batch: Batch, teacher_output: TeacherOutput | None, denominator: float | None
    ) -> tuple[Tensor, ...]:
        """With a `denominator`: loss to differentiate, mean CE and divergence (nat per supervised token), their number.

        Without: the logits (windows, positions, V) alone, in float32.
        """
        training = self._training
        if denominator is None:
            return (self.student(**model_inputs(batch), use_cache=False).logits.float(),)
        with torch.autocast(batch.ids.device.type, torch.bfloat16, enabled=training.dtype == "bfloat16"):
            states: Tensor = self.student.base_model(**model_inputs(batch), use_cache=False).last_hidden_state
        hidden = states.flatten(0, 1)
        teacher = teacher_output or TeacherOutput()
        loss = kd_loss(
            hidden,
            head_weight(self.student),
            teacher.logits,
            batch.labels.flatten(),
            ce_weight=training.ce_weight,
            kd_weight=training.kd_weight,
            temperature=training.temperature,
            divergence=training.divergence,
            beta=training.beta,
            denominator=denominator,
            teacher_hidden=teacher.hidden,
            teacher_head_weight=teacher.head,
            teacher_topk=teacher.topk,
        )
        return loss.total, loss.ce, loss.kl, torch.tensor(float(loss.supervised_tokens), device=hidden.device)


def model_inputs(batch: Batch) -> dict[str, Tensor]:
    """A batch as arguments of a transformers model."""
    return {"input_ids": batch.ids} | ({} if batch.positions is None else {"position_ids": batch.positions})


def head_weight(model: PreTrainedModel) -> nn.Parameter:
    """The weight of the language-model head, shape (vocabulary, hidden). Raises ExperimentError without one."""
    weight = getattr(model.get_output_embeddings(), "weight", None)
    if not isinstance(weight, nn.Parameter):
        raise ExperimentError(
            f"the head of a {type(model).__name__} has no plain weight",
            hint="use an architecture with a plain head, such as Llama or Qwen2",
        )
    return weight
