"""Loads the model that an experiment names, with its tokenizer, and refuses anything incomplete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from refute.errors import MissingInputsError
from refute.job import Inputs
from refute.spec.experiments.humaneval import ModelChoice, RandomModel, SourceModel
from refute.spec.release import GgufModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


# Raised by transformers and the readers below it for files that are absent, cut or of another kind.
_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in float32, in evaluation mode, on its device, and the tokenizer that came with it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load_model(choice: ModelChoice, inputs: Mapping[str, Inputs], *, device: str) -> LoadedModel:
    """Load without network, from local files only.

    Raises MissingInputsError for a model, tokenizer or device that is absent or unusable, and for weights that do
    not cover the model: transformers would fill such gaps with random numbers and only log it.
    """
    from torch import nn

    from refute.engines.model.device import require_device
    from refute.engines.model.tokenizer import read_tokenizer

    require_device(device)
    folder, gguf_file = _place(choice, inputs)
    where = {"gguf_file": gguf_file} if gguf_file else {}
    model = _random(folder, choice) if isinstance(choice, RandomModel) else _from_files(folder, where)
    # The method of the base class: transformers' own wrapper of `to` hides its signature.
    nn.Module.to(model, device)
    return LoadedModel(model.eval(), read_tokenizer(folder / (gguf_file or ""), gguf=gguf_file is not None))


def _place(choice: ModelChoice, inputs: Mapping[str, Inputs]) -> tuple[Path, str | None]:
    if isinstance(choice, SourceModel):
        path = Path(choice.path)
        if not path.exists():
            raise MissingInputsError(f"no model at {path}", hint="correct the path in the release file")
        return (path.parent, path.name) if isinstance(choice.model, GgufModel) else (path, None)
    if choice.name not in inputs:
        raise MissingInputsError(
            f"the model is evidence {choice.name!r}, but the experiment was given {sorted(inputs)}",
            hint="add it to the experiment's `needs`",
        )
    try:
        return inputs[choice.name].path("model"), None
    except FileNotFoundError as error:
        raise MissingInputsError(str(error), hint="delete this evidence and let it be made again") from error


def _from_files(folder: Path, where: Mapping[str, str]) -> PreTrainedModel:
    import torch
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": torch.float32, "local_files_only": True, "output_loading_info": True}
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(str(folder), **where, **options)
    except _UNREADABLE as error:
        raise _unusable(folder, where, "model", error) from error
    model, report = loaded
    gaps = sorted(str(gap) for kind in ("missing_keys", "mismatched_keys") for gap in report[kind])
    if gaps:
        raise MissingInputsError(
            f"the weights in {folder} do not cover the model: {len(gaps)} tensors are missing or of another "
            f"shape, such as {gaps[0]}",
            hint="save the model again; weights and config.json do not belong together",
        )
    complete: PreTrainedModel = model
    return complete


def _random(folder: Path, choice: RandomModel) -> PreTrainedModel:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise _unusable(folder, {}, "config.json", error) from error
    config.num_hidden_layers = choice.layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: choice.layers]
    with torch.random.fork_rng():
        torch.manual_seed(choice.seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model


def _unusable(folder: Path, where: Mapping[str, str], what: str, error: Exception) -> MissingInputsError:
    path = folder / where.get("gguf_file", "")
    return MissingInputsError(
        f"{path} holds no usable {what}: {type(error).__name__}: {error}",
        hint="expected config.json, safetensors and tokenizer files, or one complete GGUF file",
    )
