"""The OpenAI-compatible backend against a real HTTP server on this machine that drops half of the requests."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from refute.errors import ExperimentError, MissingInputsError, UsageError
from refute.humaneval.experiments import evaluate
from refute.humaneval.problems import Problem
from refute.humaneval.prompts import assemble, function_head
from refute.humaneval.whole_answer import completion
from refute.job import Job

if TYPE_CHECKING:
    from tests.conftest import Cli


class Desk(Protocol):
    """What the fixture `desk` offers."""

    root: Path

    def job(self, config: dict[str, object], out: str = "out", **inputs: Path) -> Job: ...


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
            self.send_error(404)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with fake.lock:
                fake.requests.append({**body, "path": self.path, "key": self.headers["Authorization"]})
                asked = f"{body.get('prompt')}{body['seed']}"
                fake.tries[asked] += 1
                tries = fake.tries[asked]
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
            elif fake.mode == "quotes":
                self.send(401, f"bad key {self.headers['Authorization']}".encode())
            elif fake.mode == "moved":
                self.send_response(302)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
            elif fake.mode == "refuses":
                self.send(400, b"no such model")
            elif fake.mode == "filters" and "plus_one" in str(body):
                self.send(200, reply("", "content_filter"))
            elif fake.mode == "dies" and number > 2:
                self.close_connection = True
            elif fake.mode == "interrupts" and number == 2:
                os.kill(os.getpid(), signal.SIGINT)
                self.close_connection = True
            elif self.path.endswith("/chat/completions"):
                head = body["messages"][0]["content"].split("```")[1].removeprefix("python\n").rstrip()
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


def chat(text: str) -> bytes:
    """An answer in a chat."""
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop", "index": 0}
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
    """Every other try fails, by silence, half an answer or a 503: all samples arrive, are cut at the stop, and pass."""
    monkeypatch.setenv("SERVER_KEY", "k")
    more = ("-n", 4, "-t", 0.2, "--concurrency", 4, "--key-variable", "SERVER_KEY", "--json")
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", *more))
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    # 12 samples, and 8 of them once more; each is lost on its first try.
    assert (summary["passed"], summary["generation"]["retries"], len(fake.requests)) == (12, 20, 40)
    assert summary["generation"]["diversity"]["distinct_samples"] == 12
    assert (summary["generation"]["model_sha256"], summary["generation"]["served_model"]) == (None, "some/model")
    assert summary["generation"]["sampler_reported_by"] == "requested, not reported"
    sent = fake.requests[0]
    assert (sent["path"], sent["key"], sent["model"]) == ("/v1/completions", "Bearer k", "some/model")
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (0.2, 0.95, 512)
    assert len({request["seed"] for request in fake.requests}) == 12
    assert 2 <= fake.most_at_once <= 4


def test_one_sample_each_is_no_cause_for_alarm(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """Greedy, one answer a problem, no fault: exit 0, each asked for twice."""
    fake.mode = "works"
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", "--limit", 2))
    assert (ended.returncode, len(fake.requests)) == (0, 4), ended.stderr


@pytest.mark.parametrize("n", [1, 3])
def test_a_server_that_ignores_the_temperature_is_found_out(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path, n: int
) -> None:
    """It says 0.2 and takes the likeliest token: samples that are all alike were not drawn, nor was a single one."""
    fake.mode, fake.settings = "only greedy", {"temperature": 0.2, "top_p": 0.95}
    command = arguments(fake, problem_file, tmp_path / "out", "-n", n, "-t", 0.2)
    for ended in (cli(*command), cli(*command)):
        assert (ended.returncode, "nothing was drawn" in ended.stderr) == (2, True), ended.stderr
    assert not (tmp_path / "out" / "results.jsonl").exists()


def test_a_server_that_does_not_repeat_itself_at_temperature_0_is_found_out(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path
) -> None:
    """Two greedy runs must be identical, and that is measured."""
    fake.mode = "wanders"
    ended = cli(*arguments(fake, problem_file, tmp_path / "out"))
    assert (ended.returncode, "at T = 0 only 0 of 3 samples came out" in ended.stderr) == (2, True), ended.stderr
    assert not (tmp_path / "out" / "results.jsonl").exists()


def test_what_the_sampler_reports_is_evidence_or_an_error(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path
) -> None:
    """Its own values where it gives them; another temperature than the one asked for ends the run."""
    fake.mode, fake.settings = "works", {"temperature": 0.200000003, "mirostat": 2}
    ended = cli(*arguments(fake, problem_file, tmp_path / "a", "-n", 2, "-t", 0.2, "--json"))
    assert ended.returncode == 0, ended.stderr
    made = json.loads(ended.stdout)["generation"]
    assert made["sampler_reported_by"] == "the server, with every answer"
    assert made["effective_sampler"]["temperature"] == 0.200000003
    fake.settings = {"temperature": 0.8}
    ended = cli(*arguments(fake, problem_file, tmp_path / "b", "-n", 2, "-t", 0.2))
    assert (ended.returncode, "reports temperature = 0.8, asked for 0.2" in ended.stderr) == (2, True), ended.stderr


def test_a_chat_is_another_protocol(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """One turn is asked at the chat's own address, the fenced function is executed, and the evidence has its name."""
    fake.mode = "works"
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", "--protocol", "chat", "--json"))
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["passed"], summary["generation"]["protocol"]) == (3, "chat_answer")
    assert "fenced block" in summary["generation"]["extraction"]
    assert {(sent["path"], "prompt" in sent, len(sent["messages"])) for sent in fake.requests} == {
        ("/v1/chat/completions", False, 1)
    }


