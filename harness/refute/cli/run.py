"""Runs a command: what went wrong is shown, and becomes the exit status.

Commands are imported after the start, so that a Ctrl-C while they load is answered as one while they work.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence

from refute.cli.exit_statuses import INTERRUPTED
from refute.cli.failures import tell_failure
from refute.errors import MissingInputsError, StoppedError
from refute.interrupt import check, heard
from refute.output import lossy_output, refusal


def run(arguments: Sequence[str]) -> int:
    """The status that `refute ARGUMENTS` ends in: 130 after every Ctrl-C, also one that got lost on its way."""
    with lossy_output():
        try:
            status = _run(arguments)
            check()
        except KeyboardInterrupt:
            status = tell_failure(_interrupted(), arguments)
        except Exception as error:  # noqa: BLE001  # an accident must not look like a NO-GO, which is what 1 means
            told = error if isinstance(error, StoppedError) or not heard() else _interrupted()
            status = tell_failure(told, arguments)
        _tell_of_loss()
    return status


def _run(arguments: Sequence[str]) -> int:
    try:
        from refute.cli.app import command
    except ModuleNotFoundError as error:
        raise MissingInputsError(
            f"refute cannot be loaded: {error}",
            hint="install it with its dependencies into one environment; what only $PYTHONPATH or the user's own "
            "site-packages hold is not seen by an isolated process",
        ) from error
    status = int(command([_at_home(word) for word in arguments], prog_name="refute", standalone_mode=False) or 0)
    if status == INTERRUPTED:  # typer's answer to a Ctrl-C before the command began: without a word
        raise KeyboardInterrupt
    return status


def _at_home(word: str) -> str:
    """`~/` at the start of a word, or of an option's value, as shells mean it: bash leaves it in `--option=~/x`."""
    found = re.match(r"(--[a-z-]+=)?(?=~/)", word)
    if found is None:
        return word
    return word[: found.end()] + os.path.expanduser(word[found.end() :])  # noqa: PTH111  # pathlib's raises without a home


def _interrupted() -> StoppedError:
    return StoppedError("interrupted", signal.SIGINT)


def _tell_of_loss() -> None:
    """The status stays that of the work; but nobody should take half of a text for all of it."""
    lost = refusal(sys.stdout)
    if lost is not None:
        sys.stderr.write(f"refute: a part of the output is lost: standard output: {lost.strerror}\n")
