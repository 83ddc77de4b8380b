"""`refute gate`: pytest --falsifiers, then the judge; what counts is the verdict that it signs, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refute.attest.passphrase import VARIABLE as PASSPHRASE
from refute.errors import GateError, StoppedError, UsageError
from refute.evidence.missing_inputs import require_inputs
from refute.gate.judging import JudgeOptions, judge_recorded
from refute.gate.options import NOT_JUDGED
from refute.gate.own_run import OwnRun
from refute.interrupt import heard
from refute.isolation.orphans import ending_orphans
from refute.judge.answer import Signed
from refute.spec.files import load_release, refuse_outputs_inside
from refute.spec.folders import SPECS, runs_folder
from refute.spec.selection import choose_release
from refute.verify.required_verdicts import verify_required

# The judge's summary says all that pytest's own failure report would, in better order.
_QUIET = ("--no-header", "--tb=no", "-q", "-rN")

# As `-m pytest`, but a Ctrl-C while it loads its plugins is no traceback. It imports nothing of ours: pytest is first.
_PYTEST = """\
import sys
sys.argv[0] = "pytest"
try:
    import pytest
    sys.exit(pytest.main())
except KeyboardInterrupt:
    sys.exit(130)
"""

# pytest's own statuses: it ended well; it was called wrongly, or there was nothing to try.
_ENDED, _REFUSALS = 0, (4, 5)

# The status that a shell gives a process that signal n ended is this and n.
_SIGNALLED = 128


@dataclass(frozen=True, slots=True)
class Gated:
    """A signed verdict, and the status of pytest where something else than a falsifier failed beside it, else 0."""

    signed: Signed
    pytest: int


def run_gate(release: Path | None, pytest_arguments: Sequence[str], options: JudgeOptions) -> Gated:
    """Run the gate in the working folder, judge what it recorded, and return what was signed.

    `release` is the file to judge, by default the one that `choose_release` finds in the folder of specs; it is read
    here, and the run must turn out to be about it. Raises, before anything is run, what reading it, its inputs, the key
    and the judge's other files raises; UsageError where pytest refused; StoppedError where a signal ended pytest;
    GateError where it broke off otherwise, where the run is not this one, or the judge signed nothing.
    """
    if "--no-judge" in pytest_arguments:
        raise UsageError(
            "a gate judges what it recorded: --no-judge is an option of pytest's",
            hint="pytest --falsifiers --no-judge, and then, elsewhere, refute judge RUN",
        )
    loaded = load_release(release or choose_release([SPECS]))
    require_inputs(loaded.release, loaded.path.parent)
    refuse_outputs_inside(loaded, options.refute_dir)
    verify_required(loaded)
    trusted, rules = options.check_key(), options.check_rules()
    own = OwnRun.make(runs_folder(options.refute_dir.resolve()), loaded)
    status = _run_pytest(own, pytest_arguments, options)
    ended_by = signal.SIGINT if heard() else status - _SIGNALLED
    if ended_by > 0:
        raise StoppedError("no verdict: a signal ended it", ended_by, hint="run it again: evidence is kept")
    if not own.folder.has_ended:
        own.discard()
        raise _unfinished(status)
    own.check_recorded()
    _require_unchanged(rules, options)
    # From this process, in which no code of the repository has run: a conftest.py cannot answer in the judge's place.
    signed = judge_recorded(own.folder, options, _start, trusted)
    own.check_signed(signed)
    return Gated(signed, 0 if status in (_ENDED, NOT_JUDGED) else status)


def _require_unchanged(rules: Mapping[Path, str], options: JudgeOptions) -> None:
    """What may be waived was said before the run, in which code of the repository could write anywhere."""
    for path, digest in options.check_rules().items():
        if digest != rules[path]:
            raise GateError(
                f"no verdict was signed: {path} changed while the run went on",
                hint="keep it where the run cannot write; the run is kept: refute judge",
            )


def _run_pytest(own: OwnRun, arguments: Sequence[str], options: JudgeOptions) -> int:
    """Its status; without the passphrase of the key, and what this gate decides after what anybody else asks."""
    # -P: like the `pytest` script, and unlike `-m` alone, this does not import from the working folder.
    # -p: also where plugins are not loaded by themselves ($PYTEST_DISABLE_PLUGIN_AUTOLOAD).
    command = [sys.executable, "-P", "-c", _PYTEST, "-p", "refute", "--falsifiers", *_QUIET, *arguments]
    command += ["--no-judge", f"--refute-dir={options.refute_dir}", f"--refute-run={own.folder.path}"]
    command += [f"--release={own.release.path.resolve()}", *(f"--lock-key={path}" for path in options.lock_keys)]
    secretless = {name: text for name, text in os.environ.items() if name != PASSPHRASE}
    with ending_orphans():
        return _wait(subprocess.Popen(command, env=secretless))  # noqa: S603  # our own interpreter


def _start(command: Sequence[str], environment: dict[str, str], descriptors: Sequence[int]) -> int:
    judge = subprocess.Popen(command, env=environment, pass_fds=descriptors)  # noqa: S603  # our own module
    return _wait(judge)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait through Ctrl-C, which the child got too: it ends by itself, with its own status as a shell gives it.

    Where the child does not heed it, `heard` still knows of it.
    """
    while True:
        try:
            status = process.wait()
            return _SIGNALLED - status if status < 0 else status
        except KeyboardInterrupt:
            continue


def _unfinished(status: int) -> UsageError | GateError:
    if status in _REFUSALS:
        return UsageError(f"no verdict: pytest refused to run (its status {status})", hint="it says above why")
    return GateError(
        f"no verdict was signed: pytest ended with status {status} and did not get through the run",
        hint="options such as --collect-only try nothing; else a plugin or conftest.py ended the run early",
    )
