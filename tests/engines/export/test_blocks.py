"""K-quants, which another package writes: read back by the dequantisers of `gguf`; and which of them rows allow."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize

from refute.engines.export.gguf.blocks import to_blocks
from refute.engines.export.gguf.recipes import Label, stored_as
from refute.errors import MissingDependencyError

KIND = GGMLQuantizationType


@pytest.mark.parametrize(("kind", "off"), [(KIND.Q4_K, 0.08), (KIND.Q5_K, 0.04), (KIND.Q6_K, 0.02)])
def test_kquants_are_what_gguf_reads(kind: GGMLQuantizationType, off: float) -> None:
    """As near as so many bits are, row by row in their order."""
    numbers = np.random.default_rng(17).normal(0.0, 1.0, (6, 512)).astype(np.float32)
    read = dequantize(to_blocks("x", numbers, kind), kind)
    lacking = np.linalg.norm(read - numbers, axis=1) / np.linalg.norm(numbers, axis=1)
    assert 0 < lacking.min() <= lacking.max() < off


def test_the_extra_is_named_where_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other formats need nothing."""
    monkeypatch.setitem(sys.modules, "libgguf", None)
    with pytest.raises(MissingDependencyError) as caught:
        to_blocks("x", np.ones((1, 256), np.float32), KIND.Q4_K)
    assert caught.value.hint == "pip install 'refute[kquant]'"


@pytest.mark.parametrize(
    ("name", "row", "label", "kind"),
    [
        ("blk.5.attn_q.weight", 1024, Label.Q4_K_M, KIND.Q4_K),
        ("blk.0.ffn_down.weight", 1024, Label.Q4_K_M, KIND.Q6_K),  # the first eighth of the layers
        ("blk.5.ffn_down.weight", 1024, Label.Q4_K_M, KIND.Q4_K),
        ("token_embd.weight", 1024, Label.Q4_K_M, KIND.Q6_K),
        ("blk.5.attn_q.weight", 576, Label.Q4_K_M, KIND.Q5_0),  # SmolLM2's width
        ("blk.5.attn_q.weight", 576, Label.Q5_K_M, KIND.Q5_1),
        ("blk.5.attn_q.weight", 576, Label.Q6_K, KIND.Q8_0),
        ("blk.5.attn_q.weight", 100, Label.Q4_0, KIND.F16),
        ("blk.5.attn_q.bias", 0, Label.Q4_0, KIND.F32),
    ],
)
def test_formats_follow_label_and_rows(name: str, row: int, label: Label, kind: GGMLQuantizationType) -> None:
    """As llama.cpp's own quantiser chooses them; where no block fits, the next larger format."""
    shape = (64, row) if row else (64,)
    assert stored_as(name, shape, label, layers=16).kind == kind
