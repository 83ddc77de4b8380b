"""The OpenAI-compatible backend against a real HTTP server on this machine that drops half of the requests."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from json_lines import read_rows
from openai_server import Fake, arguments
from refute.engines.humaneval.backends.servers.openai_choice import Choice, read_choice
from refute.engines.humaneval.backends.servers.parameters import Parameters
from refute.errors import ExperimentError

if TYPE_CHECKING:
    from tests.conftest import Cli


@pytest.mark.slow
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


@pytest.mark.slow
def test_one_sample_each_is_no_cause_for_alarm(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """Greedy, one answer a problem, no fault: exit 0, each asked for twice."""
    fake.mode = "works"
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", "--limit", 2))
    assert (ended.returncode, len(fake.requests)) == (0, 4), ended.stderr


@pytest.mark.parametrize(("protocol", "name"), [("completion", "completion"), ("chat", "chat_answer")])
def test_vllm_is_asked_without_its_models_own_sampler(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path, protocol: str, name: str
) -> None:
    """A penalty in generation_config.json would turn answers, greedy ones among them: it is switched off, by record."""
    fake.mode = "vLLM"
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", "--protocol", protocol, "--json"))
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["passed"], summary["generation"]["protocol"]) == (3, name)
    assert "repetition_penalty sent as 1.0" in summary["generation"]["parameters_adapted"]
    other = cli(*arguments(fake, problem_file, tmp_path / "other", "--model", "another"))
    assert (other.returncode, "The model `another` does not exist" in other.stderr) == (7, True), other.stderr


def test_where_nobody_listens_the_run_ends_soon(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """No patience for what does not pass by itself: a port that is taken, and at which nothing answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        ended = cli(*arguments(fake, problem_file, tmp_path / "out", "--base-url", address, "--attempts", 1000))
    shown = " ".join(ended.stderr.split())
    assert (ended.returncode, f"nothing answers at {address}: [Errno" in shown) == (7, True), shown


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 3])
def test_a_server_that_ignores_the_temperature_is_found_out(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path, n: int
) -> None:
    """It says 0.2 and takes the likeliest token: samples that are all alike were not drawn, nor was a single one."""
    fake.mode, fake.settings = "only greedy", {"temperature": 0.2, "top_p": 0.95}
    command = arguments(fake, problem_file, tmp_path / "out", "-n", n, "-t", 0.2)
    for ended in (cli(*command), cli(*command)):
        assert (ended.returncode, "nothing was drawn" in ended.stderr) == (7, True), ended.stderr
    assert not (tmp_path / "out" / "results.jsonl").exists()


@pytest.mark.slow
def test_a_server_that_does_not_repeat_itself_at_temperature_0_is_found_out(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path
) -> None:
    """Two greedy runs must be identical, and that is measured."""
    fake.mode = "wanders"
    ended = cli(*arguments(fake, problem_file, tmp_path / "out"))
    assert (ended.returncode, "at T = 0 only 0 of 3 samples came out" in ended.stderr) == (7, True), ended.stderr
    assert not (tmp_path / "out" / "results.jsonl").exists()


