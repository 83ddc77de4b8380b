"""Samples from llama.cpp's server by its own API: its tokenizer, its chat template, and its word on the sampler."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from refute.engines.humaneval.backends.interface import PromptFormat
from refute.engines.humaneval.backends.servers.reported_sampler import require_as_asked
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.prompts import (
    EXTRACTION,
    Protocol,
    build_prompt,
    carried_text,
    find_stop,
    template_sha256,
    truncate,
)
from refute.engines.humaneval.samples.call_log import Note
from refute.engines.humaneval.samples.completion import Completion
from refute.engines.humaneval.samples.sampler import Sampler, random_stream
from refute.engines.model.server.client import Client
from refute.errors import ExperimentError, NonFiniteError
from refute.spec.experiments.evidence.humaneval import ModelCall, Stop

Found = TypeVar("Found", list[int], str)
_STOPS: Mapping[str, Stop] = {"eos": "eos", "word": "stop", "limit": "length"}

# The protocols' stops in words that the server knows, to save time: where a text ends is decided here. A body ends
# where a line begins with anything but white space, a comment or a closing bracket.
_LINE_STARTS = tuple(f"\n{chr(code)}" for code in range(33, 127) if chr(code) not in "#)]}")
_FENCE = "```"

# SHA-256 of the template that llama.cpp makes up for a file that has none (xllamacpp 2026.10; a test holds it).
_MADE_UP = "cc145ac597328b60dbce2631dce17c0c84bb6a87b2380cc0473e2e1291965db7"


class LlamaServer:
    """One server at `root` and what it is asked; a `CompletionApi`."""

    def __init__(
        self,
        client: Client,
        root: str,
        props: Mapping[str, Any],
        protocol: Protocol,
        sampler: Sampler,
        tokens: int,
        on_call: Note,
    ) -> None:
        self._client, self._root, self._sampler, self._tokens = client, root, sampler, tokens
        self._on_call = on_call
        self._protocol = protocol
        self._context = int(props["default_generation_settings"]["n_ctx"])
        self._tokenizer = ServedTokenizer(client, root, _own_template(props))
        self._prompts: dict[str, tuple[list[int], str]] = {}
        self.reported: Mapping[str, object] | None = None
        self.prompt_format = PromptFormat(
            protocol.name,
            protocol.stops,
            EXTRACTION,
            template_sha256(self._tokenizer, protocol),
            protocol.system_prompt,
        )

    @property
    def adaptations(self) -> tuple[str, ...]:
        """None: its own API is known."""
        return ()

    def complete(self, problem: Problem, sample: int) -> Completion:
        """The server's answer to one problem. Raises ExperimentError, or NonFiniteError for logits that are NaN."""
        ids, carried = self._prompt(problem)
        settings = self._settings(problem.task_id, sample)
        stops = [*_LINE_STARTS, _FENCE] if self._protocol.chat else _LINE_STARTS
        body = {**settings, "prompt": ids, "stop": stops, "cache_prompt": False, "n_probs": 1}
        self._on_call(self._call(problem.task_id, sample, ids))
        answer = self._client.post(f"{self._root}/completion", body, problem.task_id)
        reported = require_as_asked(problem.task_id, settings, answer)
        if reported is not None:
            self.reported = {name: value for name, value in reported.items() if name != "seed"}
        return self._completion(problem.task_id, sample, carried, answer)

    def _call(self, task_id: str, sample: int, ids: list[int]) -> ModelCall:
        return ModelCall(
            task_id=task_id,
            sample=sample,
            prompt_ids=tuple(ids),
            max_new_tokens=self._tokens,
            stop_sequences=self._protocol.stops,
            sampler=self._sampler.method,
            temperature=self._sampler.temperature,
        )

    def _settings(self, task_id: str, sample: int) -> dict[str, object]:
        """Everything that acts on the logits, in the order of this package's own sampler: no default has a say."""
        sampler = self._sampler
        return {
            "n_predict": self._tokens,
            "seed": random_stream(sampler, task_id, sample).getrandbits(31),
            "samplers": ["temperature", "top_p"],
            "temperature": sampler.temperature,
            "top_p": sampler.top_p,
            "top_k": 0,
            "min_p": 0.0,
            "typical_p": 1.0,
            "xtc_probability": 0.0,
            "dynatemp_range": 0.0,
            "repeat_penalty": sampler.repetition_penalty,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "dry_multiplier": 0.0,
            "mirostat": 0,
            "ignore_eos": False,
        }

    def _prompt(self, problem: Problem) -> tuple[list[int], str]:
        """The prompt's tokens, and the part of it that belongs to the answer. Several threads may find the same."""
        if problem.task_id not in self._prompts:
            prompt = build_prompt(problem, self._tokenizer, self._protocol)
            # llama.cpp takes a template's own BOS away, because the tokenizer adds it.
            ids = self._tokenizer(prompt, add_special_tokens=True)["input_ids"]
            if len(ids) + self._tokens > self._context:
                raise ExperimentError(
                    f"{problem.task_id}: {len(ids)} prompt tokens + {self._tokens} new ones exceed "
                    f"the server's context of {self._context} a request",
                    hint="lower --max-new-tokens, or start the server with a larger context",
                )
            self._prompts[problem.task_id] = ids, carried_text(prompt)
        return self._prompts[problem.task_id]

    def _completion(self, task_id: str, sample: int, carried: str, answer: Any) -> Completion:
        try:
            content, tokens, word = answer["content"], answer["tokens_predicted"], answer["stopping_word"]
            ended, odds = answer["stop_type"], answer.get("completion_probabilities", [])
            text, own_stop, cut = carried + content + word, _STOPS[ended], answer["truncated"]
            finite = all(each.get("logprob", 0.0) is not None for each in odds)
        except (KeyError, TypeError, AttributeError) as error:
            raise _unfinished(task_id, answer) from error
        if cut or not isinstance(tokens, int):
            raise _unfinished(task_id, answer)
        if not finite:
            raise NonFiniteError(
                f"{task_id}: the logits of a new token are NaN or infinite",
                hint="look for NaN in the model's weights; a model that computes NaN cannot be scored",
            )
        stop = "stop" if find_stop(text, self._protocol) is not None else own_stop
        return Completion(task_id, truncate(text, self._protocol), tokens, stop, sample)


