"""`refute gate`: pytest --falsifiers, then the judge; what counts is the verdict that it signs, and nothing else."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refute.errors import GateError, StoppedError, UsageError
from refute.evidence.missing_inputs import require_inputs
from refute.gate.judging import JudgeOptions, judge_recorded
from refute.gate.options import NOT_JUDGED
from refute.gate.own_run import OwnRun
from refute.gate.pytest_process import SIGNALLED, Access, run_pytest, wait_for
from refute.interrupt import heard
from refute.judge.answer import Signed
from refute.spec.files import load_release, refuse_outputs_inside
from refute.spec.folders import SPECS, runs_folder
from refute.spec.selection import choose_release
from refute.verify.required_verdicts import verify_required

# pytest's own statuses: it ended well; it was called wrongly, or there was nothing to try.
_ENDED, _REFUSALS = 0, (4, 5)
_NO_MORE = Access()


@dataclass(frozen=True, slots=True)
class Gated:
    """A signed verdict, and the status of pytest where something else than a falsifier failed beside it, else 0."""

    signed: Signed
    pytest: int


def run_gate(
    release: Path | None, pytest_arguments: Sequence[str], options: JudgeOptions, access: Access = _NO_MORE
) -> Gated:
    """Run the gate in the working folder, judge what it recorded, and return what was signed.

    `release` is the file to judge, by default the one that `choose_release` finds in the folder of specs; it is read
    here, and the run must turn out to be about it. `access` is what pytest may reach beside what it needs.

    Raises, before anything is run, what reading it, its inputs, the key and the judge's other files raises; UsageError
    where pytest refused; StoppedError where a signal ended pytest; GateError where it broke off otherwise, where the
    run is not this one, or the judge signed nothing.
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
    status, containment = run_pytest(own, pytest_arguments, options, access)
    ended_by = signal.SIGINT if heard() else status - SIGNALLED
    if ended_by > 0:
        raise StoppedError("no verdict: a signal ended it", ended_by, hint="run it again: evidence is kept")
    if not own.folder.has_ended:
        own.discard()
        raise _unfinished(status)
    own.check_recorded()
    _require_unchanged(rules, options)
    # From this process, in which no code of the repository has run: a conftest.py cannot answer in the judge's place.
    signed = judge_recorded(own.folder, options, _start, trusted, containment)
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


def _start(command: Sequence[str], environment: dict[str, str], descriptors: Sequence[int]) -> int:
    judge = subprocess.Popen(command, env=environment, pass_fds=descriptors)  # noqa: S603  # our own module
    return wait_for(judge)


def _unfinished(status: int) -> UsageError | GateError:
    if status in _REFUSALS:
        return UsageError(f"no verdict: pytest refused to run (its status {status})", hint="it says above why")
    return GateError(
        f"no verdict was signed: pytest ended with status {status} and did not get through the run",
        hint="options such as --collect-only try nothing; else a plugin or conftest.py ended the run early",
    )
