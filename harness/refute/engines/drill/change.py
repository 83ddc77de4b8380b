"""What a fault does to a value on its way: a list of tensors or of texts goes in, another one comes out."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import Tensor

from refute.spec.experiments.drill import Fault

Value = TypeVar("Value", Tensor, str)
# Values, and what may be drawn from: which of them, noise, and the number of the hand-over.
Act = Callable[[list[Value], random.Random, torch.Generator, int], list[Value]]

# Lists that are longer are of a model's parameters: half of them starve, not half of each.
_FEW = 4
_FACTOR = 2.0


class Change:
    """One fault at work. It is shown every hand-over, in order, and remembers the first and the one before."""

    def __init__(self, fault: Fault, seed: int) -> None:
        self._fault = fault
        self._chance = random.Random(seed)  # noqa: S311  # reproducible, and no secret
        self._noise = torch.Generator().manual_seed(seed)
        self._calls = 0
        self._first: list[Any] = []
        self._before: list[Any] = []

    def tensors(self, given: Sequence[Tensor], leaked: Sequence[Tensor] = ()) -> list[Tensor]:
        """What is handed over instead of `given`. Never in place; of what can be differentiated, so can this."""
        kept = [each.detach().clone() for each in given]
        return self._pass(list(given), kept, list(leaked), _TENSORS)

    def texts(self, given: Sequence[str], leaked: Sequence[str] = ()) -> list[str]:
        """What is handed over instead of `given`."""
        return self._pass(list(given), list(given), list(leaked), _TEXTS)

    def _pass(
        self, given: list[Value], kept: list[Value], leaked: list[Value], acts: Mapping[str, Act[Value]]
    ) -> list[Value]:
        number, first, before = self._calls, self._first or kept, self._before or kept
        self._calls, self._first, self._before = number + 1, first, kept
        kind = self._fault.kind
        if not self._fault.begins <= number < self._fault.ends:
            return given
        if kind in acts:
            return acts[kind](given, self._chance, self._noise, number)
        found = {"leak": leaked, "delay": before, "repeat": first}[kind]
        # Where nothing like it was there before, or nothing can leak, this hand-over is what it is.
        return list(found) if _alike(found, given) else given


def _alike(found: Sequence[object], given: Sequence[object]) -> bool:
    shapes = [[getattr(each, "shape", None) for each in values] for values in (found, given)]
    return shapes[0] == shapes[1]


def _drop(given: list[Tensor], *_: object) -> list[Tensor]:
    return [each * 0 for each in given]


def _scale(given: list[Tensor], *_: object) -> list[Tensor]:
    return [each * _FACTOR for each in given]


def _swap(given: list[Tensor], *_: object) -> list[Tensor]:
    """Neighbours along the first axis change places; without one, nothing does."""
    return [each.roll(1, dims=0) if each.ndim else each for each in given]


def _starve(given: list[Tensor], _chance: object, _noise: object, number: int) -> list[Tensor]:
    """Half of it arrives: of many tensors every other one, of one its first rows, of a number every other time."""
    if len(given) > _FEW:
        return [each * (place % 2) for place, each in enumerate(given)]
    return [_half(each) if each.ndim else each * (number % 2) for each in given]


def _half(each: Tensor) -> Tensor:
    there = torch.arange(len(each), device=each.device) < max(1, len(each) // 2)
    return each * there.reshape(-1, *[1] * (each.ndim - 1)).to(each.dtype)


def _invent(given: list[Tensor], _chance: object, noise: torch.Generator, _number: int) -> list[Tensor]:
    """Numbers of the same size that nothing has computed; of whole numbers, those that are there in another order."""
    return [_noise_like(each, noise) if each.is_floating_point() else _shuffled(each, noise) for each in given]


def _noise_like(each: Tensor, noise: torch.Generator) -> Tensor:
    drawn = torch.randn(each.shape, generator=noise, dtype=each.dtype)
    size = each.detach().std() if each.numel() > 1 else each.detach().abs()
    # A zero times the value: whoever differentiates it still finds a way back.
    return each * 0 + each.detach().mean() + drawn * size


def _shuffled(each: Tensor, noise: torch.Generator) -> Tensor:
    return each.flatten()[torch.randperm(each.numel(), generator=noise)].reshape(each.shape)


_TENSORS: Mapping[str, Act[Tensor]] = MappingProxyType(
    {"drop": _drop, "scale": _scale, "swap": _swap, "starve": _starve, "invent": _invent}
)


def _invented_text(given: list[str], chance: random.Random, *_: object) -> list[str]:
    return ["".join(chance.choice("abcdefgh() \n") for _ in range(max(len(each), 8))) for each in given]


_TEXTS: Mapping[str, Act[str]] = MappingProxyType(
    {
        "drop": lambda given, *_: ["" for _ in given],
        "scale": lambda given, *_: [each * 2 for each in given],
        "swap": lambda given, *_: [*given[1:], *given[:1]],
        "starve": lambda given, *_: [each[: len(each) // 2] for each in given],
        "invent": _invented_text,
    }
)