@pytest.mark.slow
def test_a_check_that_failed_is_made_again(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """Samples that did not repeat are thrown away: in the same folder a server that was mended is asked for all."""
    fake.mode = "wanders"
    command = arguments(fake, problem_file, tmp_path / "out", "--json")
    assert cli(*command).returncode == 7
    before, fake.mode = len(fake.requests), "works"
    ended = cli(*command)
    assert (ended.returncode, len(fake.requests) - before, json.loads(ended.stdout)["passed"]) == (0, 6, 3), (
        ended.stderr
    )


@pytest.mark.slow
def test_parameters_that_a_server_refuses_are_sent_otherwise(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path
) -> None:
    """Renamed or left out where that changes no sample, and recorded; a budget is never left out."""
    fake.mode = "old names"
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", "--json"))
    assert ended.returncode == 0, ended.stderr
    made = json.loads(ended.stdout)["generation"]
    assert made["parameters_adapted"] == ["max_tokens sent as max_completion_tokens", "seed left out", "stop left out"]
    last = fake.requests[-1]
    assert (last["max_completion_tokens"], {"max_tokens", "seed", "stop"} & {*last}) == (512, set())
    fake.mode = "no budget"
    ended = cli(*arguments(fake, problem_file, tmp_path / "other"))
    assert (ended.returncode, "Unknown parameter: max_completion_tokens" in ended.stderr) == (7, True), ended.stderr


@pytest.mark.slow
def test_a_chat_that_only_reasoned_gave_an_empty_answer(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path
) -> None:
    """Null content beside reasoning is a wrong answer; null content alone is none, and the condition is named."""
    fake.mode = "reasons only"
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", "--protocol", "chat", "--json"))
    assert (ended.returncode, json.loads(ended.stdout)["passed"]) == (0, 2), ended.stderr
    fake.mode = "says nothing"
    ended = cli(*arguments(fake, problem_file, tmp_path / "other", "--protocol", "chat"))
    assert (ended.returncode, "its choices[0].message.content is null" in ended.stderr) == (7, True), ended.stderr


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"choices": [{"text": "x"}]}, Choice("x", 0, "stop")),
        (
            {"choices": [{"text": "x", "finish_reason": "eos"}], "usage": {"completion_tokens": 3}},
            Choice("x", 3, "stop"),
        ),
        ({"choices": [{"text": "x"}], "usage": {"completion_tokens": 9}}, Choice("x", 9, "length")),
        ({"choices": [{"text": "x", "finish_reason": None}], "usage": None}, Choice("x", 0, "stop")),
        ({"choices": [{"text": "x", "finish_reason": ""}]}, Choice("x", 0, "stop")),
        ({"choices": [{"text": "x", "finish_reason": "MAX_TOKENS"}]}, Choice("x", 0, "length")),
        ({"choices": [{"text": "x", "finish_reason": "eos_token"}]}, Choice("x", 0, "stop")),
        ({"choices": [{"text": "x", "finish_reason": "content_filter"}]}, "its finish_reason is 'content_filter'"),
        ({"choices": [{"text": None}]}, r"its choices\[0\].text is null"),
        ({"choices": []}, r"it has no choices\[0\]"),
        ({"error": "overloaded"}, r"it has no choices\[0\]"),
        ([], r"it has no choices\[0\]"),
    ],
)
def test_what_is_missing_in_an_answer_is_told_from_what_is_wrong(answer: object, found: Choice | str) -> None:
    """Token counts and the reason of the end may be missing; text may not, and the error names what failed."""
    if isinstance(found, Choice):
        assert read_choice("T/0", answer, chat=False, budget=9) == found
    else:
        with pytest.raises(ExperimentError, match=found):
            read_choice("T/0", answer, chat=False, budget=9)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "x"}]}, "x"),
        ({"content": None, "refusal": "I will not."}, ""),
        ({"content": "x", "reasoning_content": "hm"}, "x"),
    ],
)
def test_a_message_says_its_text_in_several_ways(message: object, text: str) -> None:
    """As parts, of which thoughts are none; and a refusal is an empty answer, which is wrong."""
    assert read_choice("T/0", {"choices": [{"message": message}]}, chat=True, budget=9).text == text


@pytest.mark.parametrize(
    ("refusal", "temperature", "sent"),
    [
        ("Unsupported parameter: 'max_tokens'", 0.0, {"max_completion_tokens", "temperature", "top_p", "seed", "stop"}),
        ("Invalid request: seed must not be given", 0.0, {"max_tokens", "temperature", "top_p", "stop"}),
        ("'stop': array too long", 0.0, {"max_tokens", "temperature", "top_p", "seed"}),
        ("temperature and top_p cannot both be given", 0.0, {"max_tokens", "temperature", "seed", "stop"}),
        ("temperature and top_p cannot both be given", 0.5, None),
        ("max_tokens is too large: 512", 0.0, None),
        ("'temperature' does not support 0.0", 0.0, None),
    ],
)
def test_a_refused_parameter_is_sent_otherwise_where_no_sample_changes(
    refusal: str, temperature: float, sent: set[str] | None
) -> None:
    """A budget is renamed and never dropped, a temperature is kept to; at 0 no share of the likeliest matters."""
    body = {"max_tokens": 512, "temperature": temperature, "top_p": 0.95, "seed": 1, "stop": ["x"]}
    parameters = Parameters()
    assert parameters.learn(refusal, body) is (sent is not None)
    assert {*parameters.of(body)} == (sent or {*body})


@pytest.mark.slow
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
    assert (ended.returncode, "reports temperature = 0.8, asked for 0.2" in ended.stderr) == (7, True), ended.stderr


@pytest.mark.slow
def test_a_chat_is_another_protocol(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """One turn is asked at the chat's own address, the fenced function is executed, and the evidence has its name."""
    fake.mode = "works"
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", "--protocol", "chat", "--json"))
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["passed"], summary["generation"]["protocol"]) == (3, "chat_answer")
    assert summary["generation"]["extraction"].startswith("the last Python block")
    (how,) = summary["generation"]["extracted"].items()
    assert how == ("the last Python block that defines the function; left out: text", 3)
    assert {row["answer"][:5] for row in read_rows(tmp_path / "out" / "samples.jsonl")} == {"Sure!"}
    assert {(sent["path"], "prompt" in sent, len(sent["messages"])) for sent in fake.requests} == {
        ("/v1/chat/completions", False, 1)
    }


