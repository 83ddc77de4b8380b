"""Obtain evidence: from the store when it is there, else by running the experiment in a process of its own."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from refute.disk import link_or_copy
from refute.errors import EvidenceError, ExperimentError, ExperimentTimeoutError, NonFiniteError, RefuteError
from refute.evidence.experiment import Experiment, Plan, TakenFiles, TakenText, config_for_job
from refute.evidence.key import key_of
from refute.evidence.manifest import Ran
from refute.evidence.process.engine_process import Workers
from refute.evidence.process.provenance import MadeBy, made_by, outdated, read_ran
from refute.evidence.process.request import Request
from refute.evidence.sources import files_below
from refute.evidence.store import Store
from refute.falsifier.context import Evidence
from refute.job import Fact

_LOG_LINES = 12


class Watcher(Protocol):
    """Who is told what the laboratory does. Every method must return quickly."""

    def started(self, experiment: Experiment, step: int, total: int) -> None: ...
    def waiting(self, experiment: Experiment) -> None: ...
    def progressed(self, stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None: ...
    def finished(self, experiment: Experiment, seconds: float) -> None: ...
    def reused(self, experiment: Experiment) -> None: ...
    def failed(self, experiment: Experiment, error: RefuteError) -> None: ...


@dataclass(slots=True)
class Laboratory:
    """Experiments of one plan over one store. A failed experiment is not tried twice in one run."""

    plan: Plan
    store: Store
    watcher: Watcher
    wanted: tuple[str, ...] = ()
    _known: dict[str, Evidence | RefuteError] = field(default_factory=dict)
    _made_by: dict[str, MadeBy] = field(default_factory=dict)
    _workers: Workers = field(default_factory=Workers)

    def obtain(self, name: str) -> Evidence:
        """The evidence `name`, running whatever it needs first.

        Raises:
            EvidenceError: nothing in the plan produces it, or the store is damaged.
            ExperimentError: the experiment, or one that it needs, did not finish.
        """
        if name not in self._known:
            try:
                self._known[name] = self._obtain(name)
            except RefuteError as error:
                self._known[name] = error
            except OSError as error:
                self._known[name] = EvidenceError(
                    f"evidence {name!r} cannot be obtained: {error}",
                    hint="check the files that the release names, and that the store has space and may be written",
                )
        found = self._known[name]
        if isinstance(found, RefuteError):
            raise found
        return found

    def evidence(self) -> dict[str, Evidence]:
        """All evidence obtained so far."""
        return {name: found for name, found in sorted(self._known.items()) if isinstance(found, Evidence)}

    def made_by(self) -> dict[str, MadeBy]:
        """What made the evidence obtained so far; files that were only taken in are not among it."""
        return {name: found for name, found in sorted(self._made_by.items()) if name in self.evidence()}

    def _obtain(self, name: str) -> Evidence:
        experiment = self.plan.get(name)
        if experiment is None:
            known = ", ".join(sorted(self.plan)) or "nothing"
            raise EvidenceError(
                f"the release provides no evidence {name!r}; it provides: {known}",
                hint=f"name a file under `evidence: {{{name}: …}}` in the release, or add what makes it: a "
                "`distillation`, a `publication`",
            )
        inputs: dict[str, Evidence] = {}
        for need in experiment.needs:
            try:
                inputs[need] = self.obtain(need)
            except RefuteError as error:
                kind = type(error) if isinstance(error, ExperimentError) else ExperimentError
                raise kind(f"experiment {name!r} needs {need!r}, which failed: {error}", hint=error.hint) from error
        key = key_of(experiment, {need: evidence.digest for need, evidence in inputs.items()})
        with self.store.lock(key, lambda: self.watcher.waiting(experiment)):
            found = self._take(experiment, key)
            if found is not None:
                self.watcher.reused(experiment)
                return found
            return self._run(experiment, key, inputs)

    def _take(self, experiment: Experiment, key: str) -> Evidence | None:
        """What is recorded under `key`, unless other code made it than would now."""
        found, manifest = self.store.find(experiment.name, key), self.store.manifest(key)
        if found is None or manifest is None or experiment.entry is None:
            return found
        if manifest.ran is None or outdated(manifest.ran, experiment.entry):
            return None
        self._made_by[experiment.name] = made_by(manifest.ran)
        return found

    def _run(self, experiment: Experiment, key: str, inputs: Mapping[str, Evidence]) -> Evidence:
        began = time.monotonic()
        order = [*self.wanted, experiment.name]
        self.watcher.started(experiment, order.index(experiment.name) + 1, max(len(self.wanted), 1))
        try:
            work = self.store.scratch(key)
            out = work / "out"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            ran = self._make(experiment, work, out, inputs)
            made_from = {need: found.digest for need, found in inputs.items()}
            evidence = self.store.add(experiment.name, key, out, made_from, ran)
        except OSError as error:
            unwritable = EvidenceError(
                f"experiment {experiment.name!r} could not use the disk: {error}",
                hint="free some space, or give another folder with --refute-dir or --store",
            )
            self.watcher.failed(experiment, unwritable)
            raise unwritable from error
        except RefuteError as error:
            self.watcher.failed(experiment, error)
            raise
        self.store.discard_scratch(key)
        self.watcher.finished(experiment, time.monotonic() - began)
        return evidence

    def _make(self, experiment: Experiment, work: Path, out: Path, inputs: Mapping[str, Evidence]) -> Ran | None:
        """Fill `out`; returns what the process that did it was, None where there was none."""
        if (entry := experiment.entry) is None:
            _take_in(experiment, out)
            return None
        ran = read_ran(self._run_process(experiment, entry, work, out, inputs), entry)
        self._made_by[experiment.name] = made_by(ran)
        return ran

    def _run_process(
        self, experiment: Experiment, entry: str, work: Path, out: Path, inputs: Mapping[str, Evidence]
    ) -> object:
        """What the process said at its end of what it had loaded. Raises ExperimentError where it did not get there."""
        scratch = work / "scratch"
        scratch.mkdir(exist_ok=True)
        # Paths are rendered now: this is where a file is downloaded on first use, and verified every time.
        self.watcher.progressed("obtain and verify inputs", 0, 1, {})
        folders = {name: evidence.folder for name, evidence in inputs.items()}
        request = Request(
            name=experiment.name,
            entry=entry,
            config=config_for_job(experiment.config, folders).model_dump_json(),
            inputs={name: str(folder) for name, folder in folders.items()},
            out=str(out),
            scratch=str(scratch),
            secrets={name: os.environ[name] for name in experiment.secrets if name in os.environ},
        )
        reading, writing = os.pipe()
        log = work / "log.txt"
        with log.open("wb") as log_stream, os.fdopen(reading, "rb") as events:
            try:
                running = self._workers.run(request, writing, log_stream.fileno())
            finally:
                os.close(writing)
            try:
                last = self._follow(experiment, events)
            finally:
                status = running.end()
        _raise_unless_done(experiment, last, status, log)
        return last.get("ran")

    def _follow(self, experiment: Experiment, events: IO[bytes]) -> dict[str, Any]:
        last: dict[str, Any] = {}
        for line in _lines_until(events, time.monotonic() + experiment.limit_s):
            if line is None:
                raise ExperimentTimeoutError(
                    f"experiment {experiment.name!r} was stopped at its limit of {experiment.limit_s:g} s",
                    hint="run again to continue from its last checkpoint, or raise `limits` in the release",
                )
            last = _event(experiment, line)
            if last["event"] == "progress":
                self.watcher.progressed(last["stage"], last["step"], last["total"], last["facts"])
            else:
                break  # not at the end of file: a process left behind may hold the pipe open
        return last


def _event(experiment: Experiment, line: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError as error:
        raise ExperimentError(
            f"experiment {experiment.name!r} wrote {line[:80]!r} among its events, expected one JSON object a line",
            hint="nothing that it starts may write to the descriptor that its events go to",
        ) from error


def _take_in(experiment: Experiment, out: Path) -> None:
    """Evidence that needs no engine: files as they are, or a text under the evidence's name."""
    config = config_for_job(experiment.config, {})
    if isinstance(config, TakenText):
        (out / f"{experiment.name}.json").write_text(config.text, encoding="utf-8")
    elif isinstance(config, TakenFiles):
        _link_files(Path(config.path), out / config.into)


