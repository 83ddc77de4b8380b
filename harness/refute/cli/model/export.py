"""`refute model export`: a model folder as one GGUF file, or as safetensors in another dtype."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refute.cli.console import print_json, progress
from refute.cli.options import Json
from refute.errors import UsageError

if TYPE_CHECKING:
    from refute.engines.export.gguf.file import Exported
    from refute.job import ProgressCallback


# `ExportLabel` once more: that one's module loads pydantic, which no command's help does; a test holds them equal.
class Type(StrEnum):
    """How weights are stored; safetensors know the first three."""

    F32 = "F32"
    F16 = "F16"
    BF16 = "BF16"
    Q8_0 = "Q8_0"
    Q4_0 = "Q4_0"
    Q4_K_M = "Q4_K_M"
    Q5_K_M = "Q5_K_M"
    Q6_K = "Q6_K"


def export(
    folder: Annotated[Path, typer.Argument(help="A Hugging Face folder: config.json, safetensors, tokenizer.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE.gguf|FOLDER", help="What to make.")],
    kind: Annotated[Type, typer.Option("--type", help="How weights are stored.")],
    as_json: Json = False,
) -> None:
    """Write a model as a GGUF file for llama.cpp and its kin, or as a clean folder of safetensors.

    A folder, such as a trainer's output, becomes one that both generations of transformers read, with nothing in it
    but the model. Architectures for GGUF: llama, mistral, qwen2, qwen3. What is made appears when it is whole.
    """
    from refute.cli.arguments import reading_what_was_named, require_folders

    require_folders([folder])
    with reading_what_was_named(), progress(quiet=as_json) as report:
        shown = _to_gguf(folder, to, kind, report) if to.suffix == ".gguf" else _to_folder(folder, to, kind, report)
    if as_json:
        print_json(shown)
        return
    for name, value in shown.items():
        typer.echo(f"{name.replace('_', ' '):16} {_told(value)}")


def _to_gguf(folder: Path, to: Path, kind: Type, report: ProgressCallback) -> dict[str, object]:
    from refute.engines.export.gguf.file import export_gguf, read_source
    from refute.spec.publication import ExportLabel

    if to.exists():
        raise UsageError(f"there is something at {to} already", hint="name another file with --to, or delete it")
    return _as_json(export_gguf(read_source(folder), to, ExportLabel(kind.value), report))


def _as_json(made: Exported) -> dict[str, object]:
    return {**asdict(made), "path": str(made.path), "bits_per_weight": round(made.bits_per_weight, 3)}


def _to_folder(folder: Path, to: Path, kind: Type, report: ProgressCallback) -> dict[str, object]:
    from refute.engines.export.safetensors_folder import export_safetensors

    files = export_safetensors(folder, to, kind.value, report)
    size = sum(file.stat().st_size for file in files)
    return {"path": str(to), "label": kind.value, "files": [file.name for file in files], "size": size}


def _told(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count:,}" for name, count in value.items())
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
