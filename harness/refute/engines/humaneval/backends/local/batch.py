"""The tensors of rows that are decoded together: prompts in, the next token of each row out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache

from refute.engines.humaneval.backends.local.kv_cache import PackedLayer, prompt_states

# Positions that no row needs any more are dropped by so many at a time: each time the cache is copied once.
_FORGOTTEN = 32


@dataclass(frozen=True, slots=True)
class Choice:
    """The next token of a row, and whether all logits it was chosen from are finite."""

    token_id: int
    finite: bool


# Takes logits (rows, vocabulary) and the numbers of the prompts that they belong to; one token id a row.
Pick = Callable[[torch.Tensor, Sequence[int]], list[int]]


def most_likely(logits: torch.Tensor, _prompts: Sequence[int]) -> list[int]:
    """The token with the largest logit of each row."""
    found: list[int] = logits.argmax(-1).tolist()
    return found


@dataclass(frozen=True, slots=True)
class _Prefilled:
    """What a prompt left in the model: each layer's keys and values, and the logits of what follows."""

    prompt: Sequence[int]
    states: Sequence[tuple[torch.Tensor, torch.Tensor]]
    logits: torch.Tensor


class Batch:
    """`rows` rows with one shared cache. `admit` a prompt to every row, then call `next_choices` in turn with `admit`
    for rows that ended, or `keep` without them.

    `prompts` are all that will be admitted, each by its number, longest first. What they begin with alike goes
    through the model once, and so does a prompt that is like the one admitted before it.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[list[int]],
        rows: int,
        max_new_tokens: int,
        pick: Pick = most_likely,
    ) -> None:
        self._model = model
        self._prompts = prompts
        self._pick = pick
        self._length = len(prompts[0])
        self._capacity = self._length + max_new_tokens + _FORGOTTEN
        self._numbers = [-1] * rows
        self._starts = [self._length] * rows
        self._layers: list[PackedLayer] = []
        self._mask = torch.zeros(rows, self._capacity, dtype=torch.long, device=model.device)
        self._positions = torch.zeros(rows, 1, dtype=torch.long, device=model.device)
        self._before: _Prefilled | None = None
        self._prefix = self._shared_states()

    @torch.inference_mode()
    def admit(self, row: int, number: int) -> Choice:
        """Begin prompt `number` in `row`; returns its first new token.

        Prompts go through the model one at a time: nothing is padded, and a prompt's states do not depend on
        its batch. A few hundred tokens use 2 cores as well as more would (measured).
        """
        prompt = self._prompts[number]
        if self._before is None or self._before.prompt != prompt:
            self._before = self._prefill(prompt, self._prefix)
        if not self._layers:
            self._layers = [PackedLayer(len(self._numbers), self._length, self._capacity) for _ in self._before.states]
        for layer, (keys, values) in zip(self._layers, self._before.states, strict=True):
            layer.admit(row, keys, values)
        start = self._length - len(prompt)
        self._numbers[row], self._starts[row], self._positions[row] = number, start, len(prompt)
        self._mask[row] = 0
        self._mask[row, start:] = 1
        return self._choices(self._before.logits, [number])[0]

    @torch.inference_mode()
    def next_choices(self, tokens: Sequence[int]) -> list[Choice]:
        """Append one token to every row; returns what comes next in each."""
        self._forget_what_no_row_needs()
        self._length += 1
        output = self._model(
            input_ids=self._integers(tokens)[:, None],
            attention_mask=self._mask[:, : self._length],
            position_ids=self._positions,
            past_key_values=Cache(layers=list(self._layers)),
            use_cache=True,
        )
        self._positions = self._positions + 1
        return self._choices(output.logits[:, -1], self._numbers)

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Drop every row that is not in `rows`."""
        index = self._integers(rows)
        for layer in self._layers:
            layer.batch_select_indices(index)
        self._positions, self._mask = self._positions[index], self._mask[index]
        self._numbers = [self._numbers[row] for row in rows]
        self._starts = [self._starts[row] for row in rows]

    def _forget_what_no_row_needs(self) -> None:
        unneeded = min(self._starts)
        if unneeded < _FORGOTTEN:
            return
        for layer in self._layers:
            layer.forget(unneeded)
        self._length -= unneeded
        self._starts = [start - unneeded for start in self._starts]
        for row, start in enumerate(self._starts):
            self._mask[row, start:] = 1

    @torch.inference_mode()
    def _shared_states(self) -> _Prefilled | None:
        """The states of the tokens that all prompts begin with; the last token of a prompt is its own."""
        # The least and the greatest differ where any two do.
        pairs = zip(min(self._prompts), max(self._prompts), strict=False)
        alike = [token for token, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
        shared = alike[: min(map(len, self._prompts)) - 1]
        several = any(prompt != self._prompts[0] for prompt in self._prompts)
        return self._prefill(shared, None) if shared and several else None

    def _prefill(self, prompt: Sequence[int], behind: _Prefilled | None) -> _Prefilled:
        cache, known = DynamicCache(), 0
        if behind is not None:
            known = len(behind.prompt)
            for layer, (keys, values) in enumerate(behind.states):
                cache.update(keys, values, layer)
        output = self._model(
            input_ids=self._integers(prompt[known:])[None], past_key_values=cache, use_cache=True, logits_to_keep=1
        )
        return _Prefilled(prompt, prompt_states(cache), output.logits[:, -1])

    def _integers(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._model.device)

    def _choices(self, logits: torch.Tensor, prompts: Sequence[int]) -> list[Choice]:
        # A sum in float32 is finite exactly if its terms are: no logit comes near 1e33.
        finite = torch.isfinite(logits.sum(-1, dtype=torch.float32)).tolist()
        return [Choice(token, ok) for token, ok in zip(self._pick(logits, prompts), finite, strict=True)]
