"""Serves the verdicts below a folder as pages, to browsers on this machine alone."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs

from refute.errors import UsageError, VerificationError
from refute.report import HtmlReport
from refute.report.history.page import render_comparison, render_history
from refute.report.history.series import Entry
from refute.verify.latest import Reader, find_verdicts

_HERE = "127.0.0.1"
# A page of somebody else's must not read these through a name of its own that leads here (DNS rebinding).
_NAMES = ("127.0.0.1", "localhost")
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class HistoryServer(ThreadingHTTPServer):
    """Pages over the verdicts below `folder` that verify under `keys`; what is there is read anew for each request.

    Raises UsageError where `port` cannot be had; 0 is any that is free.
    """

    daemon_threads = True

    def __init__(self, folder: Path, keys: Sequence[bytes], port: int = 0) -> None:
        self.folder, self.reader = folder, Reader(keys)
        try:
            super().__init__((_HERE, port), _Pages)
        except (OSError, OverflowError) as error:
            raise UsageError(f"port {port} cannot be had: {error}", hint="leave --port out: any free one") from error

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{_HERE}:{self.server_port}/"

    def page(self, target: str) -> str | None:
        """What a browser sees at `target`; None where there is nothing. Raises VerificationError for too many files."""
        path, _, query = target.partition("?")
        entries, unread = self._read()
        if path == "/":
            return render_history(str(self.folder), entries.values(), unread)
        if path == "/difference":
            named = parse_qs(query)
            old, new = (entries.get(named.get(side, [""])[0]) for side in ("old", "new"))
            return None if old is None or new is None else render_comparison(old, new)
        entry = entries.get(path.removeprefix("/verdict/"))
        return None if entry is None else HtmlReport().render(entry.predicate, entry.payload_sha256)

    def _read(self) -> tuple[dict[str, Entry], list[str]]:
        """The verdicts by digest of payload, and of each other file why it is none."""
        found: dict[str, Entry] = {}
        unread: list[str] = []
        for path in find_verdicts(self.folder):
            try:
                verified = self.reader.read(path)
            except (VerificationError, OSError) as error:
                unread.append(f"{path.relative_to(self.folder)}: {error}")
            else:
                found[verified.payload_sha256] = Entry(verified.predicate, verified.payload_sha256)
        return found, unread


class _Pages(BaseHTTPRequestHandler):
    server_version = "refute"
    sys_version = ""

    def do_GET(self) -> None:
        if self.headers.get("Host", "").partition(":")[0] not in _NAMES:
            self.send_error(HTTPStatus.FORBIDDEN, "Asked under another name")
            return
        try:
            page = cast("HistoryServer", self.server).page(self.path)
        except VerificationError as error:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, "Not readable", str(error))
            return
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND, "No such verdict", "There is none, or it does not verify any more.")
            return
        body = page.encode("utf-8")
        self.send_response(HTTPStatus.OK)
        for name, value in {**_HEADERS, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Whoever looks at their own verdicts needs no log of it."""
