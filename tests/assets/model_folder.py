"""A model folder of a few bytes, signed by the reference implementation of model signing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# `model_signing sign key --private_key ec.key --signature m/model.sig m`, version 1.1.1, over SIGNED.
SIGNATURE = (Path(__file__).with_name("model_signing") / "model.sig").read_bytes()
SIGNED = {
    "config.json": b"{}",
    "model.safetensors": b"\0\1\2",
    "tokenizer/merges.txt": b"a b",
    "tokenizer/vocab.json": b"",
    ".hidden": b"h",
    "sub/.gitattributes": b"kept",
}


def write_model(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A model folder with these files."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
