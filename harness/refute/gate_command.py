"""`refute gate`: pytest --falsifiers for people: runs it, and succeeds once a verdict is signed, whatever it says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from refute.run_folder import VERDICT_FILE

# The judge's summary says all that pytest's own failure report would, in better order.
_QUIET = ("--no-header", "--tb=no", "-q", "-rN")


def run_gate(refute_dir: Path, pytest_arguments: Sequence[str], *, strict: bool) -> int:
    """Run the gate in the working folder; returns the exit status.

    0 once a verdict is signed, or with `strict` only for GO and WARN; else pytest's own status, which is
    130 when a person interrupted it.
    """
    latest = refute_dir / "runs" / "latest"
    before = _target(latest)
    command = [sys.executable, "-m", "pytest", "--falsifiers", "--refute-dir", str(refute_dir), *_QUIET]
    process = subprocess.Popen([*command, *pytest_arguments])  # noqa: S603  # our own interpreter and module
    status = _wait(process)
    signed = _target(latest) != before and (latest / VERDICT_FILE).is_file()
    return status if strict or not signed or status not in (0, 1) else 0


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait through Ctrl-C: the child got the signal too, and ends by itself with its own status."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _target(link: Path) -> str:
    return os.readlink(link) if link.is_symlink() else ""  # noqa: PTH115  # the text of the link, not its target
