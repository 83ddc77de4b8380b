"""Reads and writes Hugging Face model folders: safetensors, config, tokenizer, chat template."""

from __future__ import annotations

import copy
import hashlib
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from refute.disk import file_sha256
from refute.engines.model.device import require_device
from refute.engines.model.generations.portable import make_config_portable, make_portable
from refute.engines.model.progress_bars import without_progress_bars
from refute.errors import ExperimentError, MissingInputsError, NonFiniteError

# What a checkpoint folder may hold besides weights; anything else in it (READMEs, other formats) stays behind.
_KEPT = ("*.json", "*.jinja", "*.txt", "*.model")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")


def refuse_adapter(folder: Path) -> None:
    """Raise ExperimentError where an adapter lies beside the weights: whether it counts would depend on what is
    installed, for transformers adds it to them only with `peft`."""
    found = sorted(path.name for path in folder.glob("adapter_*"))
    if found:
        raise ExperimentError(
            f"{folder} holds an adapter beside its weights: {', '.join(found)}",
            hint="merge it into the weights and save them, or move it out of the folder",
        )


def refuse_two_heads(folder: Path, model: PreTrainedModel) -> None:
    """Raise ExperimentError where the config says that head and embedding are one, and the files hold two."""
    if not model.config.get_text_config().tie_word_embeddings:
        return
    head, embedding = (_stored(folder, *_names(model, part)) for part in ("output", "input"))
    if head is not None and embedding is not None and not torch.equal(head, embedding):
        raise ExperimentError(
            f"{folder}: config.json says tie_word_embeddings, and the files hold a head that is not the embedding",
            hint="set tie_word_embeddings to false if the head counts, or delete it from the files",
        )


def _names(model: PreTrainedModel, part: str) -> tuple[str, ...]:
    module = getattr(model, f"get_{part}_embeddings")()
    return tuple(f"{name}.weight" for name, found in model.named_modules() if found is module)


def _stored(folder: Path, *names: str) -> torch.Tensor | None:
    for file in folder.glob(_WEIGHTS[0]):
        with safe_open(file, framework="pt") as stored:
            for name in set(names).intersection(stored.keys()):
                found: torch.Tensor = stored.get_tensor(name)
                return found
    return None


def load_model(folder: Path, *, device: str) -> PreTrainedModel:
    """The causal LM in `folder` in float32 on `device`, in evaluation mode.

    Raises MissingInputsError when it is none, or incomplete, or there is no such device; ExperimentError when some
    weights are missing or of another shape, or its files contradict each other.
    """
    require_device(device)
    refuse_adapter(folder)
    try:
        with without_progress_bars():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        why = str(error) if folder.is_dir() else "there is no such folder"
        raise MissingInputsError(
            f"{folder} cannot be loaded as a model: {why}", hint="name a model folder: config.json and safetensors"
        ) from error
    model, info = loaded
    faults = {name: sorted(map(str, found)) for name, found in sorted(info.items()) if found}
    if faults:
        raise ExperimentError(f"{folder}: weights do not fit their config: {faults}")
    refuse_two_heads(folder, model)
    ready: PreTrainedModel = model.to(device).eval()
    return ready


def save_whole(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes config, generation config, weights, tokenizer and chat template of a model in plain numbers, so that both
    generations of transformers read the same model.

    A model that came out of a GGUF is dequantised in memory, yet marked as quantised, which bars saving: the
    marks are taken off `model`.
    """
    model.config.__dict__.pop("quantization_config", None)
    model.__dict__.pop("hf_quantizer", None)
    with without_progress_bars():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    make_portable(folder)


def round_weights(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Rounds every weight to the nearest number that `dtype` has; the model goes on computing in its own.

    Raises NonFiniteError for a weight that `dtype` cannot hold.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            rounded = parameter.to(dtype)
            if not rounded.isfinite().all():
                largest = parameter.abs().max().item()
                raise NonFiniteError(
                    f"{name} holds {largest:.6g}, and {dtype} ends at {torch.finfo(dtype).max:.6g}",
                    hint="name another `save_dtype`",
                )
            parameter.copy_(rounded)


def save_model(
    model: PreTrainedModel, folder: Path, *, tokenizer_from: Path, dtype: torch.dtype = torch.float32
) -> None:
    """Writes config, generation config and weights in `dtype`, and copies every other file of `tokenizer_from`; both
    generations of transformers read the config."""
    # A copy: buffers that are never stored, such as rotary frequencies, would not come back as they were.
    stored: Any = model if model.dtype == dtype else copy.deepcopy(model)
    with without_progress_bars():
        stored.to(dtype).save_pretrained(folder)
    copy_files(tokenizer_from, folder, _KEPT)
    make_config_portable(folder, like=tokenizer_from)


def copy_model(source: Path, folder: Path) -> None:
    """Copies the weights and the small files of a model folder byte for byte."""
    copy_files(source, folder, (*_WEIGHTS, *_KEPT))


def copy_files(source: Path, folder: Path, patterns: tuple[str, ...]) -> None:
    """Copies files directly in `source` that match and are not in `folder` yet; contents only, not modes."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted({path for pattern in patterns for path in source.glob(pattern)}):
        # Of weights that are not copied: pickles never are.
        is_stale_index = path.name.endswith(".index.json") and not (path.match(_WEIGHTS[1]) and _WEIGHTS[0] in patterns)
        if not (folder / path.name).exists() and not is_stale_index:
            shutil.copyfile(path, folder / path.name)


def same_numbers(one: PreTrainedModel, other: PreTrainedModel) -> bool:
    """Whether two models are one, whatever the files they lie in: equal in each tensor, if need be after both were
    rounded to what one of them may have been saved in. Rows of padding that `other` has beyond do not count."""
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and any(
        all(_equal_as(dtype, tensor, theirs[name]) for name, tensor in mine.items())
        for dtype in (torch.float32, torch.bfloat16, torch.float16)
    )


def _equal_as(dtype: torch.dtype, one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one.to(dtype), other[: len(one)].to(one.device, dtype) if one.ndim else other.to(one))


def count_parameters(model: PreTrainedModel) -> int:
    """Parameters, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def weights_sha256(path: Path) -> str:
    """Digest of a model's weights: of the file itself (GGUF), or of the names and digests of a folder's safetensors.

    Raises MissingInputsError when there are none.
    """
    if path.is_file():
        return file_sha256(path)
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise MissingInputsError(f"{path} holds no safetensors", hint="name a model folder or a GGUF file")
    return hashlib.sha256("".join(f"{file_sha256(file)}  {file.name}\n" for file in weights).encode()).hexdigest()
