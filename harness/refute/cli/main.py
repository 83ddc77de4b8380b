"""Where `refute` starts and the only file that exits: run a command, show what went wrong, set the exit status.

Commands are imported after the start, so that a Ctrl-C while they load is answered, too.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from refute.errors import RefuteError, StoppedError, UsageError
from refute.output import lossy_output, refusal


def main() -> None:
    """Run the command line; every deliberate error, and a file that the system refuses, ends in one message."""
    with lossy_output():
        try:
            _run()
        except RefuteError as error:
            _fail(error)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _fail(UsageError(f"{where}{error.strerror or error}", hint="check the path, its permissions and the disk"))
        except KeyboardInterrupt:
            _fail(StoppedError("interrupted", signal.SIGINT))
        finally:
            _tell_of_loss()


def _run() -> None:
    from refute.cli.app import app

    app()


def _fail(error: RefuteError) -> NoReturn:
    if isinstance(error, StoppedError):
        if os.environ.get("RANK", "0") == "0":  # the first rank says it for all
            _show(error)
        sys.exit(128 + error.signal)
    from refute.cli.exit_status import exit_status

    _show(error)
    sys.exit(exit_status(error))


def _show(error: RefuteError) -> None:
    text = f"refute: {error}" + (f"\nhint: {error.hint}" if error.hint else "")
    if not text.replace("\n", "").isprintable():  # it may quote what a stranger wrote, or a file name that is no text
        from refute.escaping import visible

        text = visible(text)
    sys.stderr.write(f"{text}\n")


def _tell_of_loss() -> None:
    """The status stays that of the work; but nobody should take half of a text for all of it."""
    lost = refusal(sys.stdout)
    if lost is not None:
        sys.stderr.write(f"refute: a part of the output is lost: standard output: {lost.strerror}\n")


if __name__ == "__main__":
    main()
