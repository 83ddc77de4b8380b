"""Student and teacher by plain transformers (a natively quantised teacher by llama.cpp), asked whole texts."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from refute.errors import ExperimentError, MissingDependencyError
from refute.spec.experiments.distill import TeacherPlace
from refute.spec.experiments.training import Training
from refute.spec.release import GgufModel, ModelSource

_REMEMBERED_BYTES = 512 * 1024**2
# Logits (texts, length, vocabulary) at every position of texts of one length (texts, length), on their device.
Answer = Callable[[Tensor], Tensor]


def open_model(folder: Path, device: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """The causal model in a Hugging Face folder. Raises ExperimentError where weights are missing or misshapen."""
    return _open({"pretrained_model_name_or_path": folder, "use_safetensors": True}, device, dtype)


def open_source(model: ModelSource, path: Path, device: str) -> PreTrainedModel:
    """The model of a release at `path`, in float32: a folder, or a GGUF file. Raises as `open_model` does."""
    if isinstance(model, GgufModel):
        return _open({"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}, device, torch.float32)
    return open_model(path, device)


def _open(where: dict[str, Any], device: str, dtype: torch.dtype) -> PreTrainedModel:
    # Progress bars of a library that has no switch for them.
    with contextlib.redirect_stderr(io.StringIO()):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            **where, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    model, info = loaded
    if any(info[kind] for kind in ("missing_keys", "mismatched_keys")):
        raise ExperimentError(
            f"{where['pretrained_model_name_or_path']}: weights do not fit their config: {info}",
            hint="the folder is not whole; make it again",
        )
    ready: PreTrainedModel = model.to(device)
    return ready


def open_teacher(place: TeacherPlace, training: Training, *, device: str, threads: int) -> Answer:
    """The teacher as the run has it: in the run's dtype, or in llama.cpp where its GGUF stays quantised.

    Raises what `open_model` raises, and MissingDependencyError without llama-cpp-python where that is asked for.
    """
    if isinstance(place.model, GgufModel) and place.model.runtime == "llama.cpp":
        return _llama_cpp(Path(place.path), training.seq_len, threads)
    dtype = torch.bfloat16 if training.dtype == "bfloat16" else torch.float32
    model = open_model(Path(place.path), device, dtype).eval()

    @torch.no_grad()
    def answer(ids: Tensor) -> Tensor:
        logits: Tensor = model(input_ids=ids, use_cache=False).logits
        return logits

    return answer


def remembered(teacher: Answer) -> Answer:
    """The same teacher for who asks the same texts again and again: the first answers, as many as fit, are kept."""
    known: dict[tuple[tuple[int, ...], bytes], Tensor] = {}

    def answer(ids: Tensor) -> Tensor:
        key = tuple(ids.shape), ids.cpu().numpy().tobytes()
        found = known.get(key)
        if found is None:
            found = teacher(ids)
            if sum(each.nbytes for each in known.values()) + found.nbytes <= _REMEMBERED_BYTES:
                known[key] = found
        return found

    return answer


def _llama_cpp(path: Path, context: int, threads: int) -> Answer:
    try:
        from llama_cpp import Llama  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError as error:
        raise MissingDependencyError("natively quantised GGUF teachers", "llama") from error
    llama: Any = Llama(str(path), n_ctx=context, n_batch=context, n_threads=threads, logits_all=True, verbose=False)

    def logits(text: list[int]) -> Tensor:
        llama.reset()
        llama.eval(text)
        return torch.from_numpy(np.array(llama.scores[: len(text)], dtype=np.float32))

    return lambda ids: torch.stack([logits(text) for text in ids.tolist()]).to(ids.device)
