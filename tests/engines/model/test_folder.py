"""A model's folder is taken only where all that lies in it says one thing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from refute.engines.distill.teacher.loaded import load_teacher
from refute.engines.model.folder import load_model, round_weights
from refute.errors import ExperimentError, NonFiniteError
from refute.spec.release import HfModel

Load = Callable[[Path], object]
LOADS: dict[str, Load] = {
    "student": lambda folder: load_model(folder, device="cpu"),
    "teacher": lambda folder: load_teacher(HfModel(format="hf", path="x"), folder, device="cpu"),
}


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, teacher_folder: Path) -> Path:
    """A copy of the tiny teacher, whose head is its embedding."""
    return Path(shutil.copytree(teacher_folder, tmp_path / "model"))


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_an_adapter_beside_weights_is_refused(folder: Path, load: Load) -> None:
    """With `peft` installed it would change the model, without it would not."""
    load(folder)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}), encoding="utf-8")
    with pytest.raises(ExperimentError, match=r"holds an adapter beside its weights: adapter_config\.json") as caught:
        load(folder)
    assert "merge it" in caught.value.hint


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_a_tied_head_that_is_another_is_refused(folder: Path, load: Load) -> None:
    """The same head stored twice is one head; another one contradicts the config, unless that says so."""
    weights = load_file(folder / "model.safetensors")
    head = weights["model.embed_tokens.weight"].clone()
    save_file({**weights, "lm_head.weight": head}, folder / "model.safetensors", {"format": "pt"})
    load(folder)
    head[3] += torch.ones(())
    save_file({**weights, "lm_head.weight": head}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ExperimentError, match="tie_word_embeddings, and the files hold a head that is not"):
        load(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}), encoding="utf-8")
    load(folder)


def test_a_weight_beyond_the_saved_format_is_named(folder: Path) -> None:
    """float16 ends at 65,504: an infinity would be released."""
    model = load_model(folder, device="cpu")
    model.get_parameter("model.embed_tokens.weight").data[3, 0] = 7e4
    round_weights(model, torch.bfloat16)
    with pytest.raises(NonFiniteError, match=r"embed_tokens\.weight holds 70144, and torch\.float16 ends at 65504"):
        round_weights(model, torch.float16)
