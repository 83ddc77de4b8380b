"""The hub's sockets: two origins on the loopback, one for its API and one for files, and the faults on the way."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from refute.engines.publish.rehearsal.answers import Hub, route_of
from refute.engines.publish.rehearsal.faults import Fault, FaultTable
from refute.engines.publish.rehearsal.repository import Blob, RefusedError, Storage

_RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)")
_CHUNK = 1 << 20
_JSON = {"Content-Type": "application/json"}


@contextmanager
def rehearsal_hub(folder: Path, token: str, *faults: Fault) -> Iterator[Hub]:
    """A hub over `folder`, up while the block runs, that writes for whoever has `token`; `api` is its address."""
    folder.mkdir(parents=True, exist_ok=True)
    hub = Hub(Storage(folder), token, FaultTable(faults))
    servers = [_server(hub, handler) for handler in (_Api, _Files)]
    # Two origins by name, and not by port alone: a client follows a redirect within one host by other rules.
    hub.api = f"http://127.0.0.1:{servers[0].server_port}"
    hub.files = f"http://localhost:{servers[1].server_port}"
    threads = [threading.Thread(target=each.serve_forever, args=(0.05,), daemon=True) for each in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    hub: Hub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up, and so does this hub: neither is worth a traceback."""


def _server(hub: Hub, handler: type[BaseHTTPRequestHandler]) -> _Server:
    server = _Server(("127.0.0.1", 0), handler)
    server.hub = hub
    return server