def _link_files(path: Path, out: Path) -> None:
    """The file at `path`, or all files below it, in `out`."""
    for file in [path] if path.is_file() else files_below(path):
        target = out / (file.name if path.is_file() else file.relative_to(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(file.resolve(), target)  # link(2) would link a symbolic link, not the file


def _lines_until(stream: IO[bytes], deadline: float) -> Iterator[bytes | None]:
    """Lines as they arrive; None once the deadline has passed; ends at end of file."""
    buffered = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and selector.select(left):
            chunk = os.read(stream.fileno(), 1 << 16)
            if not chunk:
                return
            *lines, buffered = (buffered + chunk).split(b"\n")
            yield from lines
    yield None


def _raise_unless_done(experiment: Experiment, last: Mapping[str, Any], status: int, log: Path) -> None:
    if last.get("event") == "done" and status == 0:
        return
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])
    name = experiment.name
    if last.get("event") == "failed":
        kind = NonFiniteError if last["kind"] == "NonFiniteError" else ExperimentError
        raise kind(f"experiment {name!r} failed: {last['message']}", hint=last["hint"] or f"its log is {log}")
    cause = f"signal {-status}" if status < 0 else f"exit status {status}"
    if -status == signal.SIGKILL:
        cause += " (often: out of memory)"
    raise ExperimentError(
        f"experiment {name!r} ended with {cause} before it was done" + (f"; its log ends:\n{tail}" if tail else ""),
        hint=f"its log is {log}; run again to continue from its last checkpoint",
    )