def test_a_server_that_dies_is_an_error_and_the_rest_is_asked_later(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path
) -> None:
    """What arrived is kept: the next call asks for the missing one, then for each once more, and scores all three."""
    fake.mode = "dies"
    more = ("--concurrency", 1, "--attempts", 3)
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", *more))
    assert ended.returncode == 2
    assert "Own/2: http://127.0.0.1" in ended.stderr
    assert "gave no answer in 3 tries" in ended.stderr
    assert not (tmp_path / "out" / "results.jsonl").exists()
    before, fake.mode = len(fake.requests), "works"
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", *more, "--json"))
    assert (ended.returncode, len(fake.requests) - before, json.loads(ended.stdout)["passed"]) == (0, 1 + 3, 3)


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


def test_a_stated_share_of_errors_counts_as_failed(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """One of three without an answer: too many for 0.3; for 0.34 two problems pass, and the third failed, by name."""
    fake.mode = "filters"
    command = arguments(fake, problem_file, tmp_path / "out", "--json", "--allowed-errors")
    ended = cli(*command, "0.3")
    assert (ended.returncode, "1 of 3 samples have no verdict (33.3 %), 30 % may have none" in ended.stderr) == (
        2,
        True,
    )
    ended = cli(*command, "0.34")
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["passed"], summary["scored"], summary["missing_problems"]) == (2, 2, ["Own/1"])
    assert (summary["pass_at_k"], summary["allowed_errors"]) == ({"1": 2 / 3}, 0.34)
    assert (summary["problems"], summary["samples_a_problem"]) == (3, [1, 1])
    assert [(each["task_id"], each["sample"]) for each in summary["generation"]["errors"]] == [("Own/1", 0)]
    assert cli(*command, "0.3").returncode == 2


UNDECIDED = ("--bar", 50, "--look-every", 1, "--concurrency", 1, "--json")


