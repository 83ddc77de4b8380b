"""Which engine a format has: transformers for folders, llama.cpp for GGUF files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refute.engines.model.tools.asking.engine import Engine
from refute.engines.model.tools.asking.in_llama_cpp import open_llama_cpp
from refute.engines.model.tools.asking.in_transformers import TransformersEngine
from refute.engines.model.tools.stored import open_stored


@contextmanager
def open_engine(path: Path, *, threads: int, context: int = 2048) -> Iterator[Engine]:
    """The model at `path`, loaded for as long as the context lasts, with room for `context` tokens.

    Raises UnreadableInputError for what is no model, MissingDependencyError for a GGUF file without xllamacpp, and
    what the libraries' loading raises as MissingInputsError.
    """
    stored = open_stored(path)
    if stored.format == "gguf":
        with open_llama_cpp(path, threads=threads, context=context) as engine:
            yield engine
    else:
        yield TransformersEngine(path, threads=threads)
