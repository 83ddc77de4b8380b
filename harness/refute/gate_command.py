"""`refute gate`: pytest --falsifiers for people: runs it, and succeeds once a verdict is signed, whatever it says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from refute.errors import UsageError
from refute.outcome import Ruling
from refute.run_folder import VERDICT_FILE
from refute.verification import verify_verdict

# The judge's summary says all that pytest's own failure report would, in better order.
_QUIET = ("--no-header", "--tb=no", "-q", "-rN")


def run_gate(refute_dir: Path, pytest_arguments: Sequence[str], *, strict: bool) -> int:
    """Run the gate in the working folder; returns the exit status.

    0 once a verdict is signed, or with `strict` only for GO and WARN; else pytest's own status, which is
    130 when a person interrupted it. pytest's word alone is never a success: raises UsageError when it ended
    well without a signed verdict.
    """
    latest = refute_dir / "runs" / "latest"
    before = _target(latest)
    # -P: like the `pytest` script, and unlike `-m` alone, this does not import from the working folder.
    command = [sys.executable, "-P", "-m", "pytest", "--falsifiers", "--refute-dir", str(refute_dir), *_QUIET]
    process = subprocess.Popen([*command, *pytest_arguments])  # noqa: S603  # our own interpreter and module
    status = _wait(process)
    signed = _target(latest) != before and (latest / VERDICT_FILE).is_file()
    if not signed and status == 0:
        raise UsageError(
            "pytest ended with status 0, but no verdict was signed",
            hint="options such as --collect-only try nothing; else a plugin or conftest.py ended the run early",
        )
    if not signed or status not in (0, 1):
        return status
    return max(status, int(_ruling(latest) is Ruling.NO_GO)) if strict else 0


def _ruling(run: Path) -> Ruling:
    """What was signed, judged again: a conftest.py can set pytest's exit status, but not this."""
    verdict, key = (run / VERDICT_FILE).read_bytes(), (run / "verifier.pem").read_bytes()
    return verify_verdict(verdict, [key]).predicate.verdict.ruling


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait through Ctrl-C: the child got the signal too, and ends by itself with its own status."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _target(link: Path) -> str:
    return os.readlink(link) if link.is_symlink() else ""  # noqa: PTH115  # the text of the link, not its target
