"""JSON over HTTP with patience: a request that meets a fault on the way is sent again, from many threads at a time."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from refute.engines.model.server.answer_bytes import read_json
from refute.errors import ExperimentError

# A request that met a fault on the way, or a server that is busy, starting or broken, may succeed later.
_WORTH_ANOTHER_TRY = {408, 409, 425, 429, 500, 502, 503, 504}
_OVERLOADED = re.compile(r"overloaded|rate.?limit|unavailable|try again|timed? ?out", re.IGNORECASE)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 10.0
# A server may ask for a longer pause (`Retry-After`), up to this one.
_LONGEST_ASKED_S = 120.0
# So much of a refusal is read, for the parameters that it names, and so much of it is shown.
_READ, _SHOWN = 4000, 300
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
        self._given_up = threading.Event()
        self._reached = False

    def give_up(self) -> None:
        """Try nothing again from now on."""
        self._given_up.set()

    def post(self, url: str, body: Mapping[str, object], purpose: str) -> object:
        """The JSON answer. Raises ExperimentError naming `purpose` for a refusal, or when all attempts are used up."""
        # What is no JSON was cut on the way: another fault that may pass.
        return self._ask(url, json.dumps(body).encode("ascii"), purpose, _answer)

    def look_up(self, url: str) -> object:
        """The JSON found at `url`, or None where the server has none. Raises ExperimentError if it does not answer."""
        try:
            return self._ask(url, None, f"looking at {url}", _json_or_none)
        except RefusedError:
            return None

    def _ask(self, url: str, body: bytes | None, purpose: str, read: Callable[[bytes, str | None], object]) -> object:
        fault, tries, refused, asked_s = "", 0, False, 0.0
        while tries < self._server.attempts and not self._given_up.is_set() and not refused:
            if tries:
                self._pause(tries, asked_s)
            tries += 1
            try:
                return read(*self._send(url, body))
            except urllib.error.HTTPError as error:
                self._reached = True
                fault, refused = f"HTTP {error.code}: {self._said(error)}", error.code not in _WORTH_ANOTHER_TRY
                asked_s = _asked_pause(error.headers)
            except _ReportedError as error:
                fault, refused = f"HTTP 200 with an error: {error}", not error.may_pass
            except (OSError, http.client.HTTPException, ValueError) as error:
                fault = f"{type(error).__name__}: {error}"
                if tries >= _TRIES_TO_FIND and not self._reached and _nobody_there(error):
                    raise self._unreachable(error) from error
        text = f"{purpose}: {self._server.base_url} gave no answer in {tries} tries; the last: {fault[:_SHOWN]}"
        hint = "look at the server, then run the same command again; what arrived is kept"
        raise RefusedError(text, hint=hint, said=fault) if refused else ExperimentError(text, hint=hint)

    def _unreachable(self, error: Exception) -> ExperimentError:
        return UnreachableError(
            f"nothing answers at {self._server.base_url}: {getattr(error, 'reason', error)}",
            hint="start the server and wait until it has loaded its model; is this its host and port?",
        )

    def _pause(self, tries: int, asked_s: float) -> None:
        with self._lock:
            self.retries += 1
        self._given_up.wait(max(asked_s, min(_FIRST_PAUSE_S * 2 ** (tries - 1), _LONGEST_PAUSE_S)))

    def _send(self, url: str, body: bytes | None) -> tuple[bytes, str | None]:
        """The answer's bytes, and the character set that its head declares."""
        headers = {"Content-Type": "application/json"}
        if self._server.key:
            headers["Authorization"] = f"Bearer {self._server.key}"
        request = urllib.request.Request(url, body, headers)  # noqa: S310 - the scheme was checked
        with _OPENER.open(request, timeout=self._server.timeout_s) as answer:
            self._reached = True
            return answer.read(), answer.headers.get_content_charset()

    def _said(self, error: urllib.error.HTTPError) -> str:
        """The beginning of a refusal, without the key, which some servers repeat; and where a redirection points to."""
        try:
            said = error.read(_READ).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            return "(the rest was lost)"
        if place := error.headers.get("Location"):
            said = f"it points to {place}, and no redirection is followed: name that address; {said}"
        return said.replace(self._server.key, "(the key)") if self._server.key else said


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: it would take the key to whatever place the answer names."""

    def redirect_request(self, *_arguments: object, **_more: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def _answer(data: bytes, charset: str | None) -> object:
    """The JSON of an answer. Raises _ReportedError for one that only says what went wrong."""
    found = read_json(data, charset)
    if isinstance(found, dict) and found.get("error") and not {"choices", "content"} & {*found}:
        raise _ReportedError(found["error"])
    return found


def _json_or_none(data: bytes, charset: str | None) -> object:
    try:
        return read_json(data, charset)
    except ValueError:
        return None


def _asked_pause(headers: Message) -> float:
    """The seconds under Retry-After; 0 where there are none, as with a date."""
    asked = str(headers.get("Retry-After", ""))
    return min(float(asked), _LONGEST_ASKED_S) if asked.isdecimal() else 0.0


class _ReportedError(ValueError):
    """An error in an answer that looks like a success."""

    def __init__(self, error: Any) -> None:
        super().__init__(json.dumps(error))
        code = error.get("code") if isinstance(error, dict) else None
        self.may_pass = code in _WORTH_ANOTHER_TRY or _OVERLOADED.search(str(self)) is not None


class RefusedError(ExperimentError):
    """The server answered, and will not give what was asked for; `said` is its word on that, as far as it was read."""

    def __init__(self, message: str, *, hint: str, said: str) -> None:
        super().__init__(message, hint=hint)
        self.said = said


class UnreachableError(ExperimentError):
    """Nothing listens at the server's address, or there is no such host."""


def _nobody_there(error: Exception) -> bool:
    return isinstance(error, urllib.error.URLError) and isinstance(
        error.reason, ConnectionRefusedError | socket.gaierror
    )