class ServedTokenizer:
    """The server's tokenizer and chat template, for `build_prompt`."""

    def __init__(self, client: Client, root: str, chat_template: str | None) -> None:
        self._client, self._root, self.chat_template = client, root, chat_template

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        """The text's token ids, under `input_ids`."""
        body = {"content": text, "add_special": add_special_tokens, "parse_special": True}
        return {"input_ids": self._field("tokenize", body, "tokens", list)}

    def apply_chat_template(
        self, turns: list[dict[str, str]], *, tokenize: Literal[False], add_generation_prompt: Literal[True]
    ) -> str:
        """The turns as the model's own text, ending where the assistant begins."""
        return self._field("apply-template", {"messages": turns}, "prompt", str)

    def _field(self, path: str, body: Mapping[str, object], name: str, kind: type[Found]) -> Found:
        answer = self._client.post(f"{self._root}/{path}", body, f"/{path}")
        if not isinstance(answer, dict) or not isinstance(answer.get(name), kind):
            raise ExperimentError(f"/{path} gave no {name!r}: {str(answer)[:300]}", hint="is this llama.cpp's server?")
        found: Found = answer[name]
        return found


def _unfinished(task_id: str, answer: object) -> ExperimentError:
    return ExperimentError(
        f"{task_id}: the server's answer is no finished text: {str(answer)[:300]}",
        hint="a text that was cut is no answer; look at the server's version and its log",
    )


def _own_template(props: Mapping[str, Any]) -> str | None:
    template = props.get("chat_template")
    if not isinstance(template, str) or hashlib.sha256(template.encode("utf-8")).hexdigest() == _MADE_UP:
        return None
    return template
