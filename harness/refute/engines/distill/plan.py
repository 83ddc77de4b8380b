"""What a run will take, from its configuration and the headers of its files: before anything is loaded or bought."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from refute.engines.distill.training.preflight import disk_needed, memory_to_come
from refute.engines.model.lineage import stored_facts
from refute.spec.experiments.distill import TeacherPlace, TrainConfig
from refute.spec.release import GgufModel, HfModel

_FLOAT = 4  # bytes
_TEACHER_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, slots=True)
class Plan:
    """Bytes on each rank and on disk, tokens, and the arithmetic of all steps; `hours` on a device that keeps up
    `tflops`, `cost` at a price an hour. Memory is a lower bound: activations are left out.

    Arithmetic: 6 operations a parameter and token of the student, 2 of the teacher's forward (Kaplan et al. 2020,
    arXiv:2001.08361, section 2.1), 2 more where activations are computed again.
    """

    student_parameters: int
    teacher_parameters: int
    tokens: int
    tokens_per_parameter: float
    student_bytes: int
    optimizer_bytes: int
    teacher_bytes: int
    disk_bytes: int
    operations: float
    hours: float | None
    cost: float | None

    def as_json(self) -> dict[str, object]:
        """The figures by name."""
        return asdict(self)


def plan(config: TrainConfig, *, tflops: float | None = None, price: float | None = None) -> Plan:
    """The figures of a run on `config.processes` devices that keep up `tflops` 1e12 operations a second each.

    Raises MissingInputsError for a model that is absent or does not state its sizes.
    """
    training = config.training
    student = stored_facts(HfModel(format="hf", path=config.init), Path(config.init)).parameters
    teacher = 0 if config.teacher is None else stored_facts(config.teacher.model, Path(config.teacher.path)).parameters
    # A cache answers for it, and without KD it only evaluates.
    asked = teacher if training.kd_weight > 0 and config.teacher_cache is None else 0
    tokens = training.steps * training.batch_size * (training.seq_len - 1)
    operations = float(tokens) * ((8 if training.gradient_checkpointing else 6) * student + 2 * asked)
    hours = None if tflops is None else operations / (tflops * 1e12 * config.processes) / 3600
    pieces = config.processes if training.parallel == "fsdp" else 1
    return Plan(
        student_parameters=student,
        teacher_parameters=teacher,
        tokens=tokens,
        tokens_per_parameter=tokens / student,
        student_bytes=student * _FLOAT // pieces,
        optimizer_bytes=memory_to_come(student, training, config.processes),
        teacher_bytes=0 if config.teacher is None else _size_in_memory(config.teacher, teacher, training.dtype),
        disk_bytes=disk_needed(student, training),
        operations=operations,
        hours=hours,
        cost=None if hours is None or price is None else hours * price * config.processes,
    )


def _size_in_memory(place: TeacherPlace, parameters: int, dtype: str) -> int:
    if isinstance(place.model, GgufModel) and place.model.runtime == "llama.cpp":
        return Path(place.path).stat().st_size
    return parameters * _TEACHER_BYTES[dtype]
