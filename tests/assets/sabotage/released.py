"""Sabotages of the folder that is released: each changes what lies beside, or instead of, what the run saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sabotage.opened import opened

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
