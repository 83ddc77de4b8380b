"""What servers and what stands before them answer: read as it was meant, asked again, or refused with the reason."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from refute.engines.model.server.client import Client, RefusedError, Server
from refute.errors import ExperimentError

Reply = tuple[int, Mapping[str, str], bytes]
WHOLE: dict[str, Any] = {"choices": [{"message": {"content": "caf\u00e9"}, "finish_reason": "stop"}]}
PLAIN = json.dumps(WHOLE, ensure_ascii=False)
OK: Reply = (200, {}, PLAIN.encode())


@contextmanager
def answering(*replies: Reply) -> Iterator[Client]:
    """A client of a server that gives these replies, one after the other, and the last for ever."""
    waiting = [*replies]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Client(Server(f"http://127.0.0.1:{server.server_address[1]}", "m", attempts=3))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(client: Client) -> Any:
    """The answer to an empty request."""
    return client.post(f"{client._server.base_url}/v1", {}, "T/0")


def events(*chunks: object, done: str = "data: [DONE]\n\n") -> Reply:
    """A stream of server-sent events."""
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    return 200, {"Content-Type": "text/event-stream"}, f": ping\n\n{text}{done}".encode()


def delta(content: str | None, reason: str | None = None) -> dict[str, Any]:
    """A piece of a chat's answer."""
    return {"model": "m", "choices": [{"delta": {"content": content}, "finish_reason": reason}]}


PIECES: tuple[dict[str, Any], ...] = ({"choices": []}, delta("ca"), delta("f\u00e9"), delta(None, "stop"))


@pytest.mark.parametrize(
    ("replies", "retries"),
    [
        ([(200, {"Content-Encoding": "gzip"}, gzip.compress(PLAIN.encode()))], 0),
        ([(200, {"Content-Type": "application/json; charset=iso-8859-1"}, PLAIN.encode("latin-1"))], 0),
        ([(200, {"Content-Type": "application/json; charset=iso-8859-1"}, PLAIN.encode())], 0),
        ([(200, {}, b"\xef\xbb\xbf" + PLAIN.encode())], 0),
        ([events(*PIECES)], 0),
        ([events(*PIECES, done="")], 0),
        ([events(*PIECES[:3], done=""), OK], 1),
        ([(429, {"Retry-After": "0"}, b"slow down"), OK], 1),
        ([(500, {}, b"oops"), (503, {}, b""), OK], 2),
        ([(200, {}, b'{"choices": [{"mess'), OK], 1),
        ([(200, {}, b'{"error": {"message": "busy", "code": 429}}'), OK], 1),
        ([(200, {}, b'{"error": "model is overloaded"}'), OK], 1),
    ],
)
def test_an_answer_is_read_as_it_was_meant(replies: list[Reply], retries: int) -> None:
    """Packed, in another character set, streamed unasked, cut on the way, or refused for now."""
    with answering(*replies) as client:
        choice = ask(client)["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"], client.retries) == ("caf\u00e9", "stop", retries)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((200, {}, b'{"error": {"message": "no such model"}}'), 'HTTP 200 with an error: {"message": "no such model"}'),
        (events({"error": {"message": "no such model"}}), "HTTP 200 with an error"),
        ((301, {"Location": "https://there/v1"}, b""), "it points to https://there/v1, and no redirection is followed"),
        ((422, {}, b"x" * 900 + b"seed"), "HTTP 422: xxx"),
    ],
)
def test_a_refusal_is_not_asked_again(reply: Reply, words: str) -> None:
    """With its reason, of which the beginning is shown and all is known."""
    with answering(reply) as client, pytest.raises(RefusedError, match="in 1 tries") as refused:
        ask(client)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 500
    assert refused.value.said.endswith("seed") is (reply[0] == 422)


def test_what_is_never_json_is_no_answer() -> None:
    """A page of HTML, say, after all tries."""
    with answering((200, {}, b"<html>")) as client, pytest.raises(ExperimentError, match="in 3 tries"):
        ask(client)


def test_a_pause_that_is_asked_for_ends_when_all_is_given_up() -> None:
    """A server that says `Retry-After: 100` holds nobody up who stopped waiting."""

    def give_up(client: Client) -> None:
        # Counted before the pause begins.
        while not client.retries:
            threading.Event().wait(0.01)
        client.give_up()

    with answering((429, {"Retry-After": "100"}, b"")) as client:
        stopping = threading.Thread(target=give_up, args=(client,))
        stopping.start()
        with pytest.raises(ExperimentError, match="HTTP 429"):
            ask(client)
        stopping.join()
