"""The OpenAI-compatible backend against a real HTTP server on this machine that drops half of the requests."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from refute.humaneval.problems import Problem
from refute.humaneval.prompts import function_head

if TYPE_CHECKING:
    from tests.conftest import Cli


@dataclass
class Fake:
    """A server that knows the answers; `mode` says what is wrong with it."""

    answers: dict[str, str]
    mode: str = "drops half"
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    tries: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def handler(fake: Fake) -> type[BaseHTTPRequestHandler]:
    """The server's behaviour, in the order: nothing, half an answer, a 503, then the answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with fake.lock:
                fake.requests.append({**body, "path": self.path, "key": self.headers["Authorization"]})
                fake.tries[f"{body['prompt']}{body['seed']}"] += 1
                tries = fake.tries[f"{body['prompt']}{body['seed']}"]
                number = len(fake.requests)
                fake.at_once += 1
                fake.most_at_once = max(fake.most_at_once, fake.at_once)
            threading.Event().wait(0.02)
            try:
                self.answer(body, tries, number)
            finally:
                with fake.lock:
                    fake.at_once -= 1

        def answer(self, body: dict[str, Any], tries: int, number: int) -> None:
            if fake.mode == "drops half" and tries % 2:
                kind = number % 3
                if kind == 0:
                    self.close_connection = True
                elif kind == 1:
                    self.send(200, b'{"choices": [{"te', length=500)
                else:
                    self.send(503, b"busy")
            elif fake.mode == "refuses":
                self.send(400, b"no such model")
            elif fake.mode == "filters" and "plus_one" in body["prompt"]:
                self.send(200, reply("", "content_filter"))
            elif fake.mode == "dies" and number > 2:
                self.close_connection = True
            else:
                self.send(200, reply(fake.answers[body["prompt"]] + "\n\nprint(1)", "stop"))

        def send(self, status: int, data: bytes, *, length: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length or len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


def reply(text: str, reason: str) -> bytes:
    """An answer as vLLM and llama-server give it."""
    choice = {"text": text, "finish_reason": reason, "index": 0}
    return json.dumps({"choices": [choice], "usage": {"completion_tokens": 5}}).encode()


@pytest.fixture
def fake(problems: list[Problem]) -> Iterator[Fake]:
    """The server, running."""
    found = Fake({function_head(problem): "\n" + problem.canonical_solution for problem in problems})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(found))
    found.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def arguments(fake: Fake, problem_file: Path, out: Path, *more: object) -> list[str]:
    """`eval humaneval` against the server."""
    fixed = ["eval", "humaneval", "--backend", "openai", "--base-url", fake.url, "--model", "some/model", "--out", out]
    return [str(each) for each in (*fixed, "--problems", problem_file, "--minimum-isolation", "rlimits", *more)]


def test_half_of_the_requests_may_be_lost(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every first try fails, by silence, half an answer or a 503: all samples arrive, are cut at the stop, and pass."""
    monkeypatch.setenv("SERVER_KEY", "k")
    more = ("-n", 4, "-t", 0.2, "--concurrency", 4, "--key-variable", "SERVER_KEY", "--json")
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", *more))
    # The server gives every sample of a problem the same text, which is noticed: samples that are all alike.
    assert ended.returncode == 1, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["passed"], summary["generation"]["retries"], len(fake.requests)) == (12, 12, 24)
    assert summary["generation"]["diversity"]["problems_with_identical_samples"] == 3
    assert (summary["generation"]["model_sha256"], summary["generation"]["served_model"]) == (None, "some/model")
    sent = fake.requests[0]
    assert (sent["path"], sent["key"], sent["model"]) == ("/v1/completions", "Bearer k", "some/model")
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (0.2, 0.95, 512)
    assert len({request["seed"] for request in fake.requests}) == 12
    assert 2 <= fake.most_at_once <= 4


def test_one_sample_each_is_no_cause_for_alarm(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """Greedy, one answer a problem, no fault: exit 0."""
    fake.mode = "works"
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", "--limit", 2))
    assert (ended.returncode, len(fake.requests)) == (0, 2), ended.stderr


def test_a_server_that_dies_is_an_error_and_the_rest_is_asked_later(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path
) -> None:
    """What arrived is kept: the next call asks for the one that is missing, and scores all three."""
    fake.mode = "dies"
    more = ("--concurrency", 1, "--attempts", 3)
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", *more))
    assert ended.returncode == 2
    assert "Own/2: http://127.0.0.1" in ended.stderr
    assert "gave no answer in 3 tries" in ended.stderr
    assert not (tmp_path / "out" / "results.jsonl").exists()
    before, fake.mode = len(fake.requests), "works"
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", *more, "--json"))
    assert (ended.returncode, len(fake.requests) - before, json.loads(ended.stdout)["passed"]) == (0, 1, 3)


@pytest.mark.parametrize(
    ("mode", "message"), [("refuses", "in 1 tries; the last: HTTP 400: no such model"), ("filters", "content_filter")]
)
def test_an_inference_error_is_an_error_and_never_a_score(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path, mode: str, message: str
) -> None:
    """A refused request and an answer that was filtered away end in 2, without results."""
    fake.mode = mode
    ended = cli(*arguments(fake, problem_file, tmp_path / "out"))
    assert (ended.returncode, message in ended.stderr) == (2, True), ended.stderr
    assert not (tmp_path / "out" / "results.jsonl").exists()


def test_what_a_server_cannot_do_is_said(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """No chat protocol, and no address that is not HTTP."""
    chat = cli(*arguments(fake, problem_file, tmp_path / "a", "--protocol", "chat"))
    local = cli(*arguments(fake, problem_file, tmp_path / "b", "--base-url", "file:///etc/passwd"))
    assert (chat.returncode, "bare prompt only" in chat.stderr) == (2, True)
    assert (local.returncode, "is no HTTP address" in local.stderr) == (2, True)
    assert fake.requests == []
