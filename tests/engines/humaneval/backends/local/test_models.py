"""Loading refuses whatever is incomplete."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from refute.engines.humaneval.backends.local.models import load_model
from refute.errors import MissingInputsError
from refute.job import Inputs
from refute.spec.experiments.humaneval import EvidenceModel, RandomModel, SourceModel
from refute.spec.release import GgufModel, HfModel, Source


def test_source_folder_and_evidence_are_the_same_model(student: Path) -> None:
    """Both ways of naming a folder load the same weights in float32."""
    source = SourceModel(kind="source", model=HfModel(format="hf", path="x"), path=str(student / "model"))
    one = load_model(source, {}, device="cpu")
    evidence = EvidenceModel(kind="evidence", name="student")
    two = load_model(evidence, {"student": Inputs("student", student)}, device="cpu")
    assert one.model.lm_head.weight.dtype.is_floating_point
    assert one.model.lm_head.weight.equal(two.model.lm_head.weight)
    assert not one.model.training


def test_random_model_has_the_shape_and_the_number_of_layers_asked_for(student: Path) -> None:
    """A null model is a shallower twin with weights of its own."""
    choice = RandomModel(kind="random", name="student", layers=1, seed=3)
    loaded = load_model(choice, {"student": Inputs("student", student)}, device="cpu")
    assert loaded.model.config.num_hidden_layers == 1
    assert loaded.model.lm_head.weight.shape == (330, 32)


def test_a_folder_without_tokenizer_is_refused(student: Path) -> None:
    """No tokenizer is an error, never a made-up one."""
    for file in (student / "model").glob("tokenizer*"):
        file.unlink()
    source = SourceModel(kind="source", model=HfModel(format="hf", path="x"), path=str(student / "model"))
    with pytest.raises(MissingInputsError, match="no usable tokenizer"):
        load_model(source, {}, device="cpu")


def test_weights_that_do_not_cover_the_model_are_refused(student: Path) -> None:
    """transformers would fill the gap with random numbers; this does not."""
    path = student / "model" / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.down_proj.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    source = SourceModel(kind="source", model=HfModel(format="hf", path="x"), path=str(student / "model"))
    with pytest.raises(MissingInputsError, match=r"1 tensors are missing.*down_proj"):
        load_model(source, {}, device="cpu")


def test_truncated_weights_are_refused(student: Path) -> None:
    """A file cut short is named."""
    path = student / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    source = SourceModel(kind="source", model=HfModel(format="hf", path="x"), path=str(student / "model"))
    with pytest.raises(MissingInputsError, match="no usable model"):
        load_model(source, {}, device="cpu")


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    """A wrong file under a GGUF's name is an error that names it."""
    path = tmp_path / "teacher.gguf"
    path.write_bytes(b"not a model")
    origin = GgufModel(format="gguf", source=Source(path="teacher.gguf", sha256="0" * 64))
    with pytest.raises(MissingInputsError, match=r"teacher\.gguf holds no usable"):
        load_model(SourceModel(kind="source", model=origin, path=str(path)), {}, device="cpu")


def test_evidence_that_was_not_given_is_named() -> None:
    """A plan that forgets an input is told which."""
    with pytest.raises(MissingInputsError, match="evidence 'init'"):
        load_model(EvidenceModel(kind="evidence", name="init"), {}, device="cpu")
