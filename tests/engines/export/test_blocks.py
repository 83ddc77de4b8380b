"""K-quants, which another package writes: read back by the dequantisers of `gguf`; and which of them rows allow."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from pydantic import ValidationError

from refute.cli.model.export import Type
from refute.engines.export.gguf.blocks import to_blocks
from refute.engines.export.gguf.recipes import RECIPES, stored_as
from refute.errors import MissingDependencyError
from refute.spec.publication import ExportLabel, Publication

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
        ("blk.5.attn_q.weight", 1024, ExportLabel.Q4_K_M, KIND.Q4_K),
        ("blk.0.ffn_down.weight", 1024, ExportLabel.Q4_K_M, KIND.Q6_K),  # the first eighth of the layers
        ("blk.5.ffn_down.weight", 1024, ExportLabel.Q4_K_M, KIND.Q4_K),
        ("token_embd.weight", 1024, ExportLabel.Q4_K_M, KIND.Q6_K),
        ("blk.5.attn_q.weight", 576, ExportLabel.Q4_K_M, KIND.Q5_0),  # SmolLM2's width
        ("blk.5.attn_q.weight", 576, ExportLabel.Q5_K_M, KIND.Q5_1),
        ("blk.5.attn_q.weight", 576, ExportLabel.Q6_K, KIND.Q8_0),
        ("blk.5.attn_q.weight", 100, ExportLabel.Q4_0, KIND.F16),
        ("blk.5.attn_q.bias", 0, ExportLabel.Q4_0, KIND.F32),
    ],
)
def test_formats_follow_label_and_rows(name: str, row: int, label: ExportLabel, kind: GGMLQuantizationType) -> None:
    """As llama.cpp's own quantiser chooses them; where no block fits, the next larger format."""
    shape = (64, row) if row else (64,)
    assert stored_as(name, shape, label, layers=16).kind == kind


def test_every_label_that_a_release_may_name_can_be_written() -> None:
    """The release's, those of the command, those that the page promises: one list."""
    labels = {label.value for label in ExportLabel}
    assert set(RECIPES) == set(ExportLabel)
    assert {kind.value for kind in Type} == labels
    by_another_package = {KIND.Q4_K, KIND.Q5_K, KIND.Q6_K}
    assert all(label.is_kquant == (recipe.matrices in by_another_package) for label, recipe in RECIPES.items())
    page = (Path(__file__).parents[3] / "docs/export.md").read_text(encoding="utf-8")
    table = page.partition("| type |")[2].partition("\n\n")[0]
    assert {name for row in table.splitlines() for name in re.findall("`([A-Z0-9_]+)`", row)} == labels


@pytest.mark.parametrize(("label", "known"), [("Q4_K_M", True), ("Q5_K_M", True), ("Q4_K", False), ("Q2_K", False)])
def test_a_release_names_labels_that_can_be_written(label: str, known: bool) -> None:
    """The others are refused before anything is trained."""
    model = {"repo": "org/teacher", "licence": "mit"}
    card = {"summary": "A model.", "languages": ["en"]}
    stated = {"name": "x", "licence": "mit", "licence_file": "LICENSE", "teacher": model, "card": card}
    text = json.dumps({**stated, "rehearsal": True, "exports": [label]})
    if known:
        assert Publication.model_validate_json(text).exports == (ExportLabel(label),)
    else:
        with pytest.raises(ValidationError, match=r"exports\.0"):
            Publication.model_validate_json(text)
