"""Teacher logits: a GGUF file or Hugging Face folder as a frozen model that answers at every position."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from refute.engines.distill.data.packing import Batch
from refute.engines.distill.teacher.interface import TeacherOutput, check_ids
from refute.engines.model.device import require_device
from refute.engines.model.folder import refuse_adapter, refuse_two_heads
from refute.engines.model.gguf import check_gguf_magic, open_gguf, read_once
from refute.engines.model.progress_bars import without_progress_bars
from refute.engines.model.tokenizer import open_tokenizer
from refute.errors import ExperimentError, MissingInputsError, NonFiniteError, UsageError
from refute.spec.release import GgufModel, ModelSource

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model that is only asked: evaluation mode, no gradients. `parameters` counts tied weights once.

    `plain_head`: its logits are its last hidden states times its head, with no bias, scale or soft cap.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    parameters: int
    plain_head: bool

    @property
    def vocab_rows(self) -> int:
        """Width V of the logits: the rows of the output head, padding ids included."""
        return len(_head(self.model).get_parameter("weight"))

    @property
    def device(self) -> torch.device:
        """Where the model lies, and so its logits."""
        device: torch.device = self.model.device
        return device

    @property
    def size(self) -> int:
        """Bytes of its weights."""
        return sum(parameter.numel() * parameter.element_size() for parameter in self.model.parameters())

    def logits(self, input_ids: Tensor, positions: Tensor | None = None) -> Tensor:
        """Logits (B, L, V), float32, no gradient, at every position of `input_ids` (B, L), causal.

        `positions` (B, L) restart where a new document begins, which attention then does not cross. Raises
        UsageError for ids that are no (B, L) integers below V, NonFiniteError for NaN or +inf logits (-inf is how
        some models pad their vocabulary).
        """
        inputs = self._inputs(input_ids, positions)
        with torch.no_grad():
            logits: Tensor = self.model(**inputs, use_cache=False).logits.float()
        if logits.numel() and not bool(logits.amax().isfinite()):
            raise NonFiniteError(f"teacher logits hold NaN or +inf for input_ids {tuple(input_ids.shape)}")
        return logits

    def answer(self, batch: Batch) -> TeacherOutput:
        """Hidden states and head where those say everything, which are V / Ht times smaller; else logits."""
        if not self.plain_head:
            return TeacherOutput(logits=self.logits(batch.ids, batch.positions).flatten(0, 1))
        inputs = self._inputs(batch.ids, batch.positions)
        with torch.no_grad():
            hidden: Tensor = self.model.base_model(**inputs, use_cache=False).last_hidden_state.flatten(0, 1)
        if not bool(hidden.isfinite().all()):
            raise NonFiniteError(f"teacher hidden states are not finite for input_ids {tuple(batch.ids.shape)}")
        return TeacherOutput(hidden=hidden, head=_head(self.model).get_parameter("weight"))

    def _inputs(self, input_ids: Tensor, positions: Tensor | None) -> dict[str, Tensor]:
        ids = check_ids(input_ids, self.vocab_rows).to(self.device)
        return {"input_ids": ids} if positions is None else {"input_ids": ids, "position_ids": positions.to(ids.device)}


@torch.no_grad()
def has_plain_head(model: PreTrainedModel) -> bool:
    """Whether logits are exactly the last hidden states times the head's weight.

    Small logits hide a bias, a scale or a soft cap. So the head is made to answer numbers of its own, up to 100: the
    model must hand them on as they are, and must have asked with its last hidden states.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or getattr(head, "bias", None) is not None:
        return False
    asked: list[Tensor] = []
    answered: list[Tensor] = []

    def answer(_: object, states: tuple[Tensor, ...], output: Tensor) -> Tensor:
        asked.append(states[0])
        answered.append(torch.linspace(-100, 100, output.numel()).reshape(output.shape).to(output))
        return answered[-1]

    ids = torch.arange(min(16, len(head.weight)), device=model.device)[None]
    hooked = head.register_forward_hook(answer)
    try:
        logits = model(input_ids=ids, use_cache=False).logits
    finally:
        hooked.remove()
    states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    if len(asked) != 1 or asked[0].shape != states.shape or logits.shape != answered[0].shape:
        return False
    same = torch.allclose(asked[0].float(), states.float(), rtol=1e-3, atol=0)
    return same and torch.equal(logits.float(), answered[0].float())


def load_teacher(model: ModelSource, path: Path, *, device: str, dtype: str = "float32") -> Teacher:
    """The teacher at `path` (a GGUF file, dequantised by transformers, or a Hugging Face folder) on `device`.

    Nothing is fetched: only this machine's files are read, weights only from safetensors or GGUF. `dtype` is
    `float32` or `bfloat16`. Raises MissingInputsError when the file is absent, cut short, no model or lacks
    weights, or there is no such device; ExperimentError when transformers cannot build it or its files contradict
    each other; UsageError for an unknown dtype.
    """
    require_device(device)
    if dtype not in _DTYPES:
        raise UsageError(f"teacher dtype {dtype!r} is unknown, expected one of {', '.join(sorted(_DTYPES))}")
    if isinstance(model, GgufModel):
        check_gguf_magic(path)
        where: dict[str, Any] = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    else:
        _check_folder(path)
        refuse_adapter(path)
        where = {"pretrained_model_name_or_path": path, "use_safetensors": True}
    try:
        with without_progress_bars(), read_once():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                **where, dtype=_DTYPES[dtype], local_files_only=True, output_loading_info=True
            )
    # An untrusted file: what transformers raises for a damaged one depends on where the damage is.
    except Exception as error:
        if isinstance(model, GgufModel):
            open_gguf(path)
        raise ExperimentError(
            f"transformers cannot build the {model.format} model at {path}: {type(error).__name__}: {error}",
            hint="is its architecture supported by the installed transformers?",
        ) from error
    built, info = loaded
    _check_complete(path, info)
    if not isinstance(model, GgufModel):
        refuse_two_heads(path, built)
    built.eval().requires_grad_(requires_grad=False)
    count = sum(parameter.numel() for parameter in built.parameters())
    placed = built.to(device)
    return Teacher(placed, open_tokenizer(model, path), count, has_plain_head(placed))


def _head(model: PreTrainedModel) -> torch.nn.Module:
    """The output projection. Raises ExperimentError for a model that has none, such as an encoder."""
    head: torch.nn.Module | None = model.get_output_embeddings()
    if head is None:
        raise ExperimentError(f"{type(model).__name__} has no output head, so it gives no logits")
    return head


def _check_folder(path: Path) -> None:
    """Raise MissingInputsError naming every part that a Hugging Face folder lacks."""
    lacking = [name for name in ("config.json",) if not (path / name).is_file()]
    if not any(path.glob("*.safetensors")):
        lacking.append("*.safetensors")
    if lacking:
        raise MissingInputsError(
            f"{path} is no Hugging Face model folder: it lacks {' and '.join(lacking)}",
            hint="point `path` at a folder written by save_pretrained",
        )


def _check_complete(path: Path, info: dict[str, Any]) -> None:
    """Raise MissingInputsError if a weight was absent or misshapen, which transformers fills with noise."""
    missing = sorted(map(str, info.get("missing_keys", ())))
    misshapen = sorted(str(entry) for entry in info.get("mismatched_keys", ()))
    if missing or misshapen:
        raise MissingInputsError(
            f"{path} lacks {len(missing)} weights {missing[:3]} and has {len(misshapen)} of another shape "
            f"{misshapen[:3]}",
            hint="the file does not hold the model that its configuration describes",
        )
