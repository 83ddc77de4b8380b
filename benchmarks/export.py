"""A model folder as GGUF files, beside writing the same bytes.

python benchmarks/export.py [FOLDER] [--type F16] [--layers 6] [--rounds 5]

Without FOLDER, a random llama as wide as SmolLM2-135M with a vocabulary of its size.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from measure import compare, machine, table
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from refute.engines.export.gguf.file import export_gguf, read_source
from refute.spec.publication import ExportLabel

_ROWS = 49_152


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--type", default="F16", choices=[label.value for label in ExportLabel])
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="run this piece alone and print its memory")
    chosen = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="export-"))
    try:
        folder = chosen.folder or _random_model(scratch / "model", chosen.layers)
        target = scratch / "model.gguf"

        def export() -> None:
            export_gguf(read_source(folder), target, ExportLabel(chosen.type), lambda *_: None)

        export()
        data = target.read_bytes()

        def write() -> None:
            with (scratch / "bytes").open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())

        source = read_source(folder)
        pieces = {
            "write the bytes": write,
            "write the file": lambda: export_gguf(source, target, ExportLabel(chosen.type), lambda *_: None),
            "read the folder and write the file": export,
        }
        figures = compare(pieces, rounds=chosen.rounds, device="cpu", only=chosen.only)
    finally:
        shutil.rmtree(scratch)
    print(table(f"{chosen.type} of {len(data) / 2**20:.0f} MiB", figures, "write the bytes"))
    print(machine("cpu"))


def _random_model(folder: Path, layers: int) -> Path:
    config = LlamaConfig(
        vocab_size=_ROWS,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [first + second for first in letters for second in letters][: _ROWS - len(letters)]
    vocabulary = {token: number for number, token in enumerate([*letters, *words])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [(word[0], word[1]) for word in words]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=letters[0]).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
