"""Who makes the evidence of a key, said to all machines that share a store: so that two do not train the same thing.

Advisory. A lease that its holder no longer renews is taken over after its expiry; two that hold one at once, after a
machine slept or where clocks differ by minutes, do the same work twice and damage nothing: a manifest is written once.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pydantic import ValidationError

from refute.errors import EvidenceError
from refute.evidence.store.remote import Remote
from refute.spec.fields import Closed


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: how long a lease holds, how often it is renewed, and how often who waits looks again."""

    expiry_s: float = 120.0
    renewal_s: float = 30.0
    poll_s: float = 2.0


class Lease(Closed):
    """`locks/<key>.json`. Times are seconds since 1970; `owner` is a random word."""

    owner: str
    host: str
    pid: int
    since: float
    expires: float


@contextmanager
def leased(remote: Remote, key: str, on_wait: Callable[[], None], timing: Timing) -> Iterator[None]:
    """Hold the lease of `key`, renewing it; `on_wait()` is called once if another holds it. Raises EvidenceError."""
    name, owner, waited = f"locks/{key}.json", secrets.token_hex(16), False
    while not _take(remote, name, owner, timing):
        if not waited:
            on_wait()
        waited = True
        time.sleep(timing.poll_s)
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(remote, name, owner, timing, done), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        with suppress(EvidenceError):  # it expires by itself
            if _holder(remote, name) == owner:
                remote.remove(name)


def has_expired(data: bytes | None, now: float) -> bool:
    """Whether a lease may be taken over at `now`: also one that cannot be read, and not one that is gone."""
    if data is None:
        return False
    try:
        return Lease.model_validate_json(data).expires < now
    except ValidationError:
        return True


def _take(remote: Remote, name: str, owner: str, timing: Timing) -> bool:
    mine = _lease(owner, timing)
    if remote.create(name, mine):
        return True
    if not has_expired(remote.read(name), time.time()):
        return False
    remote.replace(name, mine)
    time.sleep(timing.poll_s)  # another may have taken it over just now: the last one has it
    return _holder(remote, name) == owner


def _renew(remote: Remote, name: str, owner: str, timing: Timing, done: threading.Event) -> None:
    while not done.wait(timing.renewal_s):
        with suppress(EvidenceError):  # the next renewal may succeed; the upload says what is wrong
            if _holder(remote, name) == owner:
                remote.replace(name, _lease(owner, timing))


def _holder(remote: Remote, name: str) -> str | None:
    data = remote.read(name)
    try:
        return Lease.model_validate_json(data).owner if data is not None else None
    except ValidationError:
        return None


def _lease(owner: str, timing: Timing) -> bytes:
    now = time.time()
    lease = Lease(owner=owner, host=socket.gethostname(), pid=os.getpid(), since=now, expires=now + timing.expiry_s)
    return lease.model_dump_json().encode()
