"""An S3 server on this machine: moto's, which keeps its buckets in memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "team"
# What a client of Amazon reads; the keys are checked by nobody here.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(slots=True)
class S3Server:
    """`before(method, path)` is called ahead of every answer: it may raise, wait, or end who asked."""

    environment: dict[str, str]
    before: Callable[[str, str], None] = lambda _method, _path: None


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server that answers until the end, and the environment that leads a client to it."""
    backend: Any = DomainDispatcherApplication(create_backend_app)
    server, one_at_a_time = S3Server({}), threading.Lock()

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        server.before(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        with one_at_a_time:  # moto looks first and writes then, where S3 decides a conditional write at once
            answered: Iterable[bytes] = backend(environ, start_response)
        return answered

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # it tells every request
    listening = make_server("127.0.0.1", 0, answer, threaded=True)
    server.environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{listening.server_port}"}
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
