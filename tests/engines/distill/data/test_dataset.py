"""Corpus files are checked when they are read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from refute.engines.distill.data.dataset import load_windows
from refute.errors import ExperimentError


@pytest.mark.parametrize(
    ("tokens", "match"),
    [
        (torch.zeros((2, 5), dtype=torch.int32), r"expected \(windows, 4\)"),
        (torch.zeros((0, 4), dtype=torch.int32), r"shape \(0, 4\)"),
        (torch.full((2, 4), 9, dtype=torch.int32), r"vocabulary in \[0, 9\)"),
        (torch.full((2, 4), -1, dtype=torch.int32), r"ids lie in \[-1, -1\]"),
    ],
)
def test_windows_that_do_not_fit_are_refused(tmp_path: Path, tokens: torch.Tensor, match: str) -> None:
    """Length, emptiness and ids outside the vocabulary are noticed before training."""
    save_file({"tokens": tokens}, tmp_path / "train.safetensors")
    with pytest.raises(ExperimentError, match=match):
        load_windows(tmp_path / "train.safetensors", vocab_size=9, seq_len=4)


def test_truncated_corpus_file_is_refused(tmp_path: Path) -> None:
    """A file cut short is an error that names it, not fewer windows."""
    path = tmp_path / "train.safetensors"
    save_file({"tokens": torch.zeros((8, 4), dtype=torch.int32)}, path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ExperimentError, match=r"train.safetensors is not a corpus file"):
        load_windows(path, vocab_size=9, seq_len=4)
