"""llama.cpp in this process, through xllamacpp: a GGUF file behind a server that only this process can ask."""

from __future__ import annotations

import http.client
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from refute.engines.model.probe_texts import differing_readings
from refute.errors import ExperimentError, MissingDependencyError, MissingInputsError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_LOOPBACK = "127.0.0.1"
_PATIENCE_S = 3600.0


@dataclass(frozen=True, slots=True)
class LlamaCpp:
    """A running server: where it listens, and the key without which it does not answer."""

    address: str
    key: str

    def tokenize(self, text: str, *, add_special: bool = False, parse_special: bool = True) -> list[int]:
        """The ids that llama.cpp makes of `text`."""
        body = {"content": text, "add_special": add_special, "parse_special": parse_special}
        return [int(number) for number in self.ask("tokenize", body)["tokens"]]

    def beginning(self) -> list[int]:
        """The ids that it puts before every text."""
        bare, whole = (self.tokenize("a", add_special=added) for added in (False, True))
        return next((whole[:n] for n in range(len(whole)) if whole[n : n + len(bare)] == bare), whole)

    def refuse_other_reading(self, tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
        """Raise ExperimentError where `tokenizer`, made of the file at `path`, reads one of many texts otherwise."""
        for text, ours, theirs in differing_readings(tokenizer, self.tokenize):
            raise ExperimentError(
                f"tokenizer: of {text!r} llama.cpp makes {tokenizer.convert_ids_to_tokens(theirs)[:8]}, "
                f"the tokenizer that transformers makes of {path} {tokenizer.convert_ids_to_tokens(ours)[:8]}",
                hint="one of them is not how the model was trained to read; use the model's Hugging Face folder, "
                "or a file that a newer llama.cpp has converted",
            )

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """A conversation as the file's chat template renders it, up to where the assistant begins."""
        return str(self.ask("apply-template", {"messages": list(messages)})["prompt"])

    def ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The server's answer. Raises ExperimentError for an answer that is an error, or none."""
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=_PATIENCE_S)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", f"/{path}", json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
            answer = json.loads(text)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ExperimentError(f"llama.cpp: /{path} gave no answer: {error}") from error
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK or not isinstance(answer, dict):
            raise ExperimentError(f"llama.cpp: /{path} answered {response.status}: {text[:300]!r}")
        return answer


@contextmanager
def serve_in_llama_cpp(path: Path, *, context: int, threads: int, slots: int = 1) -> Iterator[LlamaCpp]:
    """The model at `path` on the CPU, for as long as the context lasts; each of `slots` has room for `context` tokens.

    Raises MissingDependencyError without xllamacpp, MissingInputsError for a file that llama.cpp cannot load: one that
    is cut, without tokenizer, or with NaN among its weights.
    """
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingDependencyError("GGUF models in llama.cpp", "xllamacpp") from error
    if not path.is_file():
        raise MissingInputsError(f"no file at {path}", hint="llama.cpp needs one GGUF file")
    engine: Any = xllamacpp  # which ships no types
    key = secrets.token_hex(16)
    params = engine.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel = slots * context, slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_gpu_layers = 0
    params.check_tensors = True
    params.fit_params = params.ui = params.endpoint_slots = False
    params.cache_ram_mib = 0
    params.api_keys, params.hostnames = [key], [_LOOPBACK]
    params.verbosity = -1
    try:
        server = engine.Server(params)
    except RuntimeError as error:
        raise MissingInputsError(
            f"llama.cpp cannot load {path}: {error}",
            hint="expected one complete GGUF file with a tokenizer, finite weights, and an architecture that it knows",
        ) from error
    try:
        yield LlamaCpp(server.listening_address, key)
    finally:
        del server  # which ends it
