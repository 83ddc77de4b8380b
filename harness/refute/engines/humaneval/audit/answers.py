"""A model's greedy answers by the plainest means: one task at a time, float32, transformers' own cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from refute.engines.humaneval.audit.problem_file import Task
from refute.engines.humaneval.audit.protocol import Questioner
from refute.job import Inputs
from refute.spec.experiments.humaneval import ModelChoice, RandomModel, SourceModel


def model_folder(choice: ModelChoice, inputs: Mapping[str, Inputs]) -> Path:
    """The Hugging Face folder of the model, or of the one whose shape random weights have."""
    return Path(choice.path) if isinstance(choice, SourceModel) else inputs[choice.name].path("model")


class Respondent:
    """The model that `choice` names, ready to answer. Raises as transformers does where the folder holds none."""

    def __init__(self, choice: ModelChoice, folder: Path, device: str) -> None:
        self._model = (_random(choice, folder) if isinstance(choice, RandomModel) else _stored(folder)).to(device)
        self._ends = _end_ids(self._model, folder)

    @torch.inference_mode()
    def answer(self, task: Task, questioner: Questioner, limit: int) -> str:
        """The most likely token each time, until a special token, a stop of the protocol, or `limit` tokens."""
        unseen = torch.tensor([questioner.ids(task)], device=self._model.device)
        carried, ids, cache = questioner.carried(task), list[int](), None
        text = carried
        while len(ids) < limit and questioner.end(text) is None:
            given = self._model(input_ids=unseen, past_key_values=cache, use_cache=True)
            cache, unseen = given.past_key_values, given.logits[:, -1].argmax(dim=-1, keepdim=True)
            if int(unseen) in self._ends:
                break
            ids.append(int(unseen))
            text = carried + questioner.decode(ids)
        return text[: questioner.end(text)]


def _stored(folder: Path) -> Any:
    options: dict[str, Any] = {"dtype": torch.float32, "local_files_only": True, "use_safetensors": True}
    return AutoModelForCausalLM.from_pretrained(folder, **options).eval()


def _random(choice: RandomModel, folder: Path) -> Any:
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    config.num_hidden_layers = choice.layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: choice.layers]
    torch.manual_seed(choice.seed)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def _end_ids(model: Any, folder: Path) -> frozenset[int]:
    """What the model's configuration and its tokenizer call an end; no special token is Python."""
    stated = model.generation_config.eos_token_id if model.generation_config else None
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    known = [id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special]
    special = (*tokenizer.all_special_ids, *known)
    return frozenset(id_ for id_ in (*(stated if isinstance(stated, list) else [stated]), *special) if id_ is not None)
