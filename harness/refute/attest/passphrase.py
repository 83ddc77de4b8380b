"""Where a passphrase comes from: a file, the environment, or the person at the terminal; never the command line."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from refute.attest.keys import read_secret
from refute.errors import UsageError

VARIABLE = "REFUTE_KEY_PASSPHRASE"


def given_passphrase(file: Path | None) -> bytes | None:
    """The passphrase in `file` (one line end at its end is not part of it), else in $REFUTE_KEY_PASSPHRASE, else None.

    Raises UnreadableInputError if the file cannot be read; UsageError if others may read it, or it is empty.
    """
    if file is not None:
        found, where = read_secret(file, "passphrase file").removesuffix(b"\n").removesuffix(b"\r"), str(file)
    elif VARIABLE in os.environ:
        found, where = os.fsencode(os.environ[VARIABLE]), f"${VARIABLE}"
    else:
        return None
    if not found:
        raise UsageError(f"the passphrase in {where} is empty")
    return found


def ask_passphrase(prompt: str) -> bytes | None:
    """What the person at the terminal types, unseen; None where there is no terminal or nothing is typed."""
    if not sys.stdin.isatty():
        return None
    return getpass.getpass(prompt).encode("utf-8") or None


def choose_passphrase() -> bytes:
    """A new passphrase, typed twice at the terminal. Raises UsageError without a terminal, or if the two differ."""
    first = ask_passphrase("Passphrase for the new key: ")
    if first is None:
        raise UsageError("no passphrase was typed", hint="run this in a terminal, or give --passphrase-file")
    if ask_passphrase("The same again: ") != first:
        raise UsageError("the two passphrases differ")
    return first
