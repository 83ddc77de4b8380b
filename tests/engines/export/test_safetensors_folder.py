"""Safetensors in another dtype: split where files would be too large, and read back by transformers."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from model_workshop import Workshop
from refute.engines.export.safetensors_folder import export_safetensors
from refute.engines.model.folder import load_model
from refute.engines.model.tools.lint.lint import lint_model
from refute.errors import NonFiniteError, UsageError


def silent(*_: object) -> None:
    """A report that nobody reads."""


@pytest.mark.parametrize("largest", [5_000_000_000, 40_000])
def test_the_same_model_in_other_files(workshop: Workshop, largest: int) -> None:
    """One file or many, no larger than asked, and each weight the rounded one."""
    folder, target = workshop.folder(workshop.model("qwen2")), workshop.root / "half"
    files = export_safetensors(folder, target, "BF16", silent, largest_file=largest)
    assert (len(files) > 1) is (largest < 5_000_000_000)
    assert json.loads((target / "config.json").read_text(encoding="utf-8"))["torch_dtype"] == "bfloat16"
    assert (target / "model.safetensors.index.json").exists() is (len(files) > 1)
    wanted = load_model(folder, device="cpu").state_dict()
    for name, found in load_model(target, device="cpu").state_dict().items():
        assert torch.equal(found, wanted[name].to(torch.bfloat16).float()), name
    assert {load_file(file)[name].dtype for file in files for name in load_file(file)} == {torch.bfloat16}


def test_what_a_trainer_leaves_becomes_a_model_that_nothing_is_found_in(workshop: Workshop) -> None:
    """Its notes, pickles and checkpoints stay behind, and so do statements about the files that were there."""
    folder, target = workshop.folder(workshop.model("llama")), workshop.root / "clean"
    left = (
        "trainer_state.json",
        "training_args.bin",
        "optimizer.pt",
        "verdict.sigstore.json",
        "checkpoint-12/config.json",
    )
    (folder / "checkpoint-12").mkdir()
    for name in left:
        (folder / name).write_text("{}", encoding="utf-8")
    (folder / "LICENSE").write_text("MIT", encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config.pop("rope_theta", None)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    export_safetensors(folder, target, "F32", silent)
    assert {path.name for path in target.iterdir()}.isdisjoint({*left, "checkpoint-12"})
    assert (target / "LICENSE").read_text(encoding="utf-8") == "MIT"
    found = {each.rule for each in lint_model(target) if each.severity == "error"}
    assert "config/rope-spelling" in {each.rule for each in lint_model(folder)}
    assert {rule for rule in found if not rule.startswith("card/")} == set()


def test_what_a_dtype_cannot_hold_is_refused(workshop: Workshop) -> None:
    """And nothing is left of the attempt, nor written over what is there."""
    model = workshop.model("llama")
    with torch.no_grad():
        model.get_input_embeddings().get_parameter("weight")[3, 3] = 7e4
    folder = workshop.folder(model)
    before = sorted(workshop.root.iterdir())
    with pytest.raises(NonFiniteError, match="embed_tokens"):
        export_safetensors(folder, workshop.root / "half", "F16", silent)
    with pytest.raises(UsageError, match="there is something at"):
        export_safetensors(folder, folder, "F32", silent)
    with pytest.raises(UsageError, match="not as Q8_0"):
        export_safetensors(folder, workshop.root / "half", "Q8_0", silent)
    assert sorted(workshop.root.iterdir()) == before
