"""Cuts layers out of a causal LM: which subsets are candidates, and the smaller model that a subset makes."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from refute.errors import ExperimentError

_LAYER = re.compile(r"^(?P<before>(?:.*\.)?layers\.)(?P<index>\d+)(?P<after>\..*)$")


def candidate_subsets(layers: int, keep: int) -> list[tuple[int, ...]]:
    """Every way of removing one contiguous block, one evenly spaced subset, and both alternating ones if they fit.

    DistilBERT (arXiv:1910.01108, section 2) takes alternating layers; removing one block follows Gromov et al.
    (arXiv:2403.17887). Which of them is best differs between models, so all are measured.
    """
    if not 0 < keep < layers:
        raise ExperimentError(
            f"init.keep_layers = {keep}, the teacher has {layers} layers: keep at least one and fewer than all",
            hint="a student needs fewer layers than its teacher",
        )
    removed = layers - keep
    subsets = [tuple(i for i in range(layers) if not start <= i < start + removed) for start in range(keep + 1)]
    if keep > 1:
        subsets.append(tuple(round(i * (layers - 1) / (keep - 1)) for i in range(keep)))
    subsets += [tuple(range(phase, layers, 2)) for phase in (0, 1)]
    return sorted({subset for subset in subsets if len(subset) == keep})


def keep_layers(teacher: PreTrainedModel, layers: Sequence[int]) -> PreTrainedModel:
    """A model whose i-th layer is the teacher's `layers[i]`; everything else is the teacher's. Weights are shared.

    Raises ExperimentError for an architecture whose weights are not named `…layers.<index>.…`.
    """
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = len(layers)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[i] for i in layers]
    # GGUF leaves a note that the weights are quantised; these are not.
    config.__dict__.pop("quantization_config", None)
    # Drawing random weights only to overwrite them would cost more than all of the measuring.
    with torch.device("meta"):
        student = type(teacher)(config)
    places = {str(old): str(new) for new, old in enumerate(layers)}
    try:
        student.load_state_dict(_renamed(teacher.state_dict(), places), assign=True)
        for name, buffer in _renamed(dict(teacher.named_buffers()), places).items():
            owner, _, attribute = name.rpartition(".")
            setattr(student.get_submodule(owner), attribute, buffer)
    except (RuntimeError, AttributeError) as error:
        raise ExperimentError(f"layers cannot be cut out of a {type(teacher).__name__}: {error}") from error
    student.tie_weights()
    student.generation_config = copy.deepcopy(teacher.generation_config)
    return student.eval()


def _renamed(tensors: Mapping[str, Tensor], places: Mapping[str, str]) -> dict[str, Tensor]:
    """`tensors` without those of removed layers, the others under their new layer index."""
    renamed = {}
    for name, tensor in tensors.items():
        match = _LAYER.match(name)
        if match is None:
            renamed[name] = tensor
        elif match["index"] in places:
            renamed[match["before"] + places[match["index"]] + match["after"]] = tensor
    return renamed
