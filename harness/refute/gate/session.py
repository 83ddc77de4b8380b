"""A gate run inside pytest: which release, specs and falsifiers; the run folder; and the judge's answer at the end."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path

import pytest

from refute.attest.signing_key import load_unattended_key
from refute.check.controls.experiment import mutation_experiment
from refute.errors import EvidenceError, RefuteError, SpecError, UsageError
from refute.escaping import clip
from refute.evidence.experiment import Plan
from refute.evidence.laboratory import Laboratory
from refute.evidence.missing_inputs import require_inputs
from refute.evidence.plan import plan_for
from refute.evidence.store import Store
from refute.falsifier.forked import warm_up
from refute.falsifier.loading import load_registry
from refute.falsifier.origins import falsifier_origins
from refute.falsifier.registry import Registry
from refute.falsifier.runner import Gate
from refute.gate.options import SESSION
from refute.gate.progress import Progress
from refute.gate.selection import falsifier_folders, selected
from refute.judge.remeasure.isolation import clean_environment, judge_command
from refute.judge.run.facts import CitedVerdict, RunFacts
from refute.judge.run.folder import NOT_JUDGED, RunFile, RunFolder
from refute.lock.facts import foresee, record_lock, warnings
from refute.lock.model import RunLock
from refute.outcome import Record
from refute.spec.criteria import Criterion, FalsifierUse, LoadedSpec, Spec, uses_of
from refute.spec.fields import utc_now
from refute.spec.files import LoadedRelease, refuse_outputs_inside
from refute.spec.folders import CONTRACTS, REFUTE_DIR, runs_folder, store_folder
from refute.spec.lint import check_spec
from refute.spec.texts import ReleaseText, SpecText
from refute.verify.required_verdicts import verify_required

INTERRUPTED = 130


@dataclass(slots=True)
class GateSession:
    """Everything that the plugin's hooks share."""

    config: pytest.Config
    root: Path
    release: LoadedRelease
    spec_files: Mapping[Path, LoadedSpec]
    registry: Registry
    plan: Plan
    store_path: Path
    falsifier_folders: tuple[Path, ...]
    run: RunFolder | None = None
    gate: Gate | None = None
    laboratory: Laboratory | None = None
    progress: Progress | None = None
    interrupted: bool = False
    other_failures: bool = False
    summary: str = ""
    _wanted: tuple[str, ...] = field(default=())
    _lock: RunLock | None = None
    _requires: tuple[CitedVerdict, ...] = field(default=())

    @classmethod
    def from_config(cls, config: pytest.Config) -> GateSession:
        """Read everything that can be read before a model is touched. Raises RefuteError subclasses."""
        if sys.flags.optimize:
            raise UsageError("python -O removes checks; run the gate without -O and PYTHONOPTIMIZE")
        folders = falsifier_folders(config)
        release, specs = selected(config)
        registry = load_registry(folders)
        parsed = [loaded.spec for loaded in specs]
        # An uncovered criterion is for the judge: it must end in a signed NO-GO, not in a refusal to run.
        problems = [
            problem
            for loaded in specs
            for problem in check_spec(loaded, registry)
            if not problem.message.startswith("[spec/uncovered]")
        ]
        if problems:
            raise SpecError(problems, hint="`refute check` lists these without running anything")
        # Absolute, because a falsifier's file or a conftest may change the working folder.
        here = config.invocation_params.dir
        root = here / (config.getoption("--refute-dir") or config.rootpath / REFUTE_DIR)
        return cls(
            config=config,
            root=root,
            release=release,
            spec_files={loaded.path.resolve(): loaded for loaded in specs},
            registry=registry,
            plan=plan_for(
                release.release,
                release.path.parent,
                parsed,
                registry,
                others=[mutation_experiment(uses_of(parsed), registry, folders)],
            ),
            store_path=here / (config.getoption("--store") or store_folder(root)),
            falsifier_folders=folders,
        )

    @property
    def _worker(self) -> Mapping[str, str] | None:
        return getattr(self.config, "workerinput", None)

    def _given(self, option: str) -> Path | None:
        named = self.config.getoption(option)
        return self.config.invocation_params.dir / named if named else None

    @property
    def _signing_key(self) -> Path | None:
        return self._given("--signing-key")

    @property
    def _lock_keys(self) -> list[Path]:
        return [self.config.invocation_params.dir / named for named in self.config.getoption("--lock-key") or ()]

    def is_falsifier(self, nodeid: str) -> bool:
        """Whether a node id is one of a falsifier of this run, and not of an ordinary test beside it."""
        return (self.config.rootpath / nodeid.split("::")[0]).resolve() in self.spec_files

    def choose(self, uses: Sequence[FalsifierUse]) -> None:
        """Note which experiments the selected falsifiers will want, so that progress can say `i of n`."""
        wanted: list[str] = []
        for use in uses:
            for need in self.registry[use.uses].needs if use.uses else ():
                _add_with_needs(need, self.plan, wanted)
        self._wanted = tuple(wanted)
        if self.laboratory is not None:
            self.laboratory.wanted = self._wanted

    def open(self) -> None:
        """Prepare store and run folder. Raises pytest.UsageError when inputs are missing or nothing can be written."""
        if self.config.getoption("collectonly"):
            return
        try:
            require_inputs(self.release.release, self.release.path.parent)
            for outputs in (self.root, self.store_path):
                refuse_outputs_inside(self.release, outputs)
            if self._signing_key is not None:
                load_unattended_key(self._signing_key)  # now, and not after hours of experiments
            if self._worker is None:
                self._requires = verify_required(self.release)
                self._take_lock()
            store = Store(self.store_path)
            self.run = self._run_folder()
        except RefuteError as error:
            raise pytest.UsageError(str(error) + (f"\nhint: {error.hint}" if error.hint else "")) from error
        self.progress = _progress(self.config, self.run, quiet=self._worker is not None)
        self.laboratory = Laboratory(self.plan, store, self.progress, self._wanted)
        self.gate = Gate(self.release, self.registry, self.laboratory, self.run.log)

    def _run_folder(self) -> RunFolder:
        if self._worker is not None:
            return RunFolder(Path(self._worker["refute_run"]))
        run = RunFolder.create(runs_folder(self.root))
        run.write_run(self._run_file(run))
        return run

    def _take_lock(self) -> None:
        """Note the lock, and say now what the judge will say of it. The run goes on: evidence outlives a new lock."""
        specs = tuple(self.spec_files.values())
        self._lock = record_lock(self.release, specs, self.registry, self._given("--lock"))
        found = foresee(self._lock, self.release, specs, self._lock_keys, self._signing_key)
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            for line in warnings(found, signer_known=bool(self._lock_keys) or not self.config.getoption("--no-judge")):
                reporter.write_line(f"refute: {clip(line, 240)}", yellow=True)

    def _run_file(self, run: RunFolder) -> RunFile:
        release = self.release.release
        facts = RunFacts(
            id=run.path.name,
            started_at=utc_now(),
            argv=tuple(map(str, self.config.invocation_params.args)),
            pytest_environment={name: os.environ[name] for name in sorted(os.environ) if name.startswith("PYTEST_")},
            plugins=_plugins(self.config),
            python=platform.python_version(),
            platform=platform.platform(),
            cpus=os.cpu_count() or 0,
            versions=_versions(),
            falsifiers=falsifier_origins(self.registry, self._contracts()),
        )
        return RunFile(
            facts=facts,
            release=ReleaseText(
                id=release.release,
                title=release.title,
                run_class=release.run_class,
                operator=release.operator,
                name=str(self.release.path),
                sha256=self.release.sha256,
                text=self.release.text,
            ),
            specs=tuple(
                SpecText(id=loaded.spec.spec, name=str(loaded.path), sha256=loaded.sha256, text=loaded.text)
                for loaded in self.spec_files.values()
            ),
            store=str(self.store_path.resolve()),
            lock=self._lock,
            requires=self._requires,
            falsifiers=tuple(str(folder.resolve()) for folder in self.falsifier_folders),
        )

    def _contracts(self) -> dict[str, tuple[str, ...]]:
        """By falsifier, the contracts of this repository that cover the code behind it."""
        folder = self.config.rootpath / CONTRACTS
        if not folder.is_dir():
            return {}
        # Where there are some: their models cost every other gate a tenth of a second.
        from refute.check.contracts.links import linked_contracts, readable_contracts

        return linked_contracts(self.registry, self.plan, readable_contracts([folder]))

    def leave_out(self, names: Sequence[str]) -> None:
        """Note falsifiers that the command line deselected; the verdict tells them from those that went missing."""
        if self.run is not None and names:
            self.run.append_deselected(names)

    def attack(self, spec: Spec, criterion: Criterion, use: FalsifierUse) -> Record:
        """Run one falsifier with live progress, and write its record and the evidence it used."""
        if self.gate is None or self.laboratory is None or self.run is None or self.progress is None:
            raise pytest.UsageError("the gate was not opened: pytest_sessionstart did not run")
        warm_up()
        with _capture_off(self.config):
            self.progress.begin()
            try:
                record = self.gate.run(spec, criterion, use)
            finally:
                self.progress.close()
        used = dict(record.evidence)
        self.run.append_evidence({n: e for n, e in self.laboratory.evidence().items() if n in used})
        self.run.append_record(record)
        return record

    def close(self, exitstatus: int) -> int | None:
        """Have the run judged. Returns the exit status that pytest should end with, or None to leave it."""
        if self.run is None or self._worker is not None:
            return None
        if self.interrupted:
            self.summary = "interrupted: no verdict. Run again: finished evidence and checkpoints are reused."
            return INTERRUPTED
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self.summary = f"no verdict: pytest ended with status {exitstatus}"
            return None
        try:
            self.run.write_end(exitstatus)
        except EvidenceError as error:
            self.summary = f"no verdict: {error}"
            return int(pytest.ExitCode.TESTS_FAILED)
        if self.config.getoption("--no-judge"):
            self.summary = f"recorded, not judged. Next: refute judge {self.run.path} --key PEM"
            return int(pytest.ExitCode.TESTS_FAILED) if self.other_failures else NOT_JUDGED
        judged = subprocess.run(  # noqa: S603  # our own interpreter and module
            judge_command(self.run.path, self.root, self._signing_key, self._lock_keys),
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            check=False,
            stdin=subprocess.DEVNULL,
            env=clean_environment(os.environ),
        )
        self.summary = (judged.stdout + judged.stderr).rstrip()
        # A signed GO or WARN outranks the items; an ordinary test that failed beside them keeps its say.
        good = judged.returncode == 0 and not self.other_failures
        return int(pytest.ExitCode.OK if good else pytest.ExitCode.TESTS_FAILED)


