"""The teacher provider: logits at every position from real files, and a clear error for anything less."""

from __future__ import annotations

import socket
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
)

from refute.engines.distill.teacher.loaded import has_plain_head, load_teacher
from refute.engines.model.forward.numpy_forward import reference_logits
from refute.errors import ExperimentError, MissingInputsError, NonFiniteError, UsageError

Workshop = Any  # from conftest.py, which is no module that tests can import
IDS = torch.tensor([[5, 0, 299, 17, 17, 42, 8], [1, 2, 3, 4, 5, 6, 7]])


@pytest.mark.parametrize(
    ("kind", "block_format"), [("llama", "F32"), ("llama", "Q8_0"), ("qwen2", "Q4_1"), ("qwen3", "F16")]
)
def test_gguf_logits_agree_with_the_independent_forward(workshop: Workshop, kind: str, block_format: str) -> None:
    """Dequantised weights, un-permuted and run by transformers, give the reference's logits at all positions."""
    path = workshop.gguf_file(workshop.model(kind), block_format=block_format)
    teacher = load_teacher(workshop.gguf_source, path, device="cpu")
    found = teacher.logits(IDS)
    expected = np.stack([reference_logits(path, row.numpy()) for row in IDS])
    assert found.dtype == torch.float32
    assert not found.requires_grad
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_folder_gives_the_models_own_logits_and_count(workshop: Workshop) -> None:
    """A Hugging Face folder answers as the model that was saved; tied weights are counted once."""
    model = workshop.model("qwen2")
    teacher = load_teacher(workshop.hf_source, workshop.folder(model), device="cpu")
    with torch.no_grad():
        torch.testing.assert_close(teacher.logits(IDS), model(IDS).logits)
    assert teacher.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (teacher.vocab_rows, teacher.tokenizer.eos_token) == (300, "<|end|>")
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())


def test_bfloat16_is_honoured_and_still_answers_in_float32(workshop: Workshop) -> None:
    """`dtype` reaches the weights; logits come back as float32."""
    teacher = load_teacher(workshop.hf_source, workshop.folder(workshop.model("llama")), device="cpu", dtype="bfloat16")
    assert teacher.model.dtype == torch.bfloat16
    assert teacher.logits(IDS).dtype == torch.float32


