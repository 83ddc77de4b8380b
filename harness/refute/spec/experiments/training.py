"""How a student is trained, as a release and a run.yaml state it."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from refute.spec.fields import Closed, Positive, Share

# KL(teacher || student); KL(student || teacher); the generalised Jensen-Shannon divergence of Agarwal et al. 2024
# (GKD, arXiv:2306.13649, section 2): beta KL(teacher || m) + (1 - beta) KL(student || m), where the mixture m is
# beta teacher + (1 - beta) student. Divided by beta it tends to the first as beta goes to 0, divided by 1 - beta to
# the second as beta goes to 1.
DivergenceName = Literal["forward_kl", "reverse_kl", "jensen_shannon"]
DIVERGENCES: Final[tuple[str, ...]] = get_args(DivergenceName)


def check_beta(divergence: str, beta: float | None) -> None:
    """Raises ValueError unless `beta` lies inside (0, 1) for jensen_shannon, and is absent for all others."""
    if divergence not in DIVERGENCES:
        raise ValueError(f"divergence must be one of {', '.join(DIVERGENCES)}, found {divergence!r}")
    if divergence != "jensen_shannon":
        if beta is not None:
            raise ValueError(f"`beta` is of jensen_shannon alone, found {beta} with {divergence}")
    elif beta is None or not 0 < beta < 1:
        raise ValueError(
            f"jensen_shannon needs a `beta` above 0 and below 1, found {beta}: 0.5 weighs both sides alike; "
            "at 0 and at 1 it vanishes, and what it tends to are forward_kl and reverse_kl"
        )


class Training(Closed):
    """The KD run. loss = ce_weight * CE + kd_weight * T^2 * D(teacher, student), in nat per supervised token.

    `divergence` is what D stands for, `beta` the weight of the teacher's side in jensen_shannon: see above.
    `document_mask`: attention and labels do not cross documents. `prefetch`: teacher answers made ahead (default 2 on
    CUDA, none on the CPU). `parallel`: how ranks share a step, whole students (ddp) or pieces of one (fsdp). `keep`:
    which weights become the model, the last or those of the lowest held-out loss. `save_dtype`: what these are cut to.
    """

    steps: Positive
    batch_size: Positive
    micro_batch_size: Positive
    seq_len: Annotated[int, Field(ge=2)]
    learning_rate: Annotated[float, Field(gt=0)]
    min_learning_rate: Annotated[float, Field(ge=0)]
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    ce_weight: Share
    kd_weight: Share
    temperature: Annotated[float, Field(gt=0)]
    divergence: DivergenceName = "forward_kl"
    beta: float | None = None
    seed: int = 17
    eval_every: Positive
    eval_windows: Positive
    checkpoint_every: Positive
    keep_checkpoints: Annotated[int, Field(ge=2)] = 2
    dtype: Literal["float32", "bfloat16"] = "float32"
    document_mask: bool = True
    gradient_checkpointing: bool = False
    compile: bool = False
    prefetch: Annotated[int, Field(ge=0)] | None = None
    teacher_patience_s: Annotated[float, Field(gt=0)] = 600.0
    parallel: Literal["ddp", "fsdp"] = "ddp"
    keep: Literal["last", "best"] = "last"
    save_dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if abs(self.ce_weight + self.kd_weight - 1.0) > 1e-9:
            raise ValueError(f"ce_weight + kd_weight must be 1, found {self.ce_weight} + {self.kd_weight}")
        check_beta(self.divergence, self.beta)
        if self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch_size {self.micro_batch_size}"
            )
        if self.min_learning_rate > self.learning_rate:
            raise ValueError("min_learning_rate is above learning_rate")
        return self
