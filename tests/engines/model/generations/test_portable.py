"""The small files of a model say the same to both generations of transformers, and nothing about this machine."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoConfig, AutoTokenizer

from refute.engines.model.folder import load_model, round_weights, save_model
from refute.engines.model.generations.older_transformers import older_python
from refute.engines.model.generations.portable import (
    LOCAL_KEYS,
    drop_identity,
    identities,
    make_portable,
    portable_config,
    shortest,
    without_identity,
)
from refute.engines.model.generations.try_both import ask, make_request, try_both_generations
from refute.errors import MissingInputsError
from refute.job import Job
from released_model import edit

LLAMA3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "original_max_position_embeddings": 64}
TEMPLATE = "system\nYou are a helpful AI assistant named Tiny, trained by Some Lab<|end|>{{ messages }}"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, teacher_folder: Path) -> Path:
    """The tiny teacher as a library writes it, with what a GGUF file leaves in it."""
    folder = Path(shutil.copytree(teacher_folder, tmp_path / "model"))
    edit(folder, "config.json", _model_name_or_path="Tiny 1M", rms_norm_eps=float(np.float32(1e-5)), torch_dtype=None)
    edit(folder, "tokenizer_config.json", is_local=True, local_files_only=True, extra_special_tokens=["<|end|>"])
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    (folder / "model.safetensors").chmod(0o600)
    return folder


def read(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file of a folder."""
    found: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return found


def test_a_folder_is_rewritten_once(folder: Path) -> None:
    """Both spellings, short numbers, a class and a template that both find, readable files; a second time nothing."""
    make_portable(folder)
    config, tokenizer = read(folder, "config.json"), read(folder, "tokenizer_config.json")
    assert (config["rope_theta"], config["torch_dtype"], config["rms_norm_eps"]) == (10_000.0, config["dtype"], 1e-5)
    assert (tokenizer["tokenizer_class"], tokenizer["model_max_length"]) == ("PreTrainedTokenizerFast", 128)
    assert tokenizer["model_input_names"] == ["input_ids", "attention_mask"]
    assert tokenizer["chat_template"] == TEMPLATE == (folder / "chat_template.jinja").read_text(encoding="utf-8")
    assert tokenizer["additional_special_tokens"] == ["<|end|>"]
    assert not (config.keys() | tokenizer.keys()) & (LOCAL_KEYS | {"extra_special_tokens"})
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    make_portable(folder)
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


def test_the_installed_library_reads_what_it_read_before(folder: Path) -> None:
    """Another spelling, the same model and the same ids."""
    configs, ids = [], []
    for _ in range(2):
        configs.append(AutoConfig.from_pretrained(folder).rope_parameters)
        ids.append(AutoTokenizer.from_pretrained(folder)("def f1(n): <|end|>")["input_ids"])
        make_portable(folder)
    assert (configs[0], ids[0]) == (configs[1], ids[1])


def test_scaled_positions_are_spelt_twice_too() -> None:
    """llama3's factors stand in rope_scaling for the older generation, without the base, which has its own place."""
    found = portable_config({"rope_parameters": LLAMA3, "dtype": "bfloat16"}, {})
    assert found["rope_theta"] == 5e5
    assert found["rope_scaling"] == {key: value for key, value in LLAMA3.items() if key != "rope_theta"}
    assert found["torch_dtype"] == "bfloat16"


def test_an_older_spelling_of_the_init_is_kept() -> None:
    """The student's settings are its init's, in its words."""
    init = {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}}
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}
    found = portable_config({"rope_parameters": scaled}, init)
    assert found["rope_scaling"] == init["rope_scaling"]


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>", "a helpful AI assistant<|im_end|>"),
        ("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", "You are a helpful assistant."),
        ("You are DeepSeek Coder, developed by DeepSeek.", "You are a helpful assistant."),
        ("Cutting Knowledge Date: {{ date }}; a tool called {{ name }}", None),
        ("Trained engineers made by hand what is called a template", None),
    ],
)
def test_a_template_claims_no_name_and_no_maker(said: str, left: str | None) -> None:
    """What else it says stays."""
    assert without_identity(said) == (said if left is None else left)
    assert bool(identities(said)) is (left is not None)
    assert identities(without_identity(said)) == []


def test_identity_goes_in_both_places(folder: Path) -> None:
    """The teacher keeps its own; a student's folder does not."""
    make_portable(folder)
    drop_identity(folder)
    text = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    assert text == read(folder, "tokenizer_config.json")["chat_template"]
    assert "Tiny" not in text
    assert "Some Lab" not in text


@pytest.mark.parametrize(("number", "short"), [(float(np.float32(1e-6)), 1e-6), (0.1, 0.1), (0.5, 0.5), (5e5, 5e5)])
def test_numbers_are_as_short_as_they_are_exact(number: float, short: float) -> None:
    """Only what is a float32 to the last bit is taken for one."""
    assert shortest(number) == short


@pytest.mark.slow
def test_a_stranger_says_what_a_folder_is(folder: Path, tmp_path: Path) -> None:
    """In a process that knows nothing of refute: ids, prompts and logits, or why it could not open a folder."""
    make_portable(folder)
    broken = tmp_path / "broken"
    broken.mkdir()
    request = make_request({"released": folder, "broken": broken}, threads=1)
    said = ask(Path(sys.executable), request, tmp_path / "scratch")
    assert said.folders["released"]["error"] is None
    assert said.folders["released"]["unrepeated"] == 0
    assert len(said.folders["released"]["ids"]) == len(request["texts"])
    assert {*said.folders["released"]["ids"][0]} == {"input_ids", "attention_mask"}
    assert said.logits["released"].shape == (3, 4, 300)
    assert said.folders["broken"]["error"]
    assert "broken" not in said.logits


@pytest.mark.slow  # pip looks for it twice
def test_an_environment_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an index there is no older transformers, and nothing half-made is taken for one."""
    monkeypatch.setenv("REFUTE_CACHE", str(tmp_path))
    monkeypatch.setattr("refute.engines.model.generations.older_transformers.OLDER_TRANSFORMERS", "0.0.0.dev404")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    for _ in range(2):
        with pytest.raises(MissingInputsError, match=r"cannot install transformers 0\.0\.0\.dev404"):
            older_python()


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_two_generations_make_one_model_of_a_portable_folder(
    folder: Path,
    tmp_path: Path,
    make_job: Callable[..., Job],
    dtype: torch.dtype,
) -> None:
    """The real older library, made where pip can: equal ids and logits, and other ones of a faulted folder."""
    make_portable(folder)
    model = load_model(folder, device="cpu")
    round_weights(model, dtype)
    save_model(model, tmp_path / "release", tokenizer_from=folder, dtype=dtype)
    job = make_job("generations", {"threads": 1}, {"staged": tmp_path})
    try_both_generations(job)
    facts = read(job.out, "generations.json")
    assert (facts["errors"], facts["ids"]["differing"], facts["rendered"]["differing"]) == ([], 0, 0)
    assert facts["answers"] == {"n": 18, "differing": 0}
    logits = load_file(job.out / "logits.safetensors")
    assert np.abs(logits["older"] - logits["newer"]).max() <= 1e-4
    assert np.abs(logits["faulted"] - logits["newer"]).max() > 1e-2
