"""Sabotages of the folder that is released: each changes what lies beside, or instead of, what the run saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from sabotage.opened import opened

init = opened("engines.distill.experiments.init")
results = opened("engines.distill.training.results")


def _after_saving(change: Callable[[Path], object]) -> None:
    """Change the model's folder once the run has saved it."""
    real = results.save_model

    def save(model: Any, folder: Path, **options: Any) -> None:
        real(model, folder, **options)
        change(folder)

    results.save_model = save


def another_model_in_an_older_format() -> None:
    """A second set of weights, which some libraries would open in the place of the first."""
    _after_saving(lambda folder: (folder / "pytorch_model.bin").write_bytes(b"another"))


def two_ids_swapped() -> None:
    """Two tokens of the tokenizer have each other's number."""

    def swap(folder: Path) -> None:
        path = folder / "tokenizer.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        numbers = content["model"]["vocab"]
        one, other = list(numbers)[-2:]
        numbers[one], numbers[other] = numbers[other], numbers[one]
        path.write_text(json.dumps(content), encoding="utf-8")

    _after_saving(swap)


def a_surplus_file() -> None:
    """Something that nobody declared."""
    _after_saving(lambda folder: (folder / "answers.jsonl").write_text("{}\n", encoding="utf-8"))


def tokens_that_are_never_chosen() -> None:
    """A setting of generation that the init does not have."""

    def suppress(folder: Path) -> None:
        path = folder / "generation_config.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**content, "suppress_tokens": [0]}), encoding="utf-8")

    _after_saving(suppress)


def an_end_that_only_the_init_has() -> None:
    """By its own settings the init ends an answer at every fourth token; the student has none of these settings."""
    name, real = "generation_config.json", init.make_portable

    def made_portable(folder: Path) -> None:
        real(folder)
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        ends = {"eos_token_id": list(range(0, 300, 4))}
        (folder / name).write_text(json.dumps({**content, **ends}), encoding="utf-8")

    init.make_portable = made_portable
    _after_saving(lambda folder: (folder / name).unlink(missing_ok=True))


def garbage_released() -> None:
    """The right tensors under the right names, with other numbers."""

    def spoil(folder: Path) -> None:
        file = folder / "model.safetensors"
        torch.manual_seed(3)
        tensors = {name: each + 0.05 * torch.randn_like(each) for name, each in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})

    _after_saving(spoil)


def released_file_cut_in_half() -> None:
    """A download that broke off."""

    def cut(folder: Path) -> None:
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    _after_saving(cut)


def embedding_shrunk_on_export() -> None:
    """The embedding is cut to the tokenizer's length, so the release has another shape than was asked for."""

    def shrink(folder: Path) -> None:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
        model.resize_token_embeddings(290)
        model.save_pretrained(folder)

    _after_saving(shrink)


def released_without_tokenizer() -> None:
    """Packaging forgot the tokenizer."""

    def forget(folder: Path) -> None:
        for path in folder.glob("tokenizer*"):
            path.unlink()

    _after_saving(forget)
