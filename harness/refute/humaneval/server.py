"""Samples from an OpenAI-compatible server (vLLM, llama-server): many requests at a time, each until it is answered."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from refute.errors import ExperimentError, UsageError
from refute.humaneval.generate import Completion, Stop
from refute.humaneval.problems import Problem
from refute.humaneval.prompts import PROTOCOLS, find_stop, function_head, truncate
from refute.humaneval.sampler import Sampler, dice
from refute.humaneval.samples import SampleLog
from refute.job import Report

# A request that met a fault on the way, or a server that is busy, starting or broken, may succeed later.
_WORTH_ANOTHER_TRY = {408, 409, 425, 429, 500, 502, 503, 504}
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 10.0
_PROTOCOL = PROTOCOLS["completion"]
# Each begins a line in column 0, where the protocol ends an answer anyway: sent to save time, not to decide.
_EARLY_STOPS = ("\ndef ", "\nclass ", "\nif ", "\nprint(")


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask: `base_url` as OpenAI's clients take it (`http://host:8000/v1`), and how patiently.

    `key_variable` names the environment variable that holds the API key, if the server wants one.
    """

    base_url: str
    model: str
    concurrency: int = 8
    attempts: int = 16
    timeout_s: float = 300.0
    key_variable: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The completions in the order of problems and then samples, and the requests that had to be repeated."""

    completions: tuple[Completion, ...]
    retries: int


def ask_server(
    server: Server,
    problems: Sequence[Problem],
    sampler: Sampler,
    max_new_tokens: int,
    log: SampleLog,
    report: Report,
    *,
    on_step: Callable[[], None] = lambda: None,
) -> Asked:
    """Ask for every sample that `log` does not hold, by the bare prompt, and add it as it arrives.

    Each request carries a seed of its own, a function of seed, task and sample; whether the server then repeats itself
    is up to the server. `on_step` is called at every answer and may raise. Raises UsageError for an address that is not
    HTTP; ExperimentError, naming the task, for a request that is refused or not answered in `attempts` tries, and for
    an answer without text: what arrived before it is kept, and the next call asks for the rest.
    """
    if not server.base_url.startswith(("http://", "https://")):
        raise UsageError(
            f"{server.base_url!r} is no HTTP address", hint="for example --base-url http://localhost:8000/v1"
        )
    wanted = [(problem, sample) for problem in problems for sample in range(sampler.n)]
    todo = iter([each for each in wanted if (each[0].task_id, each[1]) not in log.done])
    client = _Client(server, sampler, max_new_tokens)
    running: set[Future[Completion]] = set()
    with ThreadPoolExecutor(server.concurrency, thread_name_prefix="server") as pool:
        try:
            while True:
                while len(running) < server.concurrency and (each := next(todo, None)) is not None:
                    running.add(pool.submit(client.complete, *each))
                if not running:
                    break
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                # All that arrived are kept, then the first error counts.
                for future in sorted(ended, key=lambda each: each.exception() is not None):
                    log.add(future.result())
                report("generate", len(log.done), len(wanted), {"retries": client.retries})
                on_step()
        except BaseException:
            client.given_up = True
            raise
    done = log.done
    return Asked(tuple(done[problem.task_id, sample] for problem, sample in wanted), client.retries)


class _Client:
    """Sends one request after the other from each thread that calls it."""

    def __init__(self, server: Server, sampler: Sampler, max_new_tokens: int) -> None:
        self._server, self._sampler, self._max_new_tokens = server, sampler, max_new_tokens
        self._lock = threading.Lock()
        self.retries = 0
        self.given_up = False

    def complete(self, problem: Problem, sample: int) -> Completion:
        """The server's answer to one problem."""
        body: dict[str, object] = {
            "model": self._server.model,
            "prompt": function_head(problem),
            "max_tokens": self._max_new_tokens,
            "temperature": self._sampler.temperature,
            "top_p": self._sampler.top_p,
            "seed": dice(self._sampler, problem.task_id, sample).getrandbits(31),
            "stop": _EARLY_STOPS,
        }
        return _completion(problem.task_id, sample, self._ask(problem.task_id, body))

    def _ask(self, task_id: str, body: dict[str, object]) -> object:
        fault, tries = "", 0
        while tries < self._server.attempts and not self.given_up:
            if tries:
                with self._lock:
                    self.retries += 1
                time.sleep(min(_FIRST_PAUSE_S * 2 ** (tries - 1), _LONGEST_PAUSE_S))
            tries += 1
            try:
                return self._post(body)
            except urllib.error.HTTPError as error:
                fault = f"HTTP {error.code}: {error.read(300).decode('utf-8', 'replace')}"
                if error.code not in _WORTH_ANOTHER_TRY:
                    break
            except (OSError, http.client.HTTPException, ValueError) as error:
                fault = f"{type(error).__name__}: {error}"
        raise ExperimentError(
            f"{task_id}: {self._server.base_url} gave no answer in {tries} tries; the last: {fault}",
            hint="this is no score: look at the server, then run the same command again; what arrived is kept",
        )

    def _post(self, body: dict[str, object]) -> object:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self._server.key_variable or ""):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            f"{self._server.base_url.rstrip('/')}/completions", json.dumps(body).encode("ascii"), headers
        )
        with urllib.request.urlopen(request, timeout=self._server.timeout_s) as answer:  # noqa: S310 - as above
            return json.loads(answer.read())


def _completion(task_id: str, sample: int, answer: object) -> Completion:
    try:
        choice = answer["choices"][0]  # type: ignore[index]  # whatever it is, the next lines find out
        text, reason = choice["text"], choice["finish_reason"]
        tokens = answer["usage"]["completion_tokens"]  # type: ignore[index]  # as above
    except (KeyError, IndexError, TypeError):
        text = reason = tokens = None
    if not isinstance(text, str) or not isinstance(tokens, int) or reason not in ("stop", "length"):
        raise ExperimentError(
            f"{task_id}: the server's answer has no choices[0].text with finish_reason stop or length and "
            f"usage.completion_tokens: {json.dumps(answer)[:300]}",
            hint="this backend needs OpenAI's /completions; an answer that was filtered or cut is no answer",
        )
    stop: Stop = "stop" if find_stop(text, _PROTOCOL) is not None or reason == "stop" else "length"
    return Completion(task_id, truncate(text, _PROTOCOL), tokens, stop, sample)
