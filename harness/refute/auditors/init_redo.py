"""Experiment: an init held against what it was made of, and the choice of its layers made once more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.numpy import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from refute.auditors.models import open_model, open_source
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.distill import InitConfig
from refute.spec.experiments.evidence.distill import InitAgain, LayerChoice, ModelSize
from refute.spec.experiments.evidence_files import HELDOUT_WINDOWS, INIT_AGAIN, INIT_CHOICE, MODEL
from refute.spec.experiments.parsing import parse_config
from refute.spec.release import DepthPruned

Layers = tuple[int, ...]


def redo_init(job: Job) -> None:
    """Writes again.json, `InitAgain`, from inputs `init` and `corpus` and from the models that the release names.

    Raises ExperimentError for models that are not whole, or whose layers cannot be told apart.
    """
    config = parse_config(InitConfig, job)
    torch.set_num_threads(config.threads)
    made = job.inputs["init"].folder
    choice = INIT_CHOICE.read(made, "init")
    windows = load_file(job.inputs["corpus"].path(HELDOUT_WINDOWS.name))["tokens"]
    ids = torch.from_numpy(windows[config.skip_windows :][: config.probe_windows].astype("int64")).to(config.device)
    job.progress("load teacher and init", 0, 1)
    teacher = open_source(config.teacher.model, Path(config.teacher.path), config.device)
    init = open_model(made / MODEL.name, config.device)
    source = teacher
    if not isinstance(config.init, DepthPruned) and config.init_path is not None:
        source = open_source(config.init.model, Path(config.init_path), config.device)
    sizes = _size(teacher), _size(init)
    foreign = sum(not same for same in _compared(init, source, choice.chosen))
    teacher_loss, init_loss = (_loss(model, ids) for model in (teacher, init))
    candidates = _candidates(job, teacher, config.init, ids) if isinstance(config.init, DepthPruned) else ()
    found = InitAgain(
        teacher=sizes[0],
        init=sizes[1],
        tensors=len(list(init.parameters())),
        foreign_tensors=foreign,
        candidates=tuple(candidates),
        teacher_loss=teacher_loss,
        init_loss=init_loss,
        probe_windows=len(ids),
        skip_windows=config.skip_windows,
    )
    (job.out / INIT_AGAIN.name).write_text(json.dumps(found.as_json(), allow_nan=False) + "\n", encoding="utf-8")


def subsets(layers: int, keep: int) -> list[Layers]:
    """Which `keep` of `layers` may make an init: all but one block, evenly spaced ones, every other one."""
    everything = tuple(range(layers))
    cut = layers - keep
    found = {everything[:start] + everything[start + cut :] for start in range(keep + 1)}
    if keep > 1:
        found.add(tuple(round(place * (layers - 1) / (keep - 1)) for place in range(keep)))
    return sorted(found | {every for every in (everything[::2], everything[1::2]) if len(every) == keep})


def _size(model: PreTrainedModel) -> ModelSize:
    """As it was read, and before anything is cut out of it."""
    layers = model.config.get_text_config().num_hidden_layers
    return ModelSize(parameters=sum(each.numel() for each in model.parameters()), layers=layers)


def _compared(init: PreTrainedModel, source: PreTrainedModel, chosen: Sequence[int] | None) -> Iterator[bool]:
    """Of each tensor of the init, whether it is that of its source to the last bit: in layer i, of the i-th chosen."""
    theirs = {name: each.detach() for name, each in source.named_parameters()}
    for name, own in init.named_parameters():
        found = theirs.get(_name_in_source(name, chosen))
        yield found is not None and found.shape == own.shape and torch.equal(found, own.detach())


def _name_in_source(name: str, chosen: Sequence[int] | None) -> str:
    before, mark, rest = name.partition(".layers.")
    if chosen is None or not mark:
        return name
    number, _, after = rest.partition(".")
    layer = chosen[int(number)] if int(number) < len(chosen) else "none"
    return f"{before}{mark}{layer}.{after}"


def _candidates(job: Job, teacher: PreTrainedModel, init: DepthPruned, ids: Tensor) -> Iterator[LayerChoice]:
    """Every subset with its loss; the teacher is left with the layers of the last."""
    body, layers = _layers(teacher)
    wanted = subsets(len(layers), init.keep_layers)
    for done, subset in enumerate(wanted, start=1):
        body.layers = nn.ModuleList(layers[each] for each in subset)
        teacher.config.num_hidden_layers = len(subset)
        yield LayerChoice(layers=subset, loss=_loss(teacher, ids))
        job.progress("choose layers again", done, len(wanted))


def _layers(model: PreTrainedModel) -> tuple[nn.Module, list[nn.Module]]:
    body = model.base_model
    layers = getattr(body, "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise ExperimentError(
            f"the layers of a {type(model).__name__} are not in its `layers`", hint="load an init instead of cutting it"
        )
    return body, list(layers)


@torch.no_grad()
def _loss(model: PreTrainedModel, ids: Tensor) -> float:
    """Mean nat per predicted token of windows (windows, length), each a text of its own."""
    model.eval()
    logits = [model(input_ids=window[None], use_cache=False).logits[0, :-1].double() for window in ids]
    return float(functional.cross_entropy(torch.cat(logits), ids[:, 1:].flatten()))
