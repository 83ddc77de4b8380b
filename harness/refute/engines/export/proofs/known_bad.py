"""Conversions with one thing wrong, as published files had it: a proof that holds for one of these proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from gguf import TokenType

from refute.engines.export.gguf.architectures import in_llama_cpp_order, is_permuted
from refute.engines.export.gguf.blocks import Numbers
from refute.engines.export.gguf.file import ModelWeights, Source
from refute.engines.model.forward.weights import Shape

Fault = Callable[[Source], Source]
_ROPE_FACTORS = "rope_freqs.weight"


@dataclass(frozen=True, slots=True)
class _Altered:
    """Weights of which some are others: `shape` in place of theirs, and by name what each tensor is made of."""

    weights: ModelWeights
    shape: Shape
    names: tuple[str, ...]
    made: Mapping[str, Callable[[], Numbers]]

    def size(self, name: str) -> tuple[int, ...]:
        return self.made[name]().shape if name in self.made else self.weights.size(name)

    def float32(self, name: str) -> Numbers:
        return self.made[name]() if name in self.made else self.weights.float32(name)


def _altered(source: Source, made: Mapping[str, Callable[[], Numbers]], **shape: float) -> Source:
    weights = source.weights
    names = (*weights.names, *sorted(set(made) - set(weights.names)))
    changed = _Altered(weights, replace(weights.shape, **shape), names, made)  # type: ignore[arg-type]  # by name
    return replace(source, weights=changed)


def other_rope_base(source: Source) -> Source:
    """The base that a reader takes who does not find the model's."""
    return _altered(source, {}, rope_base=1e6 if source.weights.shape.rope_base == 1e4 else 1e4)


def unpermuted_queries_and_keys(source: Source) -> Source:
    """The rows of q and k as transformers has them, for a kernel that pairs neighbours."""
    weights = source.weights
    names = [name for name in weights.names if is_permuted(name, weights.shape)]
    return _altered(source, {name: _undone(weights, name) for name in names})


def _undone(weights: ModelWeights, name: str) -> Callable[[], Numbers]:
    """A tensor that the writer's own permutation brings back to what it was."""

    def make() -> Numbers:
        numbers = weights.float32(name)
        order = in_llama_cpp_order(name, np.arange(len(numbers), dtype=np.float32), weights.shape).astype(int)
        back = np.empty_like(numbers)
        back[order] = numbers
        return back

    return make


def another_head(source: Source) -> Source:
    """A head of its own where the embedding is the head: a tie that a merge forgot."""
    weights = source.weights
    head = "output.weight" if "output.weight" in weights.names else "token_embd.weight"
    return _altered(source, {"output.weight": lambda: np.roll(weights.float32(head), 1, axis=0)})


def swapped_layers(source: Source) -> Source:
    """The first layer where the last belongs, and the other way round."""
    weights, last = source.weights, source.weights.shape.layers - 1
    made: dict[str, Callable[[], Numbers]] = {}
    for name in weights.names:
        if name.startswith(("blk.0.", f"blk.{last}.")):
            _, layer, part = name.split(".", 2)
            other = f"blk.{last - int(layer)}.{part}"
            made[name] = lambda other=other: weights.float32(other)  # type: ignore[misc]  # bound now
    return _altered(source, made)


def lost_rope_factors(source: Source) -> Source:
    """Without the divisors by which long contexts slow their rotary frequencies down."""
    weights = source.weights
    return _altered(source, {_ROPE_FACTORS: lambda: np.ones_like(weights.float32(_ROPE_FACTORS))})


def conversions(source: Source) -> dict[str, Source]:
    """Every conversion of `source` with a fault that this architecture can have, by the fault's name."""
    shape = source.weights.shape
    faults: list[Fault] = [other_rope_base, another_head]
    if any(is_permuted(name, shape) for name in source.weights.names):
        faults.append(unpermuted_queries_and_keys)
    if shape.layers > 1:
        faults.append(swapped_layers)
    if _ROPE_FACTORS in source.weights.names:
        faults.append(lost_rope_factors)
    return {fault.__name__: fault(source) for fault in faults}


def without_splitting(source: Source) -> Source:
    """No name of how text is split: llama.cpp takes its default and says nothing."""
    return replace(source, vocabulary=replace(source.vocabulary, pre="default"))


def every_token_normal(source: Source) -> Source:
    """Types under which `<|im_start|>` is nine letters."""
    types = (int(TokenType.NORMAL),) * len(source.vocabulary.types)
    return replace(source, vocabulary=replace(source.vocabulary, types=types))


def swapped_tokens(source: Source) -> Source:
    """Two tokens that every text has, each under the other's id."""
    tokens = list(source.vocabulary.tokens)
    one, other = (tokens.index(letter) for letter in "ae")
    tokens[one], tokens[other] = tokens[other], tokens[one]
    return replace(source, vocabulary=replace(source.vocabulary, tokens=tuple(tokens)))


def dropped_added_token(source: Source) -> Source:
    """One of the added tokens became a row that is never used."""
    vocabulary = source.vocabulary
    last = max(n for n, kind in enumerate(vocabulary.types) if kind in (TokenType.CONTROL, TokenType.USER_DEFINED))
    types = [*vocabulary.types[:last], int(TokenType.UNUSED), *vocabulary.types[last + 1 :]]
    tokens = (*vocabulary.tokens[:last], f"[PAD{last}]", *vocabulary.tokens[last + 1 :])
    return replace(source, vocabulary=replace(vocabulary, types=tuple(types), tokens=tokens))


def without_template(source: Source) -> Source:
    """No chat template: llama.cpp makes one up, and says nothing."""
    return replace(source, vocabulary=replace(source.vocabulary, chat_template=None))


def edited_template(source: Source) -> Source:
    """A template that says one word more."""
    template = source.vocabulary.chat_template
    return replace(source, vocabulary=replace(source.vocabulary, chat_template=f"Listen. {template}"))


def other_end(source: Source) -> Source:
    """Another token ends texts than ends the model's turns."""
    vocabulary = source.vocabulary
    another = next(n for n in range(len(vocabulary.tokens)) if n not in vocabulary.ends)
    special = {**vocabulary.special, "eos": another}
    return replace(source, vocabulary=replace(vocabulary, special=special, ends=(another,)))
