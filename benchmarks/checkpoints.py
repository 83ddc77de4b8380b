"""Saving and restoring a checkpoint, beside writing and reading the same bytes.

python benchmarks/checkpoints.py [--layers 6] [--hidden 576] [--vocabulary 49152]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import torch
from measure import compare, machine, table
from transformers import LlamaConfig, LlamaForCausalLM

from refute.engines.distill.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint

IDENTITY = {"benchmark": True}


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=576)
    parser.add_argument("--vocabulary", type=int, default=49_152)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="run this piece alone and print its memory")
    chosen = parser.parse_args()
    config = LlamaConfig(
        vocab_size=chosen.vocabulary,
        hidden_size=chosen.hidden,
        intermediate_size=chosen.hidden * 8 // 3,
        num_hidden_layers=chosen.layers,
        num_attention_heads=chosen.hidden // 64,
        tie_word_embeddings=True,
    )
    student = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(student.parameters(), fused=True)
    student(input_ids=torch.zeros(1, 2, dtype=torch.long), labels=torch.zeros(1, 2, dtype=torch.long)).loss.backward()
    optimizer.step()
    size = 3 * sum(parameter.numel() * 4 for parameter in student.parameters())
    folder = Path(tempfile.mkdtemp(prefix="checkpoints-"))
    data = os.urandom(1 << 20) * (size >> 20)

    def write() -> None:
        with (folder / "bytes").open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())

    def save() -> None:
        shutil.rmtree(folder / "kept", ignore_errors=True)
        save_checkpoint(folder / "kept", 1, student, optimizer, IDENTITY)

    def restore() -> None:
        found = latest_checkpoint(folder / "kept")
        if found is None:
            raise LookupError("nothing was saved")
        load_checkpoint(found, student, optimizer, IDENTITY)

    pieces = {
        "write the bytes": write,
        "save": save,
        "read the bytes": (folder / "bytes").read_bytes,
        "restore": restore,
    }
    try:
        write()
        save()
        figures = compare(pieces, rounds=chosen.rounds, device="cpu", only=chosen.only)
    finally:
        shutil.rmtree(folder)
    print(table(f"Checkpoint of {size / 2**20:.0f} MiB (weights and two moments)", figures, "write the bytes"))
    print(machine("cpu"))


if __name__ == "__main__":
    main()
