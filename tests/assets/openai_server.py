"""An OpenAI-compatible server on this machine that knows the answers, and what can be wrong with it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Fake:
    """A server that knows the answers; `mode` says what is wrong with it."""

    answers: dict[str, str]
    mode: str = "drops half"
    settings: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    tries: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def remark(self, body: dict[str, Any], number: int) -> str:
        """What makes samples differ: the seed where it draws, or whatever comes to its mind."""
        if self.mode == "wanders":
            return f"    # {number}"
        return f"    # {body['seed']}" if body["temperature"] > 0 and self.mode != "only greedy" else ""


def handler(fake: Fake) -> type[BaseHTTPRequestHandler]:
    """The server's behaviour, in the order: nothing, half an answer, a 503, then the answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with fake.lock:
                fake.requests += [{"path": self.path, "key": self.headers["Authorization"]}] * self.path.endswith(
                    "where"
                )
            if fake.mode == "vLLM" and self.path == "/v1/models":
                self.send(200, json.dumps(VLLM_MODELS).encode())
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with fake.lock:
                fake.requests.append({**body, "path": self.path, "key": self.headers["Authorization"]})
                asked = f"{body.get('prompt')}{body.get('seed')}"
                fake.tries[asked] += 1
                tries = fake.tries[asked]
                number = len(fake.requests)
                fake.at_once += 1
                fake.most_at_once = max(fake.most_at_once, fake.at_once)
            threading.Event().wait(0.02)
            # Before the answer: who reads it may ask again while this thread still closes its connection.
            with fake.lock:
                fake.at_once -= 1
            self.answer(body, tries, number)

        def answer(self, body: dict[str, Any], tries: int, number: int) -> None:
            if fake.mode == "drops half" and tries % 2:
                kind = number % 3
                if kind == 0:
                    self.close_connection = True
                elif kind == 1:
                    self.send(200, b'{"choices": [{"te', length=500)
                else:
                    self.send(503, b"busy")
            elif fake.mode == "quotes":
                self.send(401, f"bad key {self.headers['Authorization']}".encode())
            elif fake.mode == "moved":
                self.send_response(302)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
            elif fake.mode == "refuses":
                self.send(400, b"no such model")
            elif fake.mode in STRICT and (refusal := STRICT[fake.mode](body)):
                self.send(400, refusal.encode())
            elif fake.mode == "vLLM":
                self.send(*vllm(body, fake.answers))
            elif fake.mode == "reasons only" and "plus_one" in str(body):
                self.send(200, chat(None, reasoning_content="hm"))
            elif fake.mode == "says nothing" and "plus_one" in str(body):
                self.send(200, chat(None))
            elif fake.mode == "filters" and "plus_one" in str(body):
                self.send(200, reply("", "content_filter"))
            elif fake.mode == "dies" and number > 2:
                self.close_connection = True
            elif fake.mode == "interrupts" and number == 2:
                os.kill(os.getpid(), signal.SIGINT)
                self.close_connection = True
            elif self.path.endswith("/chat/completions"):
                head = body["messages"][-1]["content"].split("```")[1].removeprefix("python\n").rstrip()
                self.send(200, chat(f"Sure!\n```python\n{head}{fake.answers[head]}```\nThis works."))
            else:
                text = fake.answers[body["prompt"]] + fake.remark(body, number) + "\n\nprint(1)"
                self.send(200, reply(text, "stop", fake.settings))

        def send(self, status: int, data: bytes, *, length: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length or len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


def reply(text: str, reason: str, settings: dict[str, Any] | None = None) -> bytes:
    """An answer as vLLM and llama-server give it, with the sampler's settings where there are any."""
    choice = {"text": text, "finish_reason": reason, "index": 0}
    more = {"__verbose": {"generation_settings": settings}} if settings else {}
    return json.dumps({"choices": [choice], "usage": {"completion_tokens": 5}, **more}).encode()


def chat(text: str | None, **more: str) -> bytes:
    """An answer in a chat, as a server gives it that counts no tokens and does not say why it ended."""
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text, **more}, "index": 0}]}).encode()


def _old_names(body: dict[str, Any]) -> str:
    """A server of newer models: it renamed one parameter, and takes two no more, which it says one after the other."""
    if "max_tokens" in body:
        return "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    return next((f"Unrecognized request argument supplied: {name}" for name in ("seed", "stop") if name in body), "")


def _no_budget(body: dict[str, Any]) -> str:
    """A server that takes no limit by any name."""
    return next((f"Unknown parameter: {name}" for name in body if name.startswith("max_")), "")


STRICT = {"old names": _old_names, "no budget": _no_budget}


# What vLLM 0.11 serves, written down from its protocol and not recorded from a server: every field, most of them null.
VLLM_MODELS = {
    "object": "list",
    "data": [
        {
            "id": "some/model",
            "object": "model",
            "created": 1761000000,
            "owned_by": "vllm",
            "root": "some/model",
            "parent": None,
            "max_model_len": 2048,
            "permission": [{"id": "modelperm-1", "object": "model_permission", "organization": "*", "group": None}],
        }
    ],
}
_VLLM_NULL = {"service_tier": None, "system_fingerprint": None, "kv_transfer_params": None, "prompt_logprobs": None}


def vllm(body: dict[str, Any], answers: dict[str, str]) -> tuple[int, bytes]:
    """Status and answer of a vLLM whose model's generation_config.json has a penalty, in force unless switched off.

    It stops before a stop of the request, says which under `stop_reason`, and refuses a model that it does not serve.
    """
    if body["model"] != "some/model":
        error = {"message": f"The model `{body['model']}` does not exist.", "type": "NotFoundError", "code": 404}
        return 404, json.dumps({"error": {**error, "param": None}}).encode()
    penalised = body.get("repetition_penalty") != 1.0 or body.get("top_k") != -1
    usage = {"prompt_tokens": 9, "total_tokens": 14, "completion_tokens": 5, "prompt_tokens_details": None}
    choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": "stop", "token_ids": None}
    if "messages" in body:
        head = body["messages"][-1]["content"].split("```")[1].removeprefix("python\n").rstrip()
        text = f"```python\n{head}{answers[head]}```"
        nulls = dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning_content"))
        message: dict[str, Any] = {"role": "assistant", "content": text, "tool_calls": [], **nulls}
        choice |= {"message": message, "stop_reason": None}
    else:
        text = answers[body["prompt"]]
        choice |= {"text": text, "stop_reason": body["stop"][0], "prompt_token_ids": None}
    if penalised:
        choice = json.loads(json.dumps(choice).replace("return", "retrun"))
    return 200, json.dumps(
        {"id": "cmpl-1", "model": body["model"], "choices": [choice], "usage": usage} | _VLLM_NULL
    ).encode()


@contextmanager
def running(answers: dict[str, str]) -> Iterator[Fake]:
    """A server that answers each head of a function so, on a free port of this machine until the block ends."""
    found = Fake(answers)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(found))
    found.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def arguments(fake: Fake, problem_file: Path, out: Path, *more: object) -> list[str]:
    """`eval humaneval` against the server."""
    fixed = ["eval", "humaneval", "--backend", "openai", "--base-url", fake.url, "--model", "some/model", "--out", out]
    return [str(each) for each in (*fixed, "--problems", problem_file, "--minimum-isolation", "rlimits", *more)]
