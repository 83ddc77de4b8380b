"""A folder in transformers: a loop of its own over the cached model, which chooses as it is told and nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from refute.engines.model.folder import load_model
from refute.engines.model.tokenizer import read_tokenizer
from refute.engines.model.tools.asking.engine import Answer, Conversation, Sampling
from refute.errors import NonFiniteError, UsageError


class TransformersEngine:
    """A model folder in float32 on the CPU."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        torch.set_num_threads(threads)
        self._model: Any = load_model(folder, device="cpu")
        self._tokenizer: Any = read_tokenizer(folder, gguf=False)
        self._ends = _ends(self._model, self._tokenizer)

    @property
    def name(self) -> str:
        """Library and version."""
        return f"transformers {transformers.__version__}"

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return list(self._tokenizer(text)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens left out."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def prompt_of(self, conversation: Conversation) -> str:
        """A conversation as the template renders it. Raises UsageError where the model has none."""
        if not self._tokenizer.chat_template:
            raise UsageError("the model has no chat template", hint="ask with plain text, or add chat_template.jinja")
        return str(self._tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))

    @torch.inference_mode()
    def generate(self, prompt: Sequence[int], sampling: Sampling) -> Answer:
        """Go on from `prompt`, one token at a time.

        Raises UsageError for an empty prompt, NonFiniteError for logits that are none.
        """
        if not prompt:
            raise UsageError("the prompt has no token", hint="give a text for the model to go on from")
        draw = torch.Generator().manual_seed(sampling.seed)
        begun = time.perf_counter()
        found = self._model(input_ids=torch.tensor([list(prompt)]), use_cache=True)
        chosen = [self._next(found.logits[0, -1], sampling, draw)]
        answered = time.perf_counter()
        while len(chosen) < sampling.max_new_tokens and chosen[-1] not in self._ends:
            last = torch.tensor([[chosen[-1]]])
            found = self._model(input_ids=last, past_key_values=found.past_key_values, use_cache=True)
            chosen.append(self._next(found.logits[0, -1], sampling, draw))
        ended = time.perf_counter()
        return Answer(tuple(prompt), tuple(chosen), self.decode(chosen), answered - begun, ended - answered)

    @torch.inference_mode()
    def beside_bare(self, prompt: Sequence[int], sampling: Sampling) -> tuple[Answer, float]:
        """An answer, and the seconds of `model.generate` for as many tokens, greedy, right after it."""
        answer = self.generate(prompt, sampling)
        ids, count = torch.tensor([list(prompt)]), sampling.max_new_tokens
        settings = transformers.GenerationConfig(
            max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0, eos_token_id=None
        )
        begun = time.perf_counter()
        self._model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
        return answer, time.perf_counter() - begun

    def _next(self, logits: Tensor, sampling: Sampling, draw: torch.Generator) -> int:
        """`to_the_end` means that no end is chosen, here as in llama.cpp: else the two would go on from other ids."""
        if sampling.to_the_end and self._ends:
            logits = logits.index_fill(-1, torch.tensor(sorted(self._ends)), -math.inf)
        return _choose(logits, sampling, draw)


def _choose(logits: Tensor, sampling: Sampling, draw: torch.Generator) -> int:
    if not bool(logits.amax().isfinite()):
        raise NonFiniteError("the model's logits hold NaN or infinity", hint="`refute model lint` looks at its weights")
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    shares, order = torch.softmax(logits / sampling.temperature, dim=-1).sort(descending=True)
    beyond = shares.cumsum(dim=-1) - shares >= sampling.top_p
    beyond[0] = False  # the likeliest stays, whatever share is asked for
    shares[beyond] = 0.0
    return int(order[torch.multinomial(shares, 1, generator=draw)])


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    stated = model.generation_config.eos_token_id
    ids = stated if isinstance(stated, list) else [stated]
    return frozenset(number for number in (*ids, tokenizer.eos_token_id) if isinstance(number, int))
