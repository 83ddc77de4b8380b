"""Rules about the numbers themselves, of folders and of GGUF files, whose blocks are dequantised."""

from __future__ import annotations

import re
from collections.abc import Iterator

from refute.engines.model.tools.lint.rule import Rule
from refute.engines.model.tools.stored import StoredModel
from refute.engines.model.tools.tensor_health import TensorHealth, repeated_layers, scan_tensors, unread_tensors

# Rows of tokens: padding beyond the last token may be zero.
_TOKENS = re.compile(r"(embed_tokens|lm_head|token_embd|^output)\.weight$")
# Root mean squares of trained matrices and norms lie well within.
_SCALE = (1e-6, 1e3)


def _numbers(stored: StoredModel) -> Iterator[str]:
    """One pass for all of what is an error."""
    health = list(scan_tensors(stored))
    for each in health:
        yield from _faults(each)
    for before, again in repeated_layers(health):
        yield f"layer {again} is layer {before} to the last bit"


def _unread(stored: StoredModel) -> Iterator[str]:
    for dtype, names in unread_tensors(stored).items():
        yield f"no number of {len(names)} {dtype} tensors was looked at, such as {names[0]}"


def _faults(each: TensorHealth) -> Iterator[str]:
    if each.nan or each.infinite:
        yield f"{each.name} holds {each.nan} NaN and {each.infinite} infinities among {each.numbers} numbers"
        return
    is_matrix = each.rows > 1
    if each.constant and is_matrix:
        yield f"{each.name} is {each.largest:g} throughout"
    elif each.zero_rows and _counts(each):
        yield f"{each.name} has {each.zero_rows} rows of zeros of {each.rows}"
    elif is_matrix and not _SCALE[0] <= each.rms <= _SCALE[1]:
        yield f"{each.name} has a root mean square of {each.rms:.3g}"


def _counts(each: TensorHealth) -> bool:
    """Whether rows of zeros are a fault: a bias may be zero, and so may rows of tokens, but not all of them."""
    if each.rows == 1:
        return "norm" in each.name
    return not _TOKENS.search(each.name) or each.zero_rows == each.rows


RULES = (
    Rule(
        "weights/numbers",
        "error",
        "physics",
        "do not publish: convert or train again, and find where it happened",
        _numbers,
        ("hf", "gguf"),
    ),
    Rule(
        "weights/unread",
        "error",
        "physics",
        "store it in F32, F16 or BF16, or in a GGUF file: what nobody looked at may be NaN",
        _unread,
        ("hf", "gguf"),
    ),
)
