"""The tensors of rows that are decoded together: prompts in, the next token of each row out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache

from refute.engines.humaneval.backends.local.kv_cache import PackedLayer, prompt_states


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


class Batch:
    """Rows with one shared cache: exhaust `prompts` first, then `next_choices`, and `keep` as rows finish."""

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        pick: Pick = most_likely,
    ) -> None:
        self._model = model
        self._prompts = prompts
        self._pick = pick
        self._rows = list(range(len(prompts)))
        self._width = max(len(prompt) for prompt in prompts)
        self._capacity = self._width + max_new_tokens
        self._layers: list[PackedLayer] = []
        self._seen = self._width
        self._mask = torch.ones(len(prompts), self._capacity, dtype=torch.long, device=model.device)
        for row, prompt in enumerate(prompts):
            self._mask[row, : self._width - len(prompt)] = 0
        self._positions = self._integers([len(prompt) for prompt in prompts])[:, None]

    def prompts(self) -> Iterator[Choice]:
        """Each prompt's first new token, in order.

        Prompts go through the model one at a time: nothing is padded, and a prompt's states do not depend on
        its batch. A few hundred tokens use 2 cores as well as more would (measured).
        """
        for row in range(len(self._prompts)):
            yield self._prefill(row)

    @torch.inference_mode()
    def next_choices(self, tokens: Sequence[int]) -> list[Choice]:
        """Append one token to every row; returns what comes next in each."""
        self._seen += 1
        output = self._model(
            input_ids=self._integers(tokens)[:, None],
            attention_mask=self._mask[:, : self._seen],
            position_ids=self._positions,
            past_key_values=Cache(layers=list(self._layers)),
            use_cache=True,
        )
        self._positions = self._positions + 1
        return self._choices(output.logits[:, -1], self._rows)

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Drop every row that is not in `rows`."""
        index = self._integers(rows)
        for layer in self._layers:
            layer.batch_select_indices(index)
        self._positions = self._positions[index]
        self._rows = [self._rows[row] for row in rows]
        self._mask = self._mask[index]

    @torch.inference_mode()
    def _prefill(self, row: int) -> Choice:
        prompt = DynamicCache()
        output = self._model(
            input_ids=self._integers(self._prompts[row])[None],
            past_key_values=prompt,
            use_cache=True,
            logits_to_keep=1,
        )
        states = prompt_states(prompt)
        if not self._layers:
            rows = len(self._prompts)
            self._layers = [PackedLayer(rows, self._width, self._capacity) for _ in states]
        for layer, (keys, values) in zip(self._layers, states, strict=True):
            layer.admit(row, keys, values)
        return self._choices(output.logits[:, -1], [row])[0]

    def _integers(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._model.device)

    def _choices(self, logits: torch.Tensor, prompts: Sequence[int]) -> list[Choice]:
        # A sum in float32 is finite exactly if its terms are: no logit comes near 1e33.
        finite = torch.isfinite(logits.sum(-1, dtype=torch.float32)).tolist()
        return [Choice(token, ok) for token, ok in zip(self._pick(logits, prompts), finite, strict=True)]
