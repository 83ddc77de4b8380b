"""pytest plugin: `pytest --falsifiers` collects specs into items and records what they come to. It does not judge.

Without the flag it does nothing and imports nothing heavy. The verdict comes from `refute judge`, started
at the end in a process of its own: what pytest thinks of its items is not evidence.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refute.gate.options import FALSIFIER_PATHS, INTERRUPTED, SESSION, SPEC_PATHS
from refute.interrupt import heard, remembering
from refute.output import fill_closed_streams, lossy

if TYPE_CHECKING:
    from refute.gate.session import GateSession


# Options that name a path: bash leaves the `~` of `--option=~/x` as it is.
_PATHS = ("release", "refute_dir", "store", "signing_key", "lock")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The gate's options; all of them mean nothing without --falsifiers."""
    group = parser.getgroup("refute", "refute: release gates for distilled models")
    group.addoption("--falsifiers", action="store_true", help="collect specs and try to refute a release")
    group.addoption(
        "--release",
        metavar="FILE",
        help="the release to judge (default: specs/releases/embedded.yaml, or the only one there)",
    )
    group.addoption("--refute-dir", metavar="DIR", help="where runs and evidence go (default: .refute)")
    group.addoption("--refute-run", metavar="DIR", help="the empty folder of this run, as `refute gate` made it")
    group.addoption("--store", metavar="DIR|URL", help="where evidence is kept (default: <refute-dir>/store)")
    group.addoption(
        "--signing-key", metavar="PEM", help="private key that signs the verdict (default: a development key)"
    )
    group.addoption("--lock", metavar="FILE", help="pre-registration of this run (default: beside the release file)")
    group.addoption(
        "--lock-key",
        metavar="PEM",
        action="append",
        help="public key that may sign the lock; repeatable (default: the key that signs the verdict)",
    )
    group.addoption(
        "--no-judge", action="store_true", help="record only, and end in 6: `refute judge` follows, elsewhere"
    )
    parser.addini(SPEC_PATHS, "folders or files with specs (default: specs)", type="paths")
    parser.addini(FALSIFIER_PATHS, "folders with falsifiers of this repository (default: falsifiers)", type="paths")


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """With --falsifiers: a run that was interrupted ends as one, whatever became of the Ctrl-C."""
    if not config.getoption("--falsifiers"):
        return (yield)
    with remembering():
        try:
            status = yield
        except KeyboardInterrupt:
            sys.stderr.write("refute: interrupted\n")
            return INTERRUPTED
        finally:
            fill_closed_streams()  # pytest flushes them
        return INTERRUPTED if heard() else status


def pytest_configure(config: pytest.Config) -> None:
    """With --falsifiers: load falsifiers, specs and release, and turn a bare call into a run over all specs."""
    if not config.getoption("--falsifiers"):
        return
    for phase in range(10):
        config.addinivalue_line("markers", f"phase{phase}: falsifiers of criteria of phase {phase}")
    # pytest's terminal takes these: a closed pipe must not end the run that a verdict is about.
    sys.stdout, sys.stderr = lossy(sys.stdout), lossy(sys.stderr)
    for name in _PATHS:
        if given := getattr(config.option, name):
            setattr(config.option, name, os.path.expanduser(given))  # noqa: PTH111  # pathlib's raises without a home
    with _interruptible():
        session = _session(config)
    config.stash[SESSION] = session
    config.pluginmanager.register(_GatePlugin(session), "refute-gate")


@contextmanager
def _interruptible() -> Iterator[None]:
    """A Ctrl-C before the first test: pytest would end in 2, as after a mistake."""
    try:
        yield
    except KeyboardInterrupt:
        pytest.exit("interrupted: nothing was run", returncode=INTERRUPTED)


def _session(config: pytest.Config) -> GateSession:
    from refute.errors import RefuteError
    from refute.gate.inputs import read_inputs
    from refute.gate.session import GateSession

    try:
        return GateSession(config, read_inputs(config))
    except RefuteError as error:
        raise pytest.UsageError(str(error) + (f"\nhint: {error.hint}" if error.hint else "")) from error


def pytest_unconfigure(config: pytest.Config) -> None:
    """Undo pytest_configure."""
    plugin = config.pluginmanager.get_plugin("refute-gate")
    if plugin is not None:
        config.pluginmanager.unregister(plugin)


class _GatePlugin:
    """Hooks of a gate run. Registered only with --falsifiers."""

    def __init__(self, session: GateSession) -> None:
        self.session = session

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """A YAML file that is one of this run's specs becomes a collector; no other file is touched."""
        from refute.gate.items import SpecFile

        if file_path.resolve() in self.session.spec_files:
            return SpecFile.from_parent(parent, path=file_path)
        return None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """A gate with nothing to try is a usage error, not a quiet success."""
        from refute.gate.items import FalsifierItem

        chosen = [item for item in items if isinstance(item, FalsifierItem)]
        if not chosen:
            specs = ", ".join(map(str, sorted(self.session.spec_files))) or "none"
            raise pytest.UsageError(
                f"--falsifiers selected no falsifier: nothing would be tried (specs of this run: {specs}).\n"
                "hint: drop -k, -m and paths, or name a spec file or one of its node ids"
            )
        self.session.choose([item.use for item in chosen])

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Note what -k, -m and --deselect leave out."""
        from refute.gate.items import FalsifierItem

        self.session.leave_out([item.node_id for item in items if isinstance(item, FalsifierItem)])

    def pytest_sessionstart(self) -> None:
        """Open the run folder, unless this is a worker or only a listing."""
        with _interruptible():
            self.session.open()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """After the falsifiers, take in what the verdict is about; not after -x or Ctrl-C."""
        result = yield
        self.session.take_in_subject()
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count falsifiers that failed, as pytest counts: what it counts beyond them no verdict speaks for."""
        if report.failed and not hasattr(report, "wasxfail") and self.session.is_falsifier(report.nodeid):
            self.session.falsifiers_failed += 1

    @pytest.hookimpl(wrapper=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Generator[None, None, None]:
        """Remember what broke the run off: a person, or one of pytest's own words for an early end."""
        self.session.broken_off = excinfo.value
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Let a separate process judge the records; its answer decides the exit status."""
        status = self.session.close(session, exitstatus)
        if status is not None:
            session.exitstatus = status
        if "hypothesis" not in sys.modules:  # its plugin would load all of it, to summarize properties that nobody ran
            session.config.pluginmanager.unregister(name="hypothesispytest")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show what the judge said."""
        if self.session.summary:
            terminalreporter.section("refute")
            terminalreporter.write_line(self.session.summary)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: object) -> None:
        """xdist: tell a worker where the controller's run folder is."""
        workerinput: dict[str, str] = node.workerinput  # type: ignore[attr-defined]  # xdist ships no types
        if self.session.run is not None:
            workerinput["refute_run"] = str(self.session.run.path)
