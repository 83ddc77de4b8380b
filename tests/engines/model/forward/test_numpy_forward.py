"""The independent forward: it agrees with transformers on models it has never seen, and refuses the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from gguf import GGUFWriter

from refute.engines.model.forward.hf_weights import SafetensorsWeights
from refute.engines.model.forward.numpy_forward import reference_logits
from refute.errors import MissingInputsError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

Workshop = Any  # from conftest.py, which is no module that tests can import
IDS = np.array([5, 0, 299, 17, 17, 42, 8, 101, 250, 3, 77])


def _transformers(model: Any, ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        logits: np.ndarray[Any, Any] = model.double()(torch.from_numpy(ids)[None]).logits[0].numpy()
    return logits


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["llama", "llama3", "mistral", "qwen2", "qwen3"])
def test_folder_logits_equal_transformers(workshop: Workshop, kind: str, *, tied: bool) -> None:
    """From a Hugging Face folder: rotary halves, Llama 3's slow ones, a window, normed heads, biases, both heads."""
    model = workshop.model(kind, tied=tied)
    found = reference_logits(workshop.folder(model), IDS)
    np.testing.assert_allclose(found, _transformers(model, IDS), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "without"),
    [
        ("llama3", {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}}),
        ("mistral", {"sliding_window": None}),
        ("mistral", {"sliding_window": 5}),
    ],
)
def test_what_a_configuration_adds_shows_in_the_logits(
    workshop: Workshop, kind: str, without: dict[str, object]
) -> None:
    """The eleven positions are long enough for a window and slowed pairs to matter, so that leaving them out shows."""
    folder = workshop.folder(workshop.model(kind))
    found = reference_logits(folder, IDS)
    _edit_config(folder, **without)
    assert np.abs(found - reference_logits(folder, IDS)).max() > 0.05


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_gguf_logits_equal_the_model_it_was_written_from(workshop: Workshop, kind: str) -> None:
    """From GGUF: llama's permuted q and k need neighbouring rotary pairs, qwen2's need halves."""
    model = workshop.model(kind, tied=False)
    found = reference_logits(workshop.gguf_file(model), IDS)
    np.testing.assert_allclose(found, _transformers(model, IDS), atol=1e-4)


def test_bfloat16_folders_are_read_without_torch(workshop: Workshop) -> None:
    """bfloat16 has no numpy type; its bits still give exactly the stored numbers."""
    model = workshop.model("llama").bfloat16()
    weights = SafetensorsWeights(workshop.folder(model))
    stored = model.state_dict()["model.layers.1.mlp.up_proj.weight"].double().numpy()
    np.testing.assert_array_equal(weights.get("blk.1.ffn_up.weight"), stored)
    np.testing.assert_array_equal(weights.get("blk.1.ffn_up.weight", slice(3, 5)), stored[3:5])


def test_an_unknown_architecture_is_named_with_the_known_ones(workshop: Workshop) -> None:
    """No architecture is taken for llama because it looks like one, in either format."""
    model = workshop.model("llama")
    with pytest.raises(UsageError, match=r"architecture 'gemma3', only llama, mistral, qwen2, qwen3"):
        reference_logits(workshop.gguf_file(model, architecture="gemma3"), IDS)
    _edit_config(workshop.folder(model), model_type="mamba")
    with pytest.raises(UsageError, match=r"architecture 'mamba', only llama, mistral, qwen2, qwen3"):
        reference_logits(workshop.root / "hf", IDS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope type 'yarn'"),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "partial_rotary_factor = 0.5"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"use_sliding_window": True}, "a sliding window"),
        ({"num_hidden_layers": 1}, r"tensor 'blk\.1\.attn_k\.weight'"),
    ],
)
def test_what_the_forward_would_leave_out_is_refused(
    workshop: Workshop, change: dict[str, object], message: str
) -> None:
    """A feature or layer that is not computed is an error, not a silent difference."""
    folder = workshop.folder(workshop.model("llama"))
    _edit_config(folder, **change)
    with pytest.raises(UsageError, match=message):
        reference_logits(folder, IDS)


def test_scaled_rotary_metadata_of_a_gguf_is_refused(workshop: Workshop) -> None:
    """Linear rotary scaling changes every logit, so a file that asks for it is refused by key."""
    original = GGUFWriter.add_vocab_size

    def also_scale(writer: GGUFWriter, size: int) -> None:
        original(writer, size)
        writer.add_string("llama.rope.scaling.type", "linear")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GGUFWriter, "add_vocab_size", also_scale)
        path = workshop.gguf_file(workshop.model("llama"))
    with pytest.raises(UsageError, match=r"llama\.rope\.scaling\.type = 'linear'"):
        reference_logits(path, IDS)


def test_foreign_ids_and_cut_files_are_refused(workshop: Workshop) -> None:
    """Ids beyond the vocabulary (numpy would wrap negative ones) and truncated safetensors raise."""
    folder = workshop.folder(workshop.model("llama"))
    for foreign in (-1, 300):
        with pytest.raises(UsageError, match="expected 0 to 299"):
            reference_logits(folder, np.array([1, foreign]))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(MissingInputsError, match="no complete safetensors file"):
        reference_logits(folder, IDS)


def _edit_config(folder: Path, **change: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")


def test_normed_heads_are_computed_where_they_belong_and_demanded_there(workshop: Workshop) -> None:
    """A qwen3 without its head norms is not whole; a qwen2 that brings some would be computed without them."""
    folder = workshop.folder(workshop.model("qwen3"))
    _edit_config(folder, model_type="qwen2")
    with pytest.raises(UsageError, match=r"tensor 'blk\.0\.attn_k_norm\.weight'"):
        reference_logits(folder, IDS)
    folder = workshop.folder(workshop.model("qwen2"))
    _edit_config(folder, model_type="qwen3")
    with pytest.raises(MissingInputsError, match=r"no tensor for 'blk\.0\.attn_q_norm\.weight'"):
        reference_logits(folder, IDS)


@pytest.mark.parametrize("change", [{"factor": None}, {"low_freq_factor": 3.0}, {"high_freq_factor": "4"}])
def test_llama_3_without_its_numbers_is_refused(workshop: Workshop, change: dict[str, object]) -> None:
    """A number that is missing, of another type, or that divides by zero: named, with what to do."""
    folder = workshop.folder(workshop.model("llama3"))
    stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))["rope_parameters"]
    _edit_config(folder, rope_parameters=stated | change)
    with pytest.raises(MissingInputsError, match="expected positive numbers, and a high_freq_factor above the low one"):
        reference_logits(folder, IDS)
