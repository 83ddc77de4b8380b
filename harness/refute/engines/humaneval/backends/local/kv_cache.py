"""Keys and values of many rows in one preallocated block, which rows enter and leave one by one.

transformers' DynamicCache copies itself at every token: 39 % of a decoding step of 30 layers with 32 rows and
256 positions on 2 cores (measured with torch.profiler), as much as all matrix products together.
"""

from __future__ import annotations

import torch
from transformers.cache_utils import Cache, DynamicLayer

from refute.errors import ExperimentError


class PackedLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped for mypy
    """One layer's keys and values, `(rows, heads, positions, head size)`; every row ends at position `length`.

    Every layer is kept whole, those with a sliding window too: the model's mask hides what lies outside.
    """

    def __init__(self, rows: int, length: int, capacity: int) -> None:
        super().__init__()
        self.rows = rows
        self.capacity = capacity
        self.length = length

    def admit(self, row: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Put a prompt's states, `(1, heads, prompt length <= length, head size)`, into `row`, whatever it held."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
            self._key_store = self._room_for(keys)
            self._value_store = self._room_for(values)
        start = self.length - keys.shape[-2]
        self._key_store[row, :, start : self.length] = keys[0]
        self._value_store[row, :, start : self.length] = values[0]
        self._show()

    def forget(self, positions: int) -> None:
        """Drop the first `positions` of every row."""
        for store in (self._key_store, self._value_store):
            store[:, :, : self.length - positions] = store[:, :, positions : self.length].clone()
        self.length -= positions
        self._show()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: object, **_kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append one position to every row; returns views of all so far. ValueError when it is full."""
        end = self.length + key_states.shape[-2]
        if end > self.capacity:
            raise ValueError(f"{end} positions do not fit into a cache made for {self.capacity}")
        self._key_store[:, :, self.length : end] = key_states
        self._value_store[:, :, self.length : end] = value_states
        self.length = end
        return self._show()

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep only the rows at `indices`."""
        self._key_store = self._key_store[indices]
        self._value_store = self._value_store[indices]
        self._show()

    def _room_for(self, states: torch.Tensor) -> torch.Tensor:
        _, heads, _, size = states.shape
        # Zeros, not whatever was in memory: padding is masked, but 0 * NaN would still be NaN.
        return states.new_zeros(self.rows, heads, self.capacity, size)

    def _show(self) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys = self._key_store[:, :, : self.length]
        self.values = self._value_store[:, :, : self.length]
        return self.keys, self.values


def prompt_states(prompt: Cache) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Each layer's keys and values. Raises ExperimentError for a layer without, such as a recurrent one."""
    states: list[tuple[torch.Tensor, torch.Tensor]] = []
    for number, layer in enumerate(prompt.layers):
        if not isinstance(layer, DynamicLayer) or layer.keys is None or layer.values is None:
            raise ExperimentError(
                f"layer {number} keeps its state in a {type(layer).__name__}, expected keys and values",
                hint="models with recurrent layers cannot be decoded by this backend",
            )
        states.append((layer.keys, layer.values))
    return states