def test_a_bar_ends_the_asking(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """One right answer decides against 1 %: nothing else is asked, but that answer once more; the table says so."""
    fake.mode = "works"
    rule = ("--bar", 1, "--error-rate", 0.4, "--look-every", 1)
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", *rule))
    assert (ended.returncode, len(fake.requests)) == (0, 2), ended.stderr
    assert "generate 1/3  retries 0  passed 0  bar % 1  interval sequential" in ended.stderr
    assert "lies above 1 %" in ended.stdout
    assert "ended at look 1 of 3, 1 of 3 problems" in ended.stdout
    again = cli(*arguments(fake, problem_file, tmp_path / "out", *rule, "--json"))
    summary = json.loads(again.stdout)
    assert (summary["mode"], summary["decision"], summary["executed_now"], len(fake.requests)) == (
        "sequential", "above", 0, 2,
    )  # fmt: skip
    other = cli(*arguments(fake, problem_file, tmp_path / "out", "--bar", 2))
    assert (other.returncode, "holds another run: sequential was" in other.stderr) == (2, True)


def test_what_is_asked_until_decided_is_scored_as_a_file_would_be(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path
) -> None:
    """The same rows, decision and interval as `eval score --bar` gives for the samples of a whole run."""
    fake.mode = "works"
    assert cli(*arguments(fake, problem_file, tmp_path / "whole")).returncode == 0
    found = json.loads(cli(*arguments(fake, problem_file, tmp_path / "out", *UNDECIDED)).stdout)
    scored = json.loads(
        cli(
            "eval", "score", tmp_path / "whole" / "samples.jsonl", "--out", tmp_path / "r.jsonl", "--problems",
            problem_file, "--minimum-isolation", "rlimits", "--bar", 50, "--look-every", 1, "--json",
        ).stdout
    )  # fmt: skip
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == (tmp_path / "r.jsonl").read_bytes()
    assert {name: found[name] for name in ("decision", "interval", "passed")} == {
        name: scored[name] for name in ("decision", "interval", "passed")
    }
    assert (found["decision"], found["problems"]) == ("open", 3)


def test_ctrl_c_before_the_bar_is_decided(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """Status 130; the same command asks for what is missing, then for each once more, and executes nothing twice."""
    fake.mode = "interrupts"
    command = arguments(fake, problem_file, tmp_path / "out", *UNDECIDED)
    ended = cli(*command)
    assert (ended.returncode, "the same command goes on from there" in ended.stderr) == (130, True), ended.stderr
    rows = (tmp_path / "out" / "results.jsonl").read_bytes()
    assert rows.count(b"\n") == 1
    before, fake.mode = len(fake.requests), "works"
    ended = cli(*command)
    summary = json.loads(ended.stdout)
    assert (summary["executed_now"], summary["passed"], len(fake.requests) - before) == (2, 3, 1 + 3)
    assert (tmp_path / "out" / "results.jsonl").read_bytes().startswith(rows)


def test_an_answer_that_is_missing_when_the_bar_is_decided_failed(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path
) -> None:
    """Within the share it is no pass and not left out, also when the run is read again; beyond it: both numbers."""
    fake.mode = "filters"
    command = arguments(fake, problem_file, tmp_path / "out", *UNDECIDED, "--allowed-errors")
    ended = cli(*command, 0.3)
    assert (ended.returncode, "(33.3 %), 30 % may have none; the last: Own/1" in ended.stderr) == (2, True)
    assert not (tmp_path / "out" / "summary.json").exists()
    for _ in range(2):
        summary = json.loads(cli(*command, 0.34).stdout)
        assert (summary["problems"], summary["passed"], summary["pass_at_1"]) == (3, 2, 2 / 3)
        assert [each["task_id"] for each in summary["errors"]] == ["Own/1"]
    assert "not scored: Own/1, sample 0" in cli(*[each for each in command if each != "--json"], 0.34).stdout
    assert cli(*command, 0.3).returncode == 2


def test_a_share_is_of_the_problems_that_were_put(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """One of two is missing when the run ends early: that is more than the 34 % that would do for three."""
    fake.mode = "filters"
    rule = ("--bar", 1, "--error-rate", 0.4, "--look-every", 2, "--allowed-errors", 0.34)
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", *rule))
    assert (ended.returncode, "1 of 2 samples have no verdict (50 %), 34 % may have none" in ended.stderr) == (2, True)


def test_a_bar_takes_one_sample_a_problem(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """Several samples of one problem are no independent observations: refused before anything is asked."""
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", *UNDECIDED, "-n", 2, "-t", 0.2))
    assert (ended.returncode, "one sample a problem, not 2" in ended.stderr, fake.requests) == (2, True, [])


def of_release(fake: Fake, settings: dict[str, object], problem_file: Path, **change: object) -> dict[str, object]:
    """The configuration of an experiment that asks the server for the student; nothing else of it is there."""
    backend = {
        "kind": "openai",
        "base_url": fake.url,
        "model": "some/model",
        "concurrency": 2,
        "attempts": 3,
        "timeout_s": 10.0,
        "key_variable": "SERVER_KEY",
    }
    return {
        "model": {"kind": "evidence", "name": "student"},
        "humaneval": {**settings, "prompt": "completion"},
        "problems_path": str(problem_file),
        "threads": 1,
        "backend": backend,
        **change,
    }


def test_a_release_may_ask_a_server(
    desk: Desk, fake: Fake, settings: dict[str, object], problem_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the requests are lost, all answers arrive and pass; who answered is evidence, the key is in no file."""
    monkeypatch.setenv("SERVER_KEY", "not-to-be-seen")
    job = desk.job(of_release(fake, settings, problem_file))
    evaluate(job)
    summary = json.loads((job.out / "summary.json").read_text(encoding="utf-8"))
    assert (summary["passed"], summary["repeated"]) == (3, {"samples": 3, "identical": 3})
    assert summary["backend"] == {"kind": "openai", "base_url": fake.url, "model": "some/model"}
    assert (summary["protocol"], summary["sampler_reported_by"]) == ("completion", "requested, not reported")
    assert {(sent["model"], sent["key"]) for sent in fake.requests} == {("some/model", "Bearer not-to-be-seen")}
    kept = [path for folder in (job.out, job.scratch) for path in folder.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if b"not-to-be-seen" in path.read_bytes()]


def test_a_server_that_answers_less_than_the_release_allows(
    desk: Desk, fake: Fake, settings: dict[str, object], problem_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One filtered answer of three ends the run, unless the spec allows a third: then it is a row, and no pass."""
    monkeypatch.setenv("SERVER_KEY", "k")
    fake.mode = "filters"
    with pytest.raises(ExperimentError, match="Own/1: the server's answer has no"):
        evaluate(desk.job(of_release(fake, settings, problem_file)))
    job = desk.job(of_release(fake, settings, problem_file, allowed_error_share=0.34), "allowed")
    evaluate(job)
    found = [json.loads(line) for line in (job.out / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["outcome"], row["passed"]) for row in found] == [
        ("passed", True), ("error", False), ("passed", True),
    ]  # fmt: skip


def test_a_release_keeps_to_its_protocol_and_its_key(
    desk: Desk, fake: Fake, settings: dict[str, object], problem_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that must be asked for whole answers gives no score of `chat_primed`; without its key nobody asks."""
    config = of_release(fake, settings, problem_file, humaneval=settings)
    with pytest.raises(MissingInputsError, match="no environment variable SERVER_KEY"):
        evaluate(desk.job(config))
    monkeypatch.setenv("SERVER_KEY", "k")
    with pytest.raises(UsageError, match=r"asks by the protocol chat_primed, .* only be asked by chat_answer"):
        evaluate(desk.job(config, "again"))
    assert [sent for sent in fake.requests if "seed" in sent] == []


def test_a_key_is_not_repeated_and_not_carried_away(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that quotes the key in its refusal, and one that sends its clients elsewhere, with all they carry."""
    monkeypatch.setenv("SERVER_KEY", "not-to-be-seen")
    for mode, message in (("quotes", "HTTP 401: bad key Bearer (the key)"), ("moved", "HTTP 302")):
        fake.mode = mode
        ended = cli(*arguments(fake, problem_file, tmp_path / mode, "--key-variable", "SERVER_KEY"))
        shown = " ".join(ended.stderr.split())
        assert (ended.returncode, message in shown, "not-to-be-seen" in shown) == (2, True, False), shown
    assert "/elsewhere" not in {sent["path"] for sent in fake.requests}
    carried = cli(*arguments(fake, problem_file, tmp_path / "c", "--base-url", "http://me:not-to-be-seen@localhost/v1"))
    assert (carried.returncode, "not-to-be-seen" in carried.stderr) == (2, False)
    assert "must not carry a user, a password" in carried.stderr


def test_what_cannot_be_asked_is_refused(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """Files are not read in place of answers, and a key that is not there is not left out."""
    local = cli(*arguments(fake, problem_file, tmp_path / "b", "--base-url", "file:///etc/passwd"))
    assert (local.returncode, "is no HTTP address" in local.stderr) == (2, True)
    keyless = cli(*arguments(fake, problem_file, tmp_path / "c", "--key-variable", "NOT_SET_ANYWHERE"))
    assert (keyless.returncode, "no environment variable NOT_SET_ANYWHERE" in keyless.stderr) == (2, True)
    assert fake.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        "```python\ndef f(n):\n    return n\n```",
        "Here:\n\n```\nimport os\ndef f(n):\n    return n\n```\n```python\nprint(f(1))\n```",
        "```python\ndef f(n):\n    return n",
        "def f(n):\n    return n",
        "    return n\n",
        "```python\n    return n\n```",
    ],
)
@pytest.mark.parametrize("prompt", ['def f(n):\n  """One space less."""\n', "def f(n):\n"])
def test_a_whole_answer_becomes_a_program(prompt: str, answer: str) -> None:
    """In a block that is closed or not, the first of several, or none; a body alone; with a docstring or without."""
    if answer.startswith(("    return", "```python\n    return")) and '"""' in prompt:
        prompt = prompt.replace("  ", "    ")
    problem = Problem("T/0", prompt, "f", "", "")
    space: dict[str, Any] = {}
    exec(assemble(problem, completion(problem, answer)), space)  # noqa: S102 - the test's own text
    assert space["f"](3) == 3
