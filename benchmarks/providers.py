"""A GGUF teacher's logits: transformers on dequantised weights beside llama.cpp on the quantised ones.

python benchmarks/providers.py TEACHER.gguf [--windows 4] [--tokens 64]; needs the extra `llama`.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import torch
from measure import compare, machine, table

from refute.engines.distill.teacher.llama import open_llama_teacher
from refute.engines.distill.teacher.loaded import load_teacher
from refute.engines.model.forward.parity import compare_logits
from refute.spec.release import GgufModel, Source


def main() -> None:
    """Print one table and the distance between the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", help="run this piece alone and print its memory")
    chosen = parser.parse_args()
    model = GgufModel(format="gguf", source=Source(path=str(chosen.teacher), sha256="0" * 64))
    dequantised = load_teacher(model, chosen.teacher, device="cpu")
    native = open_llama_teacher(
        model, chosen.teacher, context=chosen.tokens, threads=torch.get_num_threads(), device="cpu"
    )
    torch.manual_seed(0)
    ids = torch.randint(0, dequantised.vocab_rows, (chosen.windows, chosen.tokens))
    pieces = {"transformers, dequantised": lambda: dequantised.logits(ids), "llama.cpp": lambda: native.logits(ids)}
    figures = compare(pieces, rounds=chosen.rounds, device="cpu", only=chosen.only)
    print(table(f"Teacher logits, {chosen.windows} x {chosen.tokens} tokens", figures, "transformers, dequantised"))
    apart = asdict(compare_logits(native.logits(ids).numpy(), dequantised.logits(ids).numpy()))
    print("apart: " + ", ".join(f"{name} {value:.4g}" for name, value in apart.items()) + "\n")
    print(machine("cpu"))


if __name__ == "__main__":
    main()