class _Handler(BaseHTTPRequestHandler):
    """What both origins do: read a body, answer, hang up."""

    protocol_version = "HTTP/1.1"
    # An answer is sent in one piece: in two, the second waits 40 ms for the first to be acknowledged.
    wbufsize = 1 << 16

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged: a request may carry a token."""

    @property
    def hub(self) -> Hub:
        server = self.server
        assert isinstance(server, _Server)  # noqa: S101  # it is what `_server` makes: told to the type checker
        return server.hub

    @property
    def trusted(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            return b"".join(_chunks(self.rfile))
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def hang_up(self) -> None:
        self.close_connection = True

    def send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, error: RefusedError) -> None:
        text = str(error)
        content = text if text.startswith("{") else json.dumps({"error": text})
        headers = {"X-Error-Code": error.code} if error.code else {}
        self.send(error.status, content.encode(), {**_JSON, "X-Error-Message": _line(text), **headers})

    def fail(self, fault: Fault) -> None:
        self.send(fault.status, b'{"error": "planted"}', {**_JSON, **dict([fault.header] if fault.header else [])})


class _Api(_Handler):
    """Everything but the bytes of large files."""

    def do_POST(self) -> None:
        """Also what changes nothing and has a body."""
        self._answer()

    do_PUT = do_POST

    def do_GET(self) -> None:
        """Facts, and small files."""
        found = _RESOLVE.fullmatch(urlsplit(self.path).path)
        if found is None:
            self._answer()
        else:
            self._file(unquote(found["repo"]), unquote(found["rev"]), unquote(found["path"]))

    do_HEAD = do_GET

    def _answer(self) -> None:
        body = self.body()
        try:
            asked = route_of(self.command, urlsplit(self.path).path, body, trusted=self.trusted)
            fault = self.hub.faults.next(asked.route)
            if fault is not None and fault.effect in ("status", "drop"):
                self.fail(fault) if fault.effect == "status" else self.hang_up()
                return
            found = self.hub.answer(asked, fault)
        except RefusedError as error:
            self.refuse(error)
            return
        if fault is not None and fault.effect == "apply_drop":
            self.hang_up()
        elif fault is not None and fault.effect == "apply_status":
            self.fail(fault)
        else:
            self.send(200, json.dumps(found).encode(), _JSON)

    def _file(self, repo: str, revision: str, path: str) -> None:
        fault = self.hub.faults.next("file") if self.command == "GET" else None
        if fault is not None and fault.effect in ("status", "drop"):
            self.fail(fault) if fault.effect == "status" else self.hang_up()
            return
        try:
            commit = self.hub.repository(repo, trusted=self.trusted).at(revision)
            if path not in commit.tree:
                raise RefusedError(404, "Entry not found", "EntryNotFound")
        except RefusedError as error:
            self.refuse(error)
            return
        blob = commit.tree[path]
        if blob.large:
            self._point_to(blob, commit.oid)
        else:
            data = _changed(self.hub.storage.path(blob.sha256).read_bytes(), fault)
            self.send(200, data, {"ETag": f'"{blob.git_sha1}"', "X-Repo-Commit": commit.oid})

    def _point_to(self, blob: Blob, commit: str) -> None:
        linked = {"X-Linked-Size": str(blob.size), "X-Linked-Etag": f'"{blob.sha256}"', "ETag": f'"{blob.git_sha1}"'}
        self.send(302, b"", {"Location": f"{self.hub.files}/{blob.sha256}", "X-Repo-Commit": commit, **linked})


class _Files(_Handler):
    """Bytes of large files, by their SHA-256: put once, read in ranges."""

    def do_PUT(self) -> None:
        """Keep them, whatever they are: as large stores do, by the name that they come under."""
        name, storage = self.path.lstrip("/"), self.hub.storage
        try:
            whole, part = storage.path(name), storage.part(name)
        except RefusedError as error:
            deque(self._pieces(), maxlen=0)
            self.refuse(error)
            return
        fault = self.hub.faults.next("put")
        with part.open("wb") as out:
            for piece in self._pieces():
                out.write(piece)
        if fault is not None and fault.effect in ("status", "drop"):
            part.unlink()
            self.fail(fault) if fault.effect == "status" else self.hang_up()
            return
        if fault is not None and fault.effect in ("corrupt", "truncate"):
            part.write_bytes(_changed(part.read_bytes(), fault))
        part.replace(whole)
        if fault is not None and fault.effect == "apply_drop":
            self.hang_up()
        else:
            self.send(200, b"", {"ETag": f'"{name}"'})

    def _pieces(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding") == "chunked":
            yield from _chunks(self.rfile)
            return
        left = int(self.headers.get("Content-Length", 0))
        while left and (piece := self.rfile.read(min(left, _CHUNK))):
            left -= len(piece)
            yield piece

    def do_GET(self) -> None:
        """A whole file, or from where a reader was cut off."""
        try:
            path = self.hub.storage.path(self.path.lstrip("/"))
        except RefusedError as error:
            self.refuse(error)
            return
        fault = self.hub.faults.next("lfs_get")
        if fault is not None and fault.effect in ("status", "drop"):
            self.fail(fault) if fault.effect == "status" else self.hang_up()
            return
        if not path.is_file():
            self.send(404, b"", {})
            return
        size, begin = path.stat().st_size, _begin(self.headers.get("Range", ""))
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(size - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{size - 1}/{size}")
        self.end_headers()
        with path.open("rb") as file:
            file.seek(begin)
            if fault is None:
                shutil.copyfileobj(file, self.wfile, _CHUNK)
                return
            data = file.read()
        self.wfile.write(data[: len(data) // 2] if fault.effect == "truncate" else _changed(data, fault))
        self.hang_up()


def _changed(data: bytes, fault: Fault | None) -> bytes:
    """The bytes that arrive in the place of `data`."""
    if fault is not None and fault.effect == "corrupt" and data:
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    return data[: len(data) // 2] if fault is not None and fault.effect == "truncate" else data


def _begin(text: str) -> int:
    found = re.fullmatch(r"bytes=(\d+)-\d*", text)
    return int(found[1]) if found else 0


def _chunks(stream: BufferedIOBase) -> Iterator[bytes]:
    """The pieces of a body in HTTP's chunked form."""
    while size := int(stream.readline().split(b";")[0], 16):
        yield stream.read(size)
        stream.readline()
    stream.readline()


def _line(text: str) -> str:
    """As a header may have it."""
    return text.encode("ascii", "replace").decode().replace("\n", " ")[:200]
