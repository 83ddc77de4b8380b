"""Where `refute` starts and the only file that exits: run a command, show what went wrong, set the exit status.

Commands are imported after the start, so that a Ctrl-C while they load is answered, too.
"""

from __future__ import annotations

import signal
import sys

from refute.cli.failures import tell_failure
from refute.errors import StoppedError
from refute.output import lossy_output, refusal


def main() -> None:
    """Run the command line; whatever goes wrong ends in one message and a status of the table."""
    with lossy_output():
        try:
            status = _run()
        except KeyboardInterrupt:
            status = tell_failure(StoppedError("interrupted", signal.SIGINT), sys.argv[1:])
        except Exception as error:  # noqa: BLE001  # an accident must not look like a NO-GO, which is what 1 means
            status = tell_failure(error, sys.argv[1:])
        _tell_of_loss()
    sys.exit(status)


def _run() -> int:
    from refute.cli.app import app

    return int(app(standalone_mode=False) or 0)


def _tell_of_loss() -> None:
    """The status stays that of the work; but nobody should take half of a text for all of it."""
    lost = refusal(sys.stdout)
    if lost is not None:
        sys.stderr.write(f"refute: a part of the output is lost: standard output: {lost.strerror}\n")


if __name__ == "__main__":
    main()
