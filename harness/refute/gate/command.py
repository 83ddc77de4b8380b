"""`refute gate`: pytest --falsifiers, then the judge; succeeds once a verdict is signed, whatever it says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from refute.attest.passphrase import VARIABLE as PASSPHRASE
from refute.attest.signing_key import load_unattended_key
from refute.errors import UsageError
from refute.judge.remeasure.isolation import clean_environment, judge_command
from refute.judge.run.folder import NOT_JUDGED, RunFolder
from refute.spec.folders import runs_folder

# The judge's summary says all that pytest's own failure report would, in better order.
_QUIET = ("--no-header", "--tb=no", "-q", "-rN")


# As `-m pytest`, but a Ctrl-C while it loads its plugins is no traceback. It imports nothing of ours: pytest is first.
_PYTEST = """\
import sys
sys.argv[0] = "pytest"
try:
    import pytest
    sys.exit(pytest.console_main())
except KeyboardInterrupt:
    sys.exit(130)
"""


# What pytest may end with where the run is complete, beside NOT_JUDGED.
_ENDED, _FAILED = 0, 1


_NO_GO = 1


def run_gate(
    refute_dir: Path,
    pytest_arguments: Sequence[str],
    *,
    key: Path | None,
    lock_keys: Sequence[Path] = (),
    strict: bool,
) -> int:
    """Run the gate in the working folder, judge what it recorded, sign with `key`; returns the exit status.

    0 once a verdict is signed, and with `strict` only for GO and WARN; else pytest's own status, which is
    130 when a person interrupted it, or the judge's; 128 + n where signal n ended one of them. pytest's word alone is
    never a success: raises UsageError when it ended well without a complete run. `lock_keys` are public keys that may
    have signed the lock, if not `key`. Raises also what `load_unattended_key` does, before anything is run.
    """
    if key is not None:
        load_unattended_key(key)
    latest = runs_folder(refute_dir) / "latest"
    before = _target(latest)
    # -P: like the `pytest` script, and unlike `-m` alone, this does not import from the working folder.
    command = [sys.executable, "-P", "-c", _PYTEST, "--falsifiers", "--refute-dir", str(refute_dir), *_QUIET]
    command += ["--no-judge", *(f"--lock-key={path}" for path in lock_keys), *pytest_arguments]
    secretless = {name: text for name, text in os.environ.items() if name != PASSPHRASE}
    status = _wait(subprocess.Popen(command, env=secretless))  # noqa: S603  # our own interpreter
    run = RunFolder(latest.resolve())
    complete = _target(latest) != before and run.has_ended
    if not complete and status in (_ENDED, NOT_JUDGED):
        raise UsageError(
            f"pytest ended with status {status}, but no verdict was signed: it did not get through the run",
            hint="options such as --collect-only try nothing; else a plugin or conftest.py ended the run early",
        )
    if not complete or status not in (_ENDED, _FAILED, NOT_JUDGED):
        return status
    # From this process, in which no code of the repository has run: a conftest.py cannot answer in the judge's place.
    judge = judge_command(run.path, refute_dir, key, lock_keys)
    judged = _wait(subprocess.Popen(judge, env=clean_environment(os.environ)))  # noqa: S603  # our own module
    if judged not in (0, _NO_GO):
        return judged
    return max(judged, int(status == _FAILED)) if strict else 0


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait through Ctrl-C, which the child got too: it ends by itself, with its own status as a shell gives it."""
    while True:
        try:
            status = process.wait()
            return 128 - status if status < 0 else status
        except KeyboardInterrupt:
            continue


def _target(link: Path) -> str:
    return os.readlink(link) if link.is_symlink() else ""  # noqa: PTH115  # the text of the link, not its target
