"""Whether a key can sign, found out before hours are spent and without this process ever holding it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NoReturn

from refute.attest import public_pem
from refute.attest.signing_key import load_unattended_key
from refute.errors import RefuteError, UnreadableInputError, UsageError

_KINDS = {kind.__name__: kind for kind in (UsageError, UnreadableInputError)}


def public_half(path: Path) -> bytes:
    """The public half (PEM) of the private key at `path`, which another process opens and forgets.

    Code of the judged repository may read the memory of the process that asks. Raises UsageError and
    UnreadableInputError as opening the key does.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(path, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    os.waitpid(child, 0)
    answer = json.loads(said) if said else {"kind": "", "message": f"the key {path} cannot be opened", "hint": ""}
    if "pem" in answer:
        return str(answer["pem"]).encode("utf-8")
    raise _KINDS.get(answer["kind"], UsageError)(answer["message"], hint=answer["hint"])


def _answer(path: Path, descriptor: int) -> NoReturn:
    """Say what came of it, and end: whatever this dies of, it must not go on as a second gate."""
    try:
        answer = {"pem": public_pem(load_unattended_key(path)).decode("utf-8")}
        os.write(descriptor, json.dumps(answer).encode("utf-8"))
    except RefuteError as error:
        answer = {"kind": type(error).__name__, "message": str(error), "hint": error.hint}
        os.write(descriptor, json.dumps(answer).encode("utf-8"))
    finally:
        os._exit(0)
