"""Exit statuses: one number for each way in which a command may end. docs/exit-statuses.md shows this table."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from enum import IntEnum
from typing import TYPE_CHECKING

from refute.errors import (
    ArchiveError,
    LoadingError,
    LooseningError,
    MutationError,
    OtherConfigurationError,
    PublicationRefusedError,
    RefuteError,
    RegistrationError,
    SpecError,
    StaleVerdictError,
    StoppedError,
    UnreadableInputError,
    UsageError,
    VerificationError,
)

if TYPE_CHECKING:
    from refute.outcome import Ruling


class Status(IntEnum):
    """How a command ends; `sentence` says it for people. A signal n that ended it is 128 + n, Ctrl-C 130."""

    sentence: str

    def __new__(cls, number: int, sentence: str) -> Status:
        """A status that is its number and carries its sentence."""
        status = int.__new__(cls, number)
        status._value_ = number
        status.sentence = sentence
        return status

    DONE = 0, "done; where a verdict is asked for: GO, or what you accept in its place"
    FAILED = (
        1,
        "NO-GO; or what was looked for was found: problems, regressions, misbehaving controls, a looser lock,"
        " a repository that holds something else",
    )
    USAGE = 2, "called wrongly, or an input that was named cannot be read"
    WARN = 3, "WARN, and it was not accepted"
    UNVERIFIABLE = 4, "a verdict, lock or report that is not to be trusted, or what was given for a verdict and is none"
    STALE = 5, "an authentic verdict that is expired, superseded or about something else"
    NOT_JUDGED = 6, "recorded, and not judged"
    COULD_NOT_RUN = (
        7,
        "could not run to its end, for want of inputs, store or disk, or by a fault of what it runs, or of its own",
    )


INTERRUPTED = 130

# The first row that an error belongs to counts. What stands in none of them could not run.
_ENDINGS: tuple[tuple[tuple[type[RefuteError], ...], Status], ...] = (
    ((StaleVerdictError,), Status.STALE),
    ((VerificationError,), Status.UNVERIFIABLE),
    ((LooseningError, PublicationRefusedError), Status.FAILED),
    (
        (
            UsageError,
            UnreadableInputError,
            ArchiveError,
            OtherConfigurationError,
            SpecError,
            RegistrationError,
            LoadingError,
            MutationError,
        ),
        Status.USAGE,
    ),
)

# Errors of the system that say: what was named is not there, or not what it should be.
_UNREADABLE = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
_NO_NAME = (errno.ELOOP, errno.ENAMETOOLONG)


def status_of_error(error: Exception) -> int:
    """The status that `error` ends a command in. Never 0, and 1 for a refusal alone: no accident is a NO-GO."""
    if isinstance(error, StoppedError):
        return 128 + error.signal
    if isinstance(error, _UNREADABLE) or (isinstance(error, OSError) and error.errno in _NO_NAME):
        return Status.USAGE
    return next((status for kinds, status in _ENDINGS if isinstance(error, kinds)), Status.COULD_NOT_RUN)


def status_of_ruling(ruling: Ruling, *, accept_warn: bool) -> Status:
    """The status of a verdict that was signed or verified."""
    statuses = {"GO": Status.DONE, "WARN": Status.DONE if accept_warn else Status.WARN, "NO-GO": Status.FAILED}
    return statuses[ruling]


def table() -> Iterator[str]:
    """The statuses as lines of a Markdown table."""
    yield "| status | means |"
    yield "|---|---|"
    yield from (f"| {status:d} | {status.sentence} |" for status in Status)
    yield "| 128 + n | ended by signal n; Ctrl-C is 130 |"
