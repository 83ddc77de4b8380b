"""A model's answers by the plainest means: one at a time, float32, transformers' own cache.

Sums in another order may turn a near tie of two tokens. So whoever compares says what was recorded: where two tokens
are as good as equal, the answer goes on as that does, and whatever else differs is no rounding.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from refute.engines.humaneval.audit.choice import Choose
from refute.engines.humaneval.audit.problem_file import Task
from refute.engines.humaneval.audit.protocol import Questioner
from refute.job import Inputs
from refute.spec.experiments.humaneval import ModelChoice, RandomModel, SourceModel

# What an unfinished character decodes to.
_BROKEN = "\N{REPLACEMENT CHARACTER}"


def model_folder(choice: ModelChoice, inputs: Mapping[str, Inputs]) -> Path:
    """The Hugging Face folder of the model, or of the one whose shape random weights have."""
    return Path(choice.path) if isinstance(choice, SourceModel) else inputs[choice.name].path("model")


class Respondent:
    """The model that `choice` names, ready to answer. Raises as transformers does where the folder holds none.

    `choose` says which token follows, and which others might by rounding; `ends` are those that end an answer.
    """

    def __init__(self, choice: ModelChoice, folder: Path, device: str, choose: Choose) -> None:
        self._model = (_random(choice, folder) if isinstance(choice, RandomModel) else stored_model(folder)).to(device)
        self.ends, self._choose = _end_ids(self._model, folder), choose

    @torch.inference_mode()
    def answer(self, task: Task, questioner: Questioner, limit: int, recorded: str) -> str:
        """One chosen token after the other, until a special token, a stop of the protocol, or `limit` tokens.

        Of several that might have been chosen, the one that `recorded` goes on with, if there is one.
        """
        carried, ids = questioner.carried(task), list[int]()
        expected = questioner.encode(recorded.removeprefix(carried))[:limit]
        following, text = _Following(self._model, questioner.ids(task), expected), carried
        choose = self._choose(task)
        while len(ids) < limit and questioner.end(text) is None:
            likely = choose(following.logits(ids))
            texts = [text if each in self.ends else carried + questioner.decode([*ids, each]) for each in likely]
            place = _first(texts, [each in self.ends for each in likely], questioner, recorded)
            if likely[place] in self.ends:
                break
            ids.append(likely[place])
            text = texts[place]
        return text[: questioner.end(text)]


class _Following:
    """What a model says after a prompt and tokens, one more each time; those that are `expected` it reads in one go.

    None is taken for granted: where another token was chosen, all of it is read again without what was expected.
    """

    def __init__(self, model: Any, prompt: Sequence[int], expected: Sequence[int]) -> None:
        self._model, self._prompt = model, prompt
        self._begin(expected)

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        """Of the token after the prompt and `ids` (V)."""
        if ids[: len(self._read)] != self._read[: len(ids)]:
            self._begin(ids)
        elif len(ids) > len(self._read):
            self._read_on(ids[len(self._read) :])
        found: torch.Tensor = self._known[len(ids) - len(self._read) - 1]
        return found

    def _begin(self, tokens: Sequence[int]) -> None:
        self._cache: Any = None
        self._read = list[int]()
        self._read_on(tokens, before=self._prompt)

    def _read_on(self, tokens: Sequence[int], before: Sequence[int] = ()) -> None:
        unseen = torch.tensor([[*before, *tokens]], device=self._model.device)
        wanted = len(tokens) + len(before[-1:])
        given = self._model(
            input_ids=unseen, past_key_values=self._cache, use_cache=True, **only_last(self._model, wanted)
        )
        self._cache, self._known, self._read = given.past_key_values, given.logits[0, -wanted:], [*self._read, *tokens]


def only_last(model: Any, positions: int) -> dict[str, int]:
    """What asks a model of transformers for the logits of its last positions alone, where it can be asked for that."""
    can = "logits_to_keep" in inspect.signature(model.forward).parameters
    return {"logits_to_keep": positions} if can else {}


def _first(texts: Sequence[str], ended: Sequence[bool], questioner: Questioner, recorded: str) -> int:
    """Which of `texts`, the most likely first, `recorded` ends as, or goes on with; the first where none is."""
    # A character may be spread over several tokens.
    so_far = [text[: questioner.end(text)].rstrip(_BROKEN) for text in texts]
    ends = [end and text == recorded for text, end in zip(texts, ended, strict=True)]
    goes_on = [not end and recorded.startswith(text) for text, end in zip(so_far, ended, strict=True)]
    return next((each.index(True) for each in (ends, goes_on) if any(each)), 0)


def stored_model(folder: Path) -> Any:
    """The model in a Hugging Face folder, in float32. Raises as transformers does where the folder holds none."""
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
