"""The gate's session inside pytest: opens a run, tries falsifiers one by one, and has the run judged at its end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from refute.errors import EvidenceError, GateError, RefuteError
from refute.escaping import clip
from refute.evidence.experiment import Plan
from refute.evidence.laboratory import Laboratory
from refute.evidence.missing_inputs import require_inputs
from refute.evidence.store import Store
from refute.evidence.store.opening import open_store, untested
from refute.falsifier.context import Evidence
from refute.falsifier.forked import warm_up
from refute.falsifier.runner import Gate
from refute.gate.inputs import GateInputs
from refute.gate.judging import JudgeOptions, judge_recorded
from refute.gate.options import INTERRUPTED, NOT_JUDGED, SESSION
from refute.gate.progress import Progress
from refute.gate.run_file import describe_run
from refute.gate.terminal import capture_off, progress_in_file, progress_on_terminal
from refute.interrupt import check, heard
from refute.judge.run.folder import RunFolder
from refute.lock.facts import foresee, record_lock, warnings
from refute.lock.model import RunLock
from refute.outcome import Record, Ruling
from refute.output import columns
from refute.spec.criteria import Criterion, FalsifierUse, LoadedSpec, Spec
from refute.spec.files import refuse_outputs_inside
from refute.spec.folders import runs_folder
from refute.verify.required_verdicts import verify_required

# Options with which pytest only shows something: nothing is tried, and there is no verdict on that.
_LISTINGS = ("collectonly", "showfixtures", "show_fixtures_per_test", "cacheshow")


@dataclass(frozen=True, slots=True)
class _OpenRun:
    """What there is from pytest_sessionstart on, unless pytest only lists items."""

    folder: RunFolder
    laboratory: Laboratory
    gate: Gate
    progress: Progress

    def note(self, evidence: Mapping[str, Evidence]) -> None:
        """Note that `evidence` was used, and what made it."""
        self.folder.append_evidence(evidence, self.laboratory.made_by())


@dataclass(slots=True)
class GateSession:
    """Everything that the plugin's hooks share."""

    config: pytest.Config
    inputs: GateInputs
    broken_off: BaseException | None = None
    falsifiers_failed: int = 0
    summary: str = ""
    _open: _OpenRun | None = None
    _wanted: tuple[str, ...] = ()

    @property
    def spec_files(self) -> Mapping[Path, LoadedSpec]:
        """The specs of this run, by resolved path."""
        return self.inputs.spec_files

    @property
    def run(self) -> RunFolder | None:
        """The run's folder, once there is one."""
        return self._open.folder if self._open is not None else None

    @property
    def _worker(self) -> Mapping[str, str] | None:
        """What the controller told this process, where it is a worker of xdist."""
        return getattr(self.config, "workerinput", None)

    @property
    def _signing_key(self) -> Path | None:
        return self._path_option("--signing-key")

    @property
    def _subject(self) -> str | None:
        return self.inputs.release.release.subject

    @property
    def _lock_keys(self) -> list[Path]:
        return [self.config.invocation_params.dir / named for named in self.config.getoption("--lock-key") or ()]

    @property
    def _judge_options(self) -> JudgeOptions:
        return JudgeOptions(self.inputs.refute_dir, self._signing_key, self._lock_keys)

    def _path_option(self, option: str) -> Path | None:
        named = self.config.getoption(option)
        return self.config.invocation_params.dir / named if named else None

    def is_falsifier(self, nodeid: str) -> bool:
        """Whether a node id is one of a falsifier of this run, and not of an ordinary test beside it."""
        return (self.config.rootpath / nodeid.split("::")[0]).resolve() in self.spec_files

    def choose(self, uses: Sequence[FalsifierUse]) -> None:
        """Note which experiments the selected falsifiers will want, so that progress can say `i of n`."""
        wanted: list[str] = []
        needs = [need for use in uses if use.uses for need in self.inputs.registry[use.uses].needs]
        for need in [*needs, *filter(None, [self._subject])]:
            _add_with_needs(need, self.inputs.plan, wanted)
        self._wanted = tuple(wanted)
        if self._open is not None:
            self._open.laboratory.wanted = self._wanted

    def open(self) -> None:
        """Prepare store and run folder. Raises pytest.UsageError when inputs are missing or nothing can be written."""
        if any(self.config.getoption(name, None) for name in _LISTINGS):
            return
        try:
            self._check_before_the_first_experiment()
            store, folder = self._store_and_folder()
        except RefuteError as error:
            raise pytest.UsageError(str(error) + (f"\nhint: {error.hint}" if error.hint else "")) from error
        progress = progress_on_terminal() if self._worker is None else progress_in_file(folder)
        laboratory = Laboratory(self.inputs.plan, store, progress, self._wanted)
        gate = Gate(self.inputs.release, self.inputs.registry, laboratory, folder.log)
        self._open = _OpenRun(folder, laboratory, gate, progress)

    def _check_before_the_first_experiment(self) -> None:
        """Raise now, and not after hours of experiments."""
        release = self.inputs.release
        require_inputs(release.release, release.path.parent)
        for outputs in (self.inputs.refute_dir, self.inputs.store):
            if isinstance(outputs, Path):
                refuse_outputs_inside(release, outputs)
        if not self.config.getoption("--no-judge"):
            self._judge_options.check_key()

    def _store_and_folder(self) -> tuple[Store, RunFolder]:
        """The store, and a new run folder with its run.json or, in a worker, the controller's."""
        if self._worker is not None:
            return open_store(self.inputs.store), RunFolder(Path(self._worker["refute_run"]))
        requires = verify_required(self.inputs.release)
        lock = self._take_lock()
        store = open_store(self.inputs.store)  # nothing is written for a release that may not begin
        self._warn(filter(None, [untested(self.inputs.store)]))
        made = self._path_option("--refute-run")
        run = RunFolder.create(runs_folder(self.inputs.refute_dir)) if made is None else RunFolder(made)
        run.write_run(describe_run(run.path.name, self.config, self.inputs, lock, requires))
        return store, run

    def _take_lock(self) -> RunLock | None:
        """Note the lock, and say now what the judge will say of it. The run goes on: evidence outlives a new lock."""
        release, specs = self.inputs.release, self.inputs.specs
        lock = record_lock(release, specs, self.inputs.registry, self._path_option("--lock"))
        found = foresee(lock, release, specs, self._lock_keys, self._signing_key)
        self._warn(warnings(found, signer_known=bool(self._lock_keys) or not self.config.getoption("--no-judge")))
        return lock

    def _warn(self, lines: Iterable[str]) -> None:
        """Say at once, where pytest says anything, what its reader should know before hours have passed."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            for line in lines:
                reporter.write_line(f"refute: {clip(line, 240)}", yellow=True)

    def leave_out(self, names: Sequence[str]) -> None:
        """Note falsifiers that the command line deselected; the verdict tells them from those that went missing."""
        if self._open is not None and names:
            self._open.folder.append_deselected(names)

    def attack(self, spec: Spec, criterion: Criterion, use: FalsifierUse) -> Record:
        """Run one falsifier with live progress, and write its record and the evidence it used."""
        if self._open is None:
            raise pytest.UsageError("the gate was not opened: pytest_sessionstart did not run")
        run = self._open
        warm_up()
        check()
        with self._shown(run.progress):
            record = run.gate.run(spec, criterion, use)
        check()
        used = dict(record.evidence)
        run.note({n: e for n, e in run.laboratory.evidence().items() if n in used})
        run.folder.append_record(record)
        return record

    def take_in_subject(self) -> None:
        """Note the evidence that the verdict is about, also where no falsifier needed it.

        Where it cannot be had, progress says why, and the judge that it is missing.
        """
        if self._open is None or self._worker is not None or self._subject is None:
            return
        run = self._open
        with self._shown(run.progress), suppress(RefuteError):
            run.note({self._subject: run.laboratory.obtain(self._subject)})

    @contextmanager
    def _shown(self, progress: Progress) -> Iterator[None]:
        """Let `progress` reach the console."""
        with capture_off(self.config):
            progress.begin()
            try:
                yield
            finally:
                progress.close()

    def close(self, session: pytest.Session, exitstatus: int) -> int | None:
        """Have the run judged. Returns the exit status that pytest should end with, or None to leave it."""
        if self.run is None or self._worker is not None:
            return None
        if self.broken_off is None and heard():
            self.broken_off = KeyboardInterrupt()
        if self.broken_off is not None:
            return self._break_off(self.broken_off, exitstatus)
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self.summary = f"no verdict: pytest ended with status {exitstatus}"
            return None
        # A signed GO or WARN outranks the items; what failed beside them keeps its say.
        beside = self._status_beside(session, exitstatus)
        try:
            self.run.write_end(exitstatus)
            if self.config.getoption("--no-judge"):
                next_by_hand = f"recorded, not judged. Next: refute judge {self.run.path} --key PEM"
                by_a_gate = self.config.getoption("--refute-run") is not None
                self.summary = "recorded; the gate judges it next" if by_a_gate else next_by_hand
                return beside or NOT_JUDGED
            signed = judge_recorded(self.run, self._judge_options, self._start_judge)
        except EvidenceError as error:
            self.summary = f"no verdict: {error}"
            return int(pytest.ExitCode.TESTS_FAILED)
        except GateError as error:
            self.summary += f"\n{error}"
            return beside or int(pytest.ExitCode.TESTS_FAILED)
        return beside or int(pytest.ExitCode.TESTS_FAILED if signed.ruling is Ruling.NO_GO else pytest.ExitCode.OK)

    def _break_off(self, cause: BaseException, exitstatus: int) -> int:
        """Only a person's Ctrl-C ends in 130; an early end that pytest or a plugin decided on is never a success."""
        if isinstance(cause, pytest.exit.Exception | pytest.Session.Interrupted):
            self.summary = f"no verdict: the run was broken off: {cause}"
            return exitstatus or int(pytest.ExitCode.INTERRUPTED)
        self.summary = "interrupted: no verdict. Run again: finished evidence and checkpoints are reused."
        return INTERRUPTED

    def _status_beside(self, session: pytest.Session, exitstatus: int) -> int:
        """pytest's status where something else than a falsifier failed: an ordinary test, a module that could not be
        collected, a plugin's bar. Else 0."""
        if session.exitstatus != exitstatus:  # set by another plugin at the end of the session
            return int(session.exitstatus)
        unexplained = exitstatus != pytest.ExitCode.OK and not self.falsifiers_failed
        return exitstatus if unexplained or session.testsfailed > self.falsifiers_failed else 0

    def _start_judge(self, command: Sequence[str], environment: dict[str, str], descriptors: Sequence[int]) -> int:
        judged = subprocess.run(  # noqa: S603  # our own interpreter and module
            command,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            check=False,
            stdin=subprocess.DEVNULL,
            env={**environment, "COLUMNS": str(columns(sys.stdout))},
            pass_fds=descriptors,
        )
        self.summary = (judged.stdout + judged.stderr).rstrip()
        return judged.returncode


def session_of(config: pytest.Config) -> GateSession:
    """The session of this pytest run. Raises KeyError where `--falsifiers` was not given."""
    session: GateSession = config.stash[SESSION]
    return session


def _add_with_needs(name: str, plan: Plan, wanted: list[str]) -> None:
    if name in plan and name not in wanted:
        for need in plan[name].needs:
            _add_with_needs(need, plan, wanted)
        wanted.append(name)