@pytest.mark.slow
def test_a_system_prompt_is_sent_and_is_evidence(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """Before the user's turn; the same folder refuses another one, and a bare prompt any."""
    fake.mode = "works"
    asked = arguments(fake, problem_file, tmp_path / "out", "--system-prompt", "Write Python.", "--protocol", "chat")
    ended = cli(*asked, "--json")
    assert ended.returncode == 0, ended.stderr
    assert {json.dumps(sent["messages"][0]) for sent in fake.requests} == {
        json.dumps({"role": "system", "content": "Write Python."})
    }
    summary = json.loads(ended.stdout)
    assert summary["generation"]["system_prompt"] == summary["run"]["system_prompt"] == "Write Python."
    bare = cli(*arguments(fake, problem_file, tmp_path / "b", "--system-prompt", "Write Python."))
    assert (bare.returncode, "no place for a system prompt" in bare.stderr) == (2, True), bare.stderr
    other = cli(*arguments(fake, problem_file, tmp_path / "out", "--protocol", "chat"))
    assert (other.returncode, "holds another run" in other.stderr) == (2, True), other.stderr


@pytest.mark.slow
def test_a_server_that_dies_is_an_error_and_the_rest_is_asked_later(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path
) -> None:
    """What arrived is kept: the next call asks for the missing one, then for each once more, and scores all three."""
    fake.mode = "dies"
    more = ("--concurrency", 1, "--attempts", 3)
    ended = cli(*arguments(fake, problem_file, tmp_path / "out", *more))
    assert ended.returncode == 7
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
    """A refused request and an answer that was filtered away end in 7, without results."""
    fake.mode = mode
    ended = cli(*arguments(fake, problem_file, tmp_path / "out"))
    assert (ended.returncode, message in ended.stderr) == (7, True), ended.stderr
    assert not (tmp_path / "out" / "results.jsonl").exists()


@pytest.mark.slow
def test_a_stated_share_of_errors_counts_as_failed(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """One of three without an answer: too many for 0.3; for 0.34 two problems pass, and the third failed, by name."""
    fake.mode = "filters"
    command = arguments(fake, problem_file, tmp_path / "out", "--json", "--allowed-errors")
    ended = cli(*command, "0.3")
    assert (ended.returncode, "1 of 3 samples have no verdict (33.3 %), 30 % may have none" in ended.stderr) == (
        7,
        True,
    )
    ended = cli(*command, "0.34")
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["passed"], summary["scored"], summary["missing_problems"]) == (2, 2, ["Own/1"])
    assert (summary["pass_at_k"], summary["allowed_errors"]) == ({"1": 2 / 3}, 0.34)
    assert (summary["problems"], summary["samples_a_problem"]) == (3, [1, 1])
    assert [(each["task_id"], each["sample"]) for each in summary["generation"]["errors"]] == [("Own/1", 0)]
    assert cli(*command, "0.3").returncode == 7


@pytest.mark.slow
def test_a_key_is_not_repeated_and_not_carried_away(
    cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that quotes the key in its refusal, and one that sends its clients elsewhere, with all they carry."""
    monkeypatch.setenv("SERVER_KEY", "not-to-be-seen")
    for mode, message in (("quotes", "HTTP 401: bad key Bearer (the key)"), ("moved", "HTTP 302")):
        fake.mode = mode
        ended = cli(*arguments(fake, problem_file, tmp_path / mode, "--key-variable", "SERVER_KEY"))
        shown = " ".join(ended.stderr.split())
        assert (ended.returncode, message in shown, "not-to-be-seen" in shown) == (7, True, False), shown
    assert "/elsewhere" not in {sent["path"] for sent in fake.requests}
    carried = cli(*arguments(fake, problem_file, tmp_path / "c", "--base-url", "http://me:not-to-be-seen@localhost/v1"))
    assert (carried.returncode, "not-to-be-seen" in carried.stderr) == (2, False)
    assert "must not carry a user, a password" in carried.stderr


@pytest.mark.slow
def test_what_cannot_be_asked_is_refused(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """Files are not read in place of answers, and a key that is not there is not left out."""
    local = cli(*arguments(fake, problem_file, tmp_path / "b", "--base-url", "file:///etc/passwd"))
    assert (local.returncode, "is no HTTP address" in local.stderr) == (2, True)
    keyless = cli(*arguments(fake, problem_file, tmp_path / "c", "--key-variable", "NOT_SET_ANYWHERE"))
    assert (keyless.returncode, "no environment variable NOT_SET_ANYWHERE" in keyless.stderr) == (2, True)
    assert fake.requests == []


@pytest.mark.slow
def test_a_run_that_could_not_begin_holds_no_folder(cli: Cli, tmp_path: Path, fake: Fake, problem_file: Path) -> None:
    """Nothing was asked, so that another command may use the folder; somebody's own file in it is left alone."""
    fake.mode, out = "works", tmp_path / "out"
    assert cli(*arguments(fake, problem_file, out, "--base-url", "file:///etc/passwd")).returncode == 2
    assert not [each for each in out.rglob("*") if each.name == "samples.jsonl"]
    assert cli(*arguments(fake, problem_file, out, "--limit", 1)).returncode == 0
    other = cli(*arguments(fake, problem_file, out, "--limit", 2))
    assert (other.returncode, "holds another run: problems was 1, is 2" in other.stderr) == (2, True), other.stderr
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes").touch()
    owned = cli(*arguments(fake, problem_file, tmp_path / "own"))
    assert (owned.returncode, "is not empty, and holds no run" in owned.stderr) == (2, True), owned.stderr