@pytest.mark.filterwarnings("ignore:When grouping")
def test_nothing_is_fetched_and_no_bar_is_drawn(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Loading opens no connection and leaves the console to the caller."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    path = workshop.gguf_file(workshop.model("llama"))
    capfd.readouterr()
    monkeypatch.setattr(socket.socket, "connect", refuse)
    load_teacher(workshop.gguf_source, path, device="cpu")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("keep", [0, 3, 2_000, 60_000])
def test_a_cut_gguf_is_named_with_its_size(workshop: Workshop, keep: int) -> None:
    """Wherever the file ends too early, the error says which file, how large, and what was expected."""
    path = workshop.gguf_file(workshop.model("llama"))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(MissingInputsError, match=rf"model\.gguf \({keep} bytes\).*GGUF") as caught:
        load_teacher(workshop.gguf_source, path, device="cpu")
    assert caught.value.hint


def test_garbage_and_absent_files_are_missing_inputs(workshop: Workshop) -> None:
    """A file of noise behind the magic, an HTML page and no file at all are all MissingInputsError."""
    path = workshop.root / "model.gguf"
    for content in (b"GGUF" + bytes(range(256)), b"<html>not found</html>"):
        path.write_bytes(content)
        with pytest.raises(MissingInputsError, match=r"model\.gguf"):
            load_teacher(workshop.gguf_source, path, device="cpu")
    with pytest.raises(MissingInputsError, match="no GGUF file at"):
        load_teacher(workshop.gguf_source, workshop.root / "other.gguf", device="cpu")
    with pytest.raises(MissingInputsError, match=r"lacks config\.json and \*\.safetensors"):
        load_teacher(workshop.hf_source, workshop.root, device="cpu")


def test_a_folder_without_all_weights_is_refused(workshop: Workshop) -> None:
    """Weights that transformers would fill with noise are an error, with the name of one."""
    model = workshop.model("llama")
    folder = workshop.folder(model)
    state = {name: tensor for name, tensor in model.state_dict().items() if "1.mlp.up_proj" not in name}
    model.save_pretrained(folder, state_dict=state)
    with pytest.raises(MissingInputsError, match=r"lacks 1 weights \['model\.layers\.1\.mlp\.up_proj"):
        load_teacher(workshop.hf_source, folder, device="cpu")


def test_an_architecture_that_transformers_cannot_build_is_an_experiment_error(workshop: Workshop) -> None:
    """A whole file of an unknown architecture is not called damaged."""
    path = workshop.gguf_file(workshop.model("llama"), architecture="unheard")
    with pytest.raises(ExperimentError, match="cannot build the gguf model"):
        load_teacher(workshop.gguf_source, path, device="cpu")


@pytest.mark.parametrize("ids", [[[300]], [[-1]]])
def test_foreign_ids_are_refused(workshop: Workshop, ids: list[list[int]]) -> None:
    """Ids beyond the vocabulary say so, instead of an index error (or a dead device)."""
    teacher = load_teacher(workshop.hf_source, workshop.folder(workshop.model("llama")), device="cpu")
    with pytest.raises(UsageError, match="the teacher knows 0 to 299"):
        teacher.logits(torch.tensor(ids))
    with pytest.raises(UsageError, match=r"\(B, L\) integers"):
        teacher.logits(torch.tensor([1.0]))


def test_nan_logits_are_caught_at_the_teacher(workshop: Workshop) -> None:
    """A teacher with a NaN weight raises before its logits reach a loss."""
    model = workshop.model("llama")
    with torch.no_grad():
        model.model.norm.weight[3] = torch.nan
    teacher = load_teacher(workshop.hf_source, workshop.folder(model), device="cpu")
    with pytest.raises(NonFiniteError, match="NaN or"):
        teacher.logits(IDS)


def test_an_unknown_dtype_is_refused(workshop: Workshop) -> None:
    """float16 is not offered; the error lists what is."""
    with pytest.raises(UsageError, match="'float16' is unknown, expected one of bfloat16, float32"):
        load_teacher(workshop.hf_source, workshop.root, device="cpu", dtype="float16")


_COMMON: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": None,
}
_PHI = {name: value for name, value in _COMMON.items() if name != "num_key_value_heads"}
_GPT2: dict[str, Any] = {
    "vocab_size": 40,
    "n_embd": 16,
    "n_layer": 1,
    "n_head": 2,
    "n_positions": 32,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


@pytest.mark.parametrize(
    ("config", "plain"),
    [
        (LlamaConfig(**_COMMON), True),
        (Qwen2Config(**_COMMON, tie_word_embeddings=True), True),
        (GPT2Config(**_GPT2), True),
        (Gemma3TextConfig(**_COMMON, head_dim=8), True),
        (Gemma2Config(**_COMMON, head_dim=8, final_logit_softcapping=None), True),
        (Gemma2Config(**_COMMON, head_dim=8), False),  # a soft cap
        (GraniteConfig(**_COMMON, logits_scaling=4.0), False),
        (PhiConfig(**_PHI), False),  # a bias, which a new model has at zero
    ],
    ids=lambda value: value.model_type if isinstance(value, PreTrainedConfig) else str(value),
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_head_that_does_more_than_multiply_is_known(
    config: PreTrainedConfig, plain: bool, dtype: torch.dtype
) -> None:
    """However small the logits of a new model are, which hide a cap, and a bias at zero."""
    torch.manual_seed(3)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).to(dtype).eval()
    assert has_plain_head(model) is plain
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    answer = model(input_ids=torch.tensor([[1, 2, 3]])).logits
    assert float(answer.detach().abs().max()) < 50  # the probe is gone
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
