"""Exit statuses: one number for each way in which a command may end, and which error ends in which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from refute.cli.console import print_json
from refute.errors import RefuteError, StaleVerdictError, VerificationError

# NO-GO, or whatever else a command was asked to find and found: problems, a regression, a mutant that survived.
FAILED = 1


USAGE, WARNED, UNVERIFIABLE, STALE = 2, 3, 4, 5


# Where an error does not name its own.
_CAUSES = {USAGE: "input", UNVERIFIABLE: "unverifiable", STALE: "stale"}


def exit_status(error: RefuteError) -> int:
    """5 for a verdict that is authentic and does not help, 4 for one not to be trusted, 2 for anything else."""
    if isinstance(error, StaleVerdictError):
        return STALE
    return UNVERIFIABLE if isinstance(error, VerificationError) else USAGE


@contextmanager
def errors_as_json(wanted: bool) -> Iterator[None]:
    """Where JSON is `wanted`, an error also becomes an object on standard output before it ends the command."""
    try:
        yield
    except RefuteError as error:
        if wanted:
            status = exit_status(error)
            cause = getattr(error, "cause", "") or _CAUSES[status]
            shown = {"verified": False, "status": status, "cause": cause}
            print_json({**shown, "message": str(error), "hint": error.hint})
        raise
