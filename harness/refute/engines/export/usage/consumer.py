"""What a consumer tries: a model in every engine that is installed here, each in a fresh process without a network.

Imports no engine: where llama.cpp is the only one that is installed, that one is tried.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from refute.engines.export.usage.environment import HOSTS, ask_stranger, fresh_python
from refute.engines.model.tools.asking.degenerate import degenerate
from refute.errors import ExperimentError, MissingDependencyError, UnreadableInputError
from refute.job import ProgressCallback

PROMPT = 'def fibonacci(n):\n    """Return the n-th Fibonacci number."""\n'
TOKENS = 32
# Characters of a text that are kept; a strange vocabulary may have tokens without end.
_LONGEST = 2_000
_MORE = "install another engine: pip install 'refute[gate]' brings all of them"
# What has to be installed for an engine, and the extra of refute that brings it.
_NEEDS: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        "refute": (("numpy", "gguf", "tokenizers", "transformers"), "distill"),
        "transformers": (("torch", "tokenizers", "transformers"), "distill"),
        "llama.cpp": (("xllamacpp",), "xllamacpp"),
    }
)


@dataclass(frozen=True, slots=True)
class Tried:
    """What one engine said of one file of the model, `.` for the folder itself; `failed` is why that is no text."""

    engine: str
    file: str
    text: str
    tokens: int
    versions: Mapping[str, str]
    reached: tuple[str, ...]
    failed: str | None


@dataclass(frozen=True, slots=True)
class Tries:
    """Every path that this machine has, and by name those that it has not, with why."""

    paths: tuple[Tried, ...]
    not_run: Mapping[str, str]


def use_model(model: Path, *, threads: int, report: ProgressCallback) -> Tries:
    """Say `TOKENS` tokens after `PROMPT` greedily by every path that there is to the folder or GGUF file `model`.

    An engine that fails is a result. Raises UnreadableInputError for what no engine knows, MissingDependencyError where
    none that knows it is installed.
    """
    ways = list(_ways(model))
    if not ways:
        raise UnreadableInputError(
            f"{model} holds nothing that an engine could use", hint="expected a folder with config.json, or a GGUF file"
        )
    lacking = {engine: lack for engine, _, _ in ways if (lack := _lacking(engine))}
    here = [way for way in ways if way[0] not in lacking]
    if not here:
        raise MissingDependencyError(f"models such as {model.name}", _NEEDS[ways[-1][0]][1])
    with tempfile.TemporaryDirectory(prefix="refute-consume-") as scratch:
        python = fresh_python(Path(scratch) / "fresh")
        paths = []
        for done, (engine, name, file) in enumerate(here):
            report(f"use in {engine}", done, len(here), {})
            paths.append(_try(engine, name, file, python, Path(scratch) / "stranger", threads))
        report("used", len(here), len(here), {})
    beyond = {each.engine: str(each.failed) for each in paths if is_beyond_refute(each)}
    tried = tuple(each for each in paths if each.engine not in beyond)
    if not tried:
        raise UnreadableInputError(f"no engine here can use {model}: {'; '.join(beyond.values())}", hint=_MORE)
    absent = {engine: "the model has no file for it" for engine in _NEEDS if engine not in {way[0] for way in ways}}
    return Tries(tried, {**lacking, **beyond, **absent})


def _ways(model: Path) -> Iterator[tuple[str, str, Path]]:
    """Engine, name and place of what it opens; llama.cpp, which needs the least, last."""
    if (model / "config.json").is_file():
        yield "refute", ".", model
        yield "transformers", ".", model
    files = sorted(model.glob("*.gguf")) if model.is_dir() else [model] if _is_gguf(model) else []
    for file in files:
        yield "llama.cpp", file.name, file


def _is_gguf(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(4) == b"GGUF"


def _lacking(engine: str) -> str:
    """What is not installed of all that an engine needs, in words; empty where nothing is."""
    needs, extra = _NEEDS[engine]
    absent = [name for name in needs if find_spec(name) is None]
    return f"not installed: {', '.join(absent)} (pip install 'refute[{extra}]')" if absent else ""


def is_beyond_refute(tried: Tried) -> bool:
    """Whether refute's own forward, which knows few architectures and is slow, says nothing about the model."""
    said = tried.failed or ""
    beyond = ("the independent forward does not ", "refute gave no answer in ")
    return tried.engine == "refute" and any(each in said for each in beyond)


def _try(engine: str, name: str, file: Path, python: Path, scratch: Path, threads: int) -> Tried:
    request = {"engine": engine, "path": str(file.absolute()), "prompt": PROMPT, "tokens": TOKENS, "ends": None}
    try:
        said = ask_stranger(python, {**request, "threads": threads, "hosts": HOSTS}, scratch)
    except ExperimentError as error:
        said = {"ids": [], "text": "", "versions": {}, "reached": [], "failed": str(error)}
    failed = said["failed"]
    if failed is None and (fault := degenerate(said["ids"], said["text"])):
        failed = f"degenerate: {fault}"
    return Tried(
        engine, name, said["text"][:_LONGEST], len(said["ids"]), said["versions"], tuple(said["reached"]), failed
    )
