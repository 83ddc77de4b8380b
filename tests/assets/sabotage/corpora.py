"""Sabotages of the corpus."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from refute.job import Job
from sabotage.opened import opened

corpus = opened("engines.distill.data.corpus")
decontamination = opened("engines.distill.data.decontamination")


def _afterwards(change: Callable[[Job], None]) -> None:
    real = corpus.build_corpus

    def build(job: Job) -> None:
        real(job)
        change(job)

    corpus.build_corpus = build


def held_out_inside_training() -> None:
    """The held-out windows are training windows."""

    def copy(job: Job) -> None:
        train, heldout = (load_file(job.out / f"{split}.safetensors")["tokens"] for split in ("train", "heldout"))
        save_file({"tokens": train[: len(heldout)].clone()}, job.out / "heldout.safetensors")

    _afterwards(copy)


def held_out_inside_training_and_shifted() -> None:
    """The held-out windows are training text, cut at other places, so that no window is equal."""

    def shift(job: Job) -> None:
        train, heldout = (load_file(job.out / f"{split}.safetensors")["tokens"] for split in ("train", "heldout"))
        text = train.flatten()[7 : 7 + heldout.numel()]
        save_file({"tokens": text.reshape(heldout.shape).clone()}, job.out / "heldout.safetensors")

    _afterwards(shift)


def one_file_in_both_splits() -> None:
    """The split is by window, so the same files feed both."""

    def mix(job: Job) -> None:
        path = job.out / "manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        first = next(file for file in manifest["files"] if file["split"] == "train")
        manifest["files"].append(first | {"split": "heldout"})
        path.write_text(json.dumps(manifest), encoding="utf-8")

    _afterwards(mix)


def held_out_windows_that_overlap() -> None:
    """Each is the one before, moved on by a token, from a few that are right: one text counts many times."""

    def overlap(job: Job) -> None:
        found = load_file(job.out / "heldout.safetensors")["tokens"]
        text = torch.cat([found[0], found[1]])
        windows = torch.stack([text[start : start + found.shape[1]] for start in range(found.shape[1])])
        windows = torch.cat([windows, found[2:]])[: len(found)]
        order = sorted(range(len(windows)), key=lambda number: corpus.window_hash(windows[number].numpy()))
        save_file({"tokens": windows[order].clone()}, job.out / "heldout.safetensors")

    _afterwards(overlap)


def held_out_windows_under_other_names() -> None:
    """Two windows of a file are said to be of two, and so on around: there seem to be as many sources as suit."""

    def rename(job: Job) -> None:
        path = job.out / "manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        first, *others = manifest["heldout_files"]
        path.write_text(json.dumps(manifest | {"heldout_files": [*others, first]}), encoding="utf-8")

    _afterwards(rename)


def filter_never_applied() -> None:
    """The filter knows the benchmark and nobody asks it."""
    real = corpus._screen

    def screen(root: Any, paths: Any, _benchmark: Any, dropped: Any) -> Any:
        return real(root, paths, decontamination.Benchmark(10, (), frozenset()), dropped)

    corpus._screen = screen


def filter_that_knows_nothing() -> None:
    """It says no to every text, the benchmark's own included."""
    decontamination.Benchmark.found_in = lambda _self, _text: False


def filter_that_knows_nothing_and_says_otherwise() -> None:
    """The same, with a self-check that was never made."""
    filter_that_knows_nothing()
    decontamination.Benchmark.count_rejected = lambda self: 0


def synthetic_batches() -> None:
    """Random ids where the text should be; the manifest names the files."""

    def noise(self: Any) -> torch.Tensor:
        shape = np.stack(self.windows).shape
        return torch.randint(1, 290, shape, generator=torch.Generator().manual_seed(len(self.name)), dtype=torch.int32)

    corpus.Split.tensor = noise


def another_tokenizer() -> None:
    """The ids come from a tokenizer of the same size in which two letters have changed places."""
    real = corpus.Split.tensor

    def swapped(self: Any) -> torch.Tensor:
        ids = real(self)
        return torch.where((ids >= 70) & (ids < 80), ids ^ 1, ids)

    corpus.Split.tensor = swapped
