"""Where `refute` starts and the only file that exits.

Nothing is imported here but what Python holds already: from the first moments on, a Ctrl-C is answered in one line.
"""

from __future__ import annotations

import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line; whatever goes wrong ends in one message and a status of the table."""
    try:
        status = _run()
    except KeyboardInterrupt:  # before `run` could answer it, or in its last moments
        sys.stderr.write("refute: interrupted\n")
        status = _INTERRUPTED
    except Exception as error:  # noqa: BLE001  # no isolated process could be started: 1, Python's own answer, is a NO-GO
        from refute.cli.failures import tell_failure

        status = tell_failure(error, sys.argv[1:])
    sys.exit(status)


def _run() -> int:
    from refute.interrupt import remembering

    with remembering():
        from refute.isolation.handover import isolate

        arguments = isolate(sys.argv[1:])
        from refute.cli.run import run

        return run(arguments)


if __name__ == "__main__":
    main()
