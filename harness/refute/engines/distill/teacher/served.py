"""A teacher behind a server: its k likeliest tokens by llama.cpp's own API, or by vLLM's `prompt_logprobs`.

A server says log-probabilities at temperature 1 and not what all other tokens weigh each, so what it says fills a cache
for runs at that temperature alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from refute.engines.distill.data.packing import Batch
from refute.engines.distill.teacher.topk_source import TopEntries
from refute.engines.model.probe_texts import differing_readings
from refute.engines.model.server.client import Client, Server
from refute.errors import ExperimentError, NonFiniteError, UsageError
from refute.spec.fields import http_address

# Probabilities of a row may sum up to more than 1 by what JSON and float32 round away.
_ROUNDING = 1e-3
_SURE = 1e4  # a bias that makes a token certain; the probabilities that are said are those without it
Row = Mapping[int, float]  # log-probabilities by id


@dataclass(frozen=True, slots=True)
class ServedSource:
    """A `TopKSource`: the model that `server` has. `llama_cpp` says by which API it is asked.

    `letter` is a token of plain text: llama.cpp's server keeps to itself what it knew when it then says an end, or part
    of a character.
    """

    client: Client
    server: Server
    llama_cpp: bool
    vocab_size: int
    letter: int

    @property
    def served(self) -> str:
        """The name under which the server has it."""
        return self.server.model

    def top(self, batch: Batch, k: int, temperature: float) -> TopEntries:
        """See `TopKSource`. Raises UsageError for another temperature than 1, ExperimentError for fewer entries than k
        or ids that the student has not."""
        if temperature != 1.0:
            raise UsageError(
                f"training.temperature is {temperature}: a server says probabilities at 1, of the tail their sum",
                hint="set `temperature: 1.0`, or load the teacher here",
            )
        rows = [self._checked(row, k) for row in self._rows(batch, k)]
        best = [sorted(row.items(), key=lambda each: (-each[1], each[0]))[:k] for row in rows]
        ids = torch.tensor([[number for number, _ in row] for row in best])
        said = torch.tensor([[logprob for _, logprob in row] for row in best], dtype=torch.float64)
        mass = (1.0 - said.exp().sum(dim=-1)).clamp(min=0.0)
        return TopEntries(ids, said - said[:, :1], mass.log() - said[:, 0], mass)

    def log_probs(self, batch: Batch, ids: Tensor, temperature: float) -> Tensor:
        """See `TopKSource`; what the server does not say this time is as likely as the last that it says."""
        rows = self._rows(batch, ids.shape[1])
        found = [
            [row.get(number, min(row.values(), default=math.nan)) for number in wanted]
            for row, wanted in zip(rows, ids.tolist(), strict=True)
        ]
        return torch.tensor(found, dtype=torch.float64)

    def refuse_other_reading(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Raise ExperimentError where the server makes other ids of a text than the student's tokenizer does."""
        for text, ours, theirs in differing_readings(tokenizer, self._tokenize):
            raise ExperimentError(
                f"of {text!r} the server makes the ids {str(theirs)[:80]}, the student's tokenizer {ours[:16]}",
                hint="a teacher's probabilities belong to its own tokens: it must have the student's tokenizer",
            )

    def _tokenize(self, text: str) -> object:
        # Each API has its own names, and passes over the other's.
        body = {"model": self.server.model, "content": text, "prompt": text, "add_special": False}
        return self._post("tokenize", {**body, "add_special_tokens": False, "parse_special": True}).get("tokens")

    def _rows(self, batch: Batch, k: int) -> list[Row]:
        """What the server says after each token of the window, which it reads document by document."""
        ids = batch.ids[0].tolist()
        places = [] if batch.positions is None else batch.positions[0].tolist()
        starts = [0, *(index for index, place in enumerate(places) if place == 0 and index)]
        ask = self._ask_llama_cpp if self.llama_cpp else self._ask_vllm
        return [
            row for first, last in zip(starts, [*starts[1:], len(ids)], strict=True) for row in ask(ids[first:last], k)
        ]

    def _ask_vllm(self, ids: Sequence[int], k: int) -> Iterator[Row]:
        # The likeliest tokens at a place are those after what stands before it, so one more id shows the last of them.
        body = {"model": self.server.model, "prompt": [*ids, ids[-1]], "max_tokens": 1, "prompt_logprobs": k}
        said = self._post("v1/completions", {**body, "temperature": 0.0})
        rows = _first(said.get("choices")).get("prompt_logprobs")
        if not isinstance(rows, list) or len(rows) != len(ids) + 1:
            raise ExperimentError(
                f"{self.server.base_url} gave no `prompt_logprobs` for {len(ids) + 1} tokens, found {str(rows)[:80]}",
                hint="vLLM and llama.cpp's server say them; OpenAI's API does not",
            )
        for row in rows[1:]:
            yield {int(number): float(each["logprob"]) for number, each in row.items()}

    def _ask_llama_cpp(self, ids: Sequence[int], k: int) -> Iterator[Row]:
        # It says probabilities of the next token alone; of all before it, its slot remembers the last prompt.
        with ThreadPoolExecutor(self.server.concurrency, thread_name_prefix="ask") as pool:
            yield from pool.map(lambda end: self._after(ids[:end], k), range(1, len(ids) + 1))

    def _after(self, ids: Sequence[int], k: int) -> Row:
        settings = {"n_predict": 1, "n_probs": k, "post_sampling_probs": False, "cache_prompt": True}
        said = self._post("completion", {**settings, "prompt": list(ids), "logit_bias": [[self.letter, _SURE]]})
        row = _first(said.get("completion_probabilities")).get("top_logprobs")
        return {int(each["id"]): float(each["logprob"]) for each in row} if isinstance(row, list) else {}

    def _post(self, path: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        root = self.server.base_url.rstrip("/").removesuffix("/v1")
        said = self.client.post(f"{root}/{path}", body, f"asking the teacher at /{path}")
        return said if isinstance(said, dict) else {}

    def _checked(self, row: Row, k: int) -> Row:
        if len(row) < k:
            raise ExperimentError(
                f"{self.server.base_url} gave {len(row)} of the {k} likeliest tokens",
                hint="start vLLM with a larger --max-logprobs, or prepare with a smaller -k",
            )
        foreign = [number for number in row if not 0 <= number < self.vocab_size]
        if foreign:
            raise ExperimentError(
                f"the teacher says token {foreign[0]}, the student has ids 0 to {self.vocab_size - 1}",
                hint="load the teacher here: then what the student has no token for is cut off and measured",
            )
        total = (
            math.fsum(math.exp(each) for each in row.values()) if all(map(math.isfinite, row.values())) else math.nan
        )
        if not total <= 1.0 + _ROUNDING:
            raise NonFiniteError(f"the probabilities of {len(row)} tokens sum up to {total}, expected at most 1")
        return row


def open_served(server: Server, vocab_size: int, tokenizer: PreTrainedTokenizerFast) -> ServedSource:
    """The teacher that `server` has, once it is shown to read as the student does.

    Raises UsageError for a server that is no HTTP address, or a model without a name, ExperimentError where nothing
    answers, or it reads otherwise.
    """
    try:
        http_address(server.base_url)
    except ValueError as error:
        raise UsageError(f"the server's address: {error}", hint="look at --base-url") from error
    if not server.model:
        raise UsageError("the teacher behind the server has no name", hint="say which one it is: --model NAME")
    client = Client(server)
    props = client.look_up(f"{server.base_url.rstrip('/').removesuffix('/v1')}/props")
    known = isinstance(props, dict) and isinstance(props.get("default_generation_settings"), dict)
    letter = tokenizer.encode("a", add_special_tokens=False)[-1]
    source = ServedSource(client, server, known, vocab_size, letter)
    source.refuse_other_reading(tokenizer)
    return source


def _first(found: object) -> Mapping[str, Any]:
    first = found[0] if isinstance(found, list) and found else None
    return first if isinstance(first, dict) else {}
