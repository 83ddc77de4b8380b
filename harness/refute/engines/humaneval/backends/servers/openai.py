"""Samples from any server that speaks OpenAI's protocol: the bare prompt, or a chat whose whole answer is read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from refute.engines.humaneval.backends.interface import PromptFormat
from refute.engines.humaneval.backends.servers.openai_choice import read_choice
from refute.engines.humaneval.backends.servers.parameters import Parameters
from refute.engines.humaneval.backends.servers.reported_sampler import require_as_asked
from refute.engines.humaneval.problems import chat_answer as whole_answer
from refute.engines.humaneval.problems.problems import Problem
from refute.engines.humaneval.problems.program import function_head
from refute.engines.humaneval.problems.prompts import (
    EXTRACTION,
    PROTOCOLS,
    Protocol,
    chat_turns,
    find_stop,
    truncate,
)
from refute.engines.humaneval.samples.call_log import Note
from refute.engines.humaneval.samples.completion import Completion
from refute.engines.humaneval.samples.sampler import Sampler, random_stream
from refute.engines.model.server.client import Client, RefusedError, Server
from refute.spec.experiments.evidence.humaneval import ModelCall

_BARE = PROTOCOLS["completion"]

# Each begins a line in column 0, where the protocol ends an answer anyway: sent to save time, not to decide. No more
# than four are allowed by OpenAI.
_EARLY_STOPS = ("\ndef ", "\nclass ", "\nif ", "\nprint(")

# vLLM takes what a body leaves out from the model's generation_config.json, and penalties change greedy answers, too.
VLLM_NEUTRAL: Mapping[str, object] = MappingProxyType(
    {
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }
)


class OpenAiServer:
    """One server and what it is asked; a `CompletionApi`. Templates and tokens are the server's affair.

    `neutral`: settings of its own that are sent with every request.
    """

    def __init__(
        self,
        client: Client,
        server: Server,
        protocol: Protocol,
        sampler: Sampler,
        tokens: int,
        on_call: Note,
        *,
        neutral: Mapping[str, object],
    ) -> None:
        self._client, self._sampler, self._tokens, self._on_call = client, sampler, tokens, on_call
        self._base, self._model = server.base_url.rstrip("/"), server.model
        self._protocol, self._chat = protocol, protocol.chat
        self._parameters, self._neutral = Parameters(), neutral
        # Under which other names its answers say that the model is.
        self._names: set[str] = set()
        self.reported: Mapping[str, object] | None = None
        self.prompt_format = (
            PromptFormat(whole_answer.NAME, (), whole_answer.EXTRACTION, None, protocol.system_prompt)
            if self._chat
            else PromptFormat("completion", _BARE.stops, EXTRACTION, None)
        )

    @property
    def adaptations(self) -> tuple[str, ...]:
        """Parameters that this server refused, and what was done; those it alone was sent; its model's other names."""
        neutral = (f"{name} sent as {value}" for name, value in self._neutral.items())
        return (*self._parameters.words, *neutral, *(f"answered as {name!r}" for name in sorted(self._names)))

    def complete(self, problem: Problem, sample: int) -> Completion:
        """The server's answer to one problem. Raises ExperimentError for one that is no finished text."""
        settings: dict[str, object] = {
            "max_tokens": self._tokens,
            "temperature": self._sampler.temperature,
            "top_p": self._sampler.top_p,
            "seed": random_stream(self._sampler, problem.task_id, sample).getrandbits(31),
        }
        what: dict[str, object] = (
            {"messages": chat_turns(self._protocol, function_head(problem))}
            if self._chat
            else {"prompt": function_head(problem), "stop": _EARLY_STOPS}
        )
        path = "chat/completions" if self._chat else "completions"
        body = {"model": self._model, **settings, **self._neutral, **what}
        self._on_call(self._call(problem, sample))
        answer = self._post(f"{self._base}/{path}", body, problem.task_id)
        named = answer.get("model") if isinstance(answer, dict) else None
        self._names |= {str(named)} - {self._model, "None"}
        reported = require_as_asked(problem.task_id, settings, answer)
        if reported is not None:
            self.reported = {name: value for name, value in reported.items() if name != "seed"}
        choice = read_choice(problem.task_id, answer, chat=self._chat, budget=self._tokens)
        text, tokens = choice.text, choice.tokens
        if self._chat:
            code, found = whole_answer.read_answer(problem, text)
            return Completion(problem.task_id, code, tokens, choice.stop, sample, text, found.words)
        stop = "stop" if find_stop(text, _BARE) is not None else choice.stop
        return Completion(problem.task_id, truncate(text, _BARE), tokens, stop, sample)

    def _post(self, url: str, body: Mapping[str, object], task_id: str) -> object:
        """The answer, asked for with the parameters that this server takes. Raises as `Client.post` does."""
        while True:
            sent = self._parameters.of(body)
            try:
                return self._client.post(url, sent, task_id)
            except RefusedError as error:
                if not self._parameters.learn(error.said, sent):
                    raise

    def _call(self, problem: Problem, sample: int) -> ModelCall:
        head = function_head(problem)
        return ModelCall(
            task_id=problem.task_id,
            sample=sample,
            prompt=chat_turns(self._protocol, head)[-1]["content"] if self._chat else head,
            system_prompt=self._protocol.system_prompt,
            max_new_tokens=self._tokens,
            stop_sequences=self.prompt_format.stop_sequences,
            sampler=self._sampler.method,
            temperature=self._sampler.temperature,
        )
