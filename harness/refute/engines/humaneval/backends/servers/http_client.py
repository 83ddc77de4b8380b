"""JSON over HTTP with patience: a request that meets a fault on the way is sent again, from many threads at a time."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from refute.errors import ExperimentError

# A request that met a fault on the way, or a server that is busy, starting or broken, may succeed later.
_WORTH_ANOTHER_TRY = {408, 409, 425, 429, 500, 502, 503, 504}
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 10.0
# Of a server that never answered, where nothing listens or no such host is known: that does not pass by itself.
_TRIES_TO_FIND = 3


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask: `base_url` as OpenAI's clients take it (`http://host:8000/v1`), and how patiently."""

    base_url: str
    model: str
    concurrency: int = 8
    attempts: int = 16
    timeout_s: float = 300.0
    key: str | None = None


class Client:
    """Sends one request after the other from each thread that calls it; `retries` counts those sent again."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self.retries = 0
        self._given_up = False
        self._reached = False

    def give_up(self) -> None:
        """Try nothing again from now on."""
        self._given_up = True

    def post(self, url: str, body: Mapping[str, object], purpose: str) -> object:
        """The JSON answer. Raises ExperimentError naming `purpose` for a refusal, or when all attempts are used up."""
        # What is no JSON was cut on the way: another fault that may pass.
        return self._ask(url, json.dumps(body).encode("ascii"), purpose, json.loads)

    def look_up(self, url: str) -> object:
        """The JSON found at `url`, or None where the server has none. Raises ExperimentError if it does not answer."""
        try:
            return self._ask(url, None, f"looking at {url}", _json_or_none)
        except RefusedError:
            return None

    def _ask(self, url: str, body: bytes | None, purpose: str, read: Callable[[bytes], object]) -> object:
        fault, tries, refused = "", 0, False
        while tries < self._server.attempts and not self._given_up and not refused:
            if tries:
                self._pause(tries)
            tries += 1
            try:
                return read(self._send(url, body))
            except urllib.error.HTTPError as error:
                self._reached = True
                fault, refused = f"HTTP {error.code}: {self._said(error)}", error.code not in _WORTH_ANOTHER_TRY
            except (OSError, http.client.HTTPException, ValueError) as error:
                fault = f"{type(error).__name__}: {error}"
                if tries >= _TRIES_TO_FIND and not self._reached and _nobody_there(error):
                    raise self._unreachable(error) from error
        raise (RefusedError if refused else ExperimentError)(
            f"{purpose}: {self._server.base_url} gave no answer in {tries} tries; the last: {fault}",
            hint="this is no score: look at the server, then run the same command again; what arrived is kept",
        )

    def _unreachable(self, error: Exception) -> ExperimentError:
        return UnreachableError(
            f"nothing answers at {self._server.base_url}: {getattr(error, 'reason', error)}",
            hint="start the server and wait until it has loaded its model; is this its host and port?",
        )

    def _pause(self, tries: int) -> None:
        with self._lock:
            self.retries += 1
        time.sleep(min(_FIRST_PAUSE_S * 2 ** (tries - 1), _LONGEST_PAUSE_S))

    def _send(self, url: str, body: bytes | None) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self._server.key:
            headers["Authorization"] = f"Bearer {self._server.key}"
        request = urllib.request.Request(url, body, headers)  # noqa: S310 - the scheme was checked
        with _OPENER.open(request, timeout=self._server.timeout_s) as answer:
            self._reached = True
            found: bytes = answer.read()
        return found

    def _said(self, error: urllib.error.HTTPError) -> str:
        """The beginning of a refusal, without the key, which some servers repeat."""
        try:
            said = error.read(300).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            return "(the rest was lost)"
        return said.replace(self._server.key, "(the key)") if self._server.key else said


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: it would take the key to whatever place the answer names."""

    def redirect_request(self, *_arguments: object, **_more: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def _json_or_none(data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError:
        return None


class RefusedError(ExperimentError):
    """The server answered, and will not give what was asked for."""


class UnreachableError(ExperimentError):
    """Nothing listens at the server's address, or there is no such host."""


def _nobody_there(error: Exception) -> bool:
    return isinstance(error, urllib.error.URLError) and isinstance(
        error.reason, ConnectionRefusedError | socket.gaierror
    )