def session_of(config: pytest.Config) -> GateSession:
    """The session of this pytest run. Raises KeyError where `--falsifiers` was not given."""
    session: GateSession = config.stash[SESSION]
    return session


def _add_with_needs(name: str, plan: Plan, wanted: list[str]) -> None:
    if name in plan and name not in wanted:
        for need in plan[name].needs:
            _add_with_needs(need, plan, wanted)
        wanted.append(name)


def _plugins(config: pytest.Config) -> dict[str, str]:
    return {dist.project_name: dist.version for _, dist in config.pluginmanager.list_plugin_distinfo()}


def _versions() -> dict[str, str]:
    found = {dist.metadata["Name"]: dist.version for dist in distributions()}
    return dict(sorted((name, version) for name, version in found.items() if name))


@contextmanager
def _capture_off(config: pytest.Config) -> Iterator[None]:
    manager = config.pluginmanager.get_plugin("capturemanager")
    with manager.global_and_fixture_disabled() if manager is not None else nullcontext():
        yield


def _progress(config: pytest.Config, run: RunFolder, *, quiet: bool) -> Progress:
    if quiet:
        return Progress((run.path / "progress.log").open("a", encoding="utf-8", buffering=1), live=False)
    live = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Progress(sys.stdout, live=live, width=_width())


def _width() -> int:
    try:
        return os.get_terminal_size().columns
    except OSError:
        return 100
