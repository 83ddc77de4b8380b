"""A GGUF file in llama.cpp, through the server that only this process can ask."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from refute.engines.model.server.llama_cpp import LlamaCpp, serve_in_llama_cpp
from refute.engines.model.tools.asking.engine import Answer, Conversation, Sampling


class LlamaCppEngine:
    """A running llama.cpp."""

    def __init__(self, server: LlamaCpp) -> None:
        self._server = server

    @property
    def name(self) -> str:
        """Library and version."""
        return f"llama.cpp, by xllamacpp {version('xllamacpp')}"

    def encode(self, text: str) -> list[int]:
        """The ids of a text, with what the file says that stands before it."""
        return self._server.tokenize(text, add_special=True)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        return str(self._server.ask("detokenize", {"tokens": list(ids)})["content"])

    def prompt_of(self, conversation: Conversation) -> str:
        """A conversation as the file's template renders it."""
        return self._server.render(conversation)

    def generate(self, prompt: Sequence[int], sampling: Sampling) -> Answer:
        """Go on from `prompt`. Raises ExperimentError where the server gives no answer."""
        return self.beside_bare(prompt, sampling)[0]

    def beside_bare(self, prompt: Sequence[int], sampling: Sampling) -> tuple[Answer, float]:
        """An answer, and the seconds that llama.cpp says it took, without the way to it and back."""
        begun = time.perf_counter()
        said = self._server.ask("completion", _request(prompt, sampling))
        seconds, times = time.perf_counter() - begun, said["timings"]
        prompt_s, ids = times["prompt_ms"] / 1e3, tuple(int(number) for number in said["tokens"])
        answer = Answer(tuple(prompt), ids, str(said["content"]), prompt_s, seconds - prompt_s)
        return answer, prompt_s + times["predicted_ms"] / 1e3


def _request(prompt: Sequence[int], sampling: Sampling) -> dict[str, object]:
    return {
        "prompt": list(prompt),
        "n_predict": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": 0,
        "min_p": 0.0,
        "seed": sampling.seed,
        "ignore_eos": sampling.to_the_end,
        "return_tokens": True,
        "cache_prompt": False,
    }


@contextmanager
def open_llama_cpp(path: Path, *, threads: int, context: int) -> Iterator[LlamaCppEngine]:
    """The file at `path` in llama.cpp for as long as the context lasts. Raises as `serve_in_llama_cpp`."""
    with serve_in_llama_cpp(path, context=context, threads=threads) as server:
        yield LlamaCppEngine(server)
