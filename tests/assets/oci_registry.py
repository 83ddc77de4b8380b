"""An OCI registry in memory, over HTTP on loopback: manifests, blobs and, if it is a newer one, referrers."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

UPLOAD = "/upload/1"


@dataclass
class Registry:
    """What it holds, what it was told; `referrers`: it knows `subject`. `token`: what it wants, if anything."""

    referrers: bool = True
    token: str = ""
    host: str = ""
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    uploads: int = 0

    def put(self, content: bytes, media_type: str = "application/vnd.oci.image.manifest.v1+json") -> str:
        """Hold a manifest; its reference."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.manifests[digest] = media_type, content
        return f"{self.host}/models/small@{digest}"

    def referring_to(self, digest: str) -> list[dict[str, Any]]:
        """The manifests whose subject this is."""
        found = [json.loads(content) for _, content in self.manifests.values()]
        return [each for each in found if each.get("subject", {}).get("digest") == digest]

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body, as the distribution specification has them."""
        parts = urlsplit(path)
        place, name = parts.path.rsplit("/", 2)[-2:]
        if self.token and headers["Authorization"] != f"Bearer {self.token}":
            return 401, {}, b'{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}'
        if parts.path == UPLOAD:
            (digest,) = parse_qs(parts.query)["digest"]
            if f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
                return 400, {}, b"{}"
            self.blobs[digest] = body
            self.uploads += 1
            return 201, {}, b""
        if method == "POST":
            return 202, {"Location": f"{UPLOAD}?state=x"}, b""
        if place == "blobs":
            return (200 if name in self.blobs else 404), {}, b""
        if method == "PUT":
            self.manifests[name] = headers["Content-Type"], body
            subject = json.loads(body).get("subject")
            return 201, {"OCI-Subject": subject["digest"]} if subject and self.referrers else {}, b""
        if name not in self.manifests:
            return 404, {}, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
        media_type, content = self.manifests[name]
        return 200, {"Content-Type": media_type}, content


@contextmanager
def serving(registry: Registry) -> Iterator[Registry]:
    """The registry, reachable at its `host`."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            status, headers, content = registry.answer(self.command, self.path, self.headers, body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
