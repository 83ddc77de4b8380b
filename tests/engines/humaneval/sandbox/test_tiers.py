"""What the containing tiers promise is kept against programs that try."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from refute.engines.humaneval.sandbox import tiers as sandbox
from refute.engines.humaneval.sandbox.jail import Jail, _bubblewrap_arguments, bubblewrap_jails
from refute.engines.humaneval.sandbox.station import Task, run_once
from refute.engines.humaneval.sandbox.template_process import process_limit, tasks_of
from refute.engines.humaneval.sandbox.tiers import _try, jail_for
from refute.errors import ExperimentError, MissingInputsError
from refute.humaneval import Isolation, Result, probe_isolation

Judge = Callable[..., Result]
every_containing_tier = pytest.mark.parametrize("contained", ["seccomp", "bubblewrap"], indirect=True)
RIGHT = "    return [2 * i for i in n]\n"


def test_tiers_are_ordered() -> None:
    """rlimits < seccomp < bubblewrap, whatever the alphabet says, and a name compares with nothing."""
    assert sorted(Isolation, reverse=True) == [Isolation.BUBBLEWRAP, Isolation.SECCOMP, Isolation.RLIMITS]
    assert Isolation.SECCOMP >= Isolation("seccomp") > Isolation.RLIMITS
    with pytest.raises(TypeError):
        assert Isolation.SECCOMP < "seccomp"


@pytest.mark.slow
def test_the_probe_finds_a_tier_that_works(judge: Judge) -> None:
    """The tier that is found, and every lower one, judges a program."""
    for tier in Isolation:
        if tier <= probe_isolation():
            assert judge("double_all", f"def double_all(n):\n{RIGHT}", tier).passed


def test_an_unreachable_tier_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the wrapper does not work the tier is refused with its reason, never silently lowered."""
    monkeypatch.setattr(sandbox, "bubblewrap_jails", lambda: [Jail("bubblewrap", wrapper=("/bin/false",))])
    monkeypatch.setattr(sandbox, "_find_jail", sandbox._find_jail.__wrapped__)
    with pytest.raises(MissingInputsError, match=r"'bubblewrap' does not work.*did not start"):
        sandbox.jail_for(Isolation.BUBBLEWRAP)
    assert probe_isolation() < Isolation.BUBBLEWRAP


def test_a_demanded_tier_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which tier was demanded, which one there is, and why not more: enough to know what to install."""
    monkeypatch.setattr(sandbox, "bubblewrap_jails", list)
    monkeypatch.setattr(sandbox, "_find_jail", sandbox._find_jail.__wrapped__)
    with pytest.raises(
        ExperimentError, match=r"'bubblewrap' or stronger, and .* is '\w+'; bubblewrap: no bwrap on PATH and no package"
    ):
        sandbox.require_isolation(Isolation.BUBBLEWRAP)


def test_a_tier_that_does_not_contain_fails_its_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe believes what its program could not do, not that something started."""
    monkeypatch.setattr(sandbox, "plain_jails", lambda _tier: [Jail("rlimits")])
    found = sandbox._find_jail.__wrapped__(Isolation.SECCOMP)
    assert isinstance(found, str)
    assert "socket" in found


def test_a_worker_that_cannot_be_confined_is_our_error() -> None:
    """A limit that cannot be set keeps the program from running, and is never counted against it."""
    task = Task("def f(): pass\n", "def check(c): assert c() == 1\n", "f", "def f(): return 1\n", "0")
    report = run_once(task, Jail("rlimits"), timeout_s=2.0, memory_mib=2**60)
    assert report.outcome == "error"
    assert "could not confine itself" in report.detail


@pytest.mark.parametrize("contained", ["rlimits", "seccomp", "bubblewrap"], indirect=True)
@pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="looks for processes in /proc")
def test_nothing_outlives_its_slot(judge: Judge, contained: Isolation) -> None:
    """Neither a child in a session of its own, nor a thread, nor an endless worker is left behind."""
    name = f"rf{os.getpid() % 10**6}{contained.value[:4]}"
    program = f"""
import ctypes, os, threading, time
ctypes.CDLL(None).prctl(15, {name.encode()!r}, 0, 0, 0)
threading.Thread(target=time.sleep, args=(600,)).start()
for start in (os.fork, lambda: os.forkpty()[0]):
    try:
        if start() == 0:
            try: os.setsid()
            except OSError: pass  # forkpty has done so
            time.sleep(600)
    except OSError:
        pass
def double_all(n):
    while True: time.sleep(1)
"""
    assert judge("double_all", program, contained, timeout_s=0.5).outcome == "timeout"
    assert until_gone(name) == []


def until_gone(name: str) -> list[str]:
    """Processes called `name` that are still there after a generous while."""
    deadline = time.monotonic() + 5
    left = processes_called(name)
    while left and time.monotonic() < deadline:
        left = processes_called(name)
    return left


def processes_called(name: str) -> list[str]:
    """Ids of the processes with this command name."""
    found = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text(encoding="utf-8").strip() == name:
                found.append(comm.parent.name)
        except OSError:
            continue
    return found


@every_containing_tier
def test_a_fork_bomb_is_bounded(judge: Judge, contained: Isolation) -> None:
    """A program cannot start a single process."""
    program = f"import os\ndef double_all(n):\n    while True: os.fork()\n{RIGHT}"
    result = judge("double_all", program, contained)
    assert result.outcome == "failed"
    assert "PermissionError" in result.detail


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counted where the kernel lists children")
@pytest.mark.parametrize("escape", ["pass", "os.setsid()"])
def test_a_program_that_multiplies_is_ended_with_all_it_started(judge: Judge, escape: str) -> None:
    """On the lowest tier: a right answer does not save it, and nothing of it is left, in whatever session."""
    name = f"rm{os.getpid() % 10**6}"
    program = f"""
import ctypes, os, time
ctypes.CDLL(None).prctl(15, {name.encode()!r}, 0, 0, 0)
def double_all(n):
    for _ in range(8):
        if os.fork() == 0:
            {escape}
            for _ in range(50):
                if os.fork() == 0: time.sleep(600)
            time.sleep(600)
    time.sleep(2)
{RIGHT}"""
    result = judge("double_all", program, Isolation.RLIMITS, timeout_s=10.0)
    assert (result.outcome, "gave no answer" in result.detail) == ("failed", True), result.detail
    assert until_gone(name) == []


@pytest.mark.slow
def test_a_program_may_start_a_few_processes_on_the_lowest_tier(judge: Judge) -> None:
    """Twenty that do something and end are no bomb."""
    program = f"""
import os, time
def double_all(n):
    children = [os.fork() or (time.sleep(0.2), os._exit(0)) for _ in range(20)]
    for child in children: os.waitpid(child, 0)
{RIGHT}"""
    result = judge("double_all", program, Isolation.RLIMITS)
    assert (result.outcome, result.detail) == ("passed", "")


def test_a_limit_on_processes_leaves_room_for_what_the_user_runs(strongest: Isolation) -> None:
    """On the lowest tier it counts all of the user's: far above that. A user namespace has its own count."""
    running = tasks_of(os.geteuid())
    assert running >= 1
    assert (process_limit(Jail("rlimits")) or 0) >= running + 512
    assert process_limit(Jail("bubblewrap", wrapper=("bwrap",))) == 64
    assert process_limit(Jail("seccomp")) is None


@pytest.mark.parametrize("hoard", ["bytearray(8 << 30)", "[bytes(1 << 20) for _ in range(1 << 14)]"])
def test_a_memory_bomb_is_bounded(hoard: str, judge: Judge, strongest: Isolation) -> None:
    """Memory beyond the limit is refused to the program, and it fails."""
    result = judge("double_all", f"def double_all(n):\n    x = {hoard}\n{RIGHT}", strongest)
    assert result.outcome == "failed"
    assert "MemoryError" in result.detail


def test_output_goes_nowhere(judge: Judge, strongest: Isolation, capfd: pytest.CaptureFixture[str]) -> None:
    """200 MB on both streams disturb neither the verdict nor the console."""
    program = f"""
import os
def double_all(n):
    for _ in range(100): os.write(1, b"x" * 10**6); os.write(2, b"x" * 10**6)
{RIGHT}"""
    assert judge("double_all", program, strongest).passed
    assert capfd.readouterr() == ("", "")


@every_containing_tier
def test_files_stay_inside_and_are_removed(
    judge: Judge, contained: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file can be written outside the working directory, or grow large in it, and none is left."""
    slots, outside = tmp_path / "slots", tmp_path / "outside"
    slots.mkdir()
    outside.write_text("untouched", encoding="utf-8")
    monkeypatch.setattr(tempfile, "tempdir", str(slots))
    program = f"""
import os
done = []
def attempt(name, action):
    try: action(); done.append(name)
    except OSError: pass
def fill(path, size):
    with open(path, "wb", buffering=0) as f:
        if f.write(bytes(size)) < size: raise OSError
attempt("overwrite", lambda: fill({str(outside)!r}, 10))
attempt("unlink", lambda: os.unlink({str(outside)!r}))
attempt("create", lambda: fill({str(tmp_path / "new")!r}, 10))
attempt("large", lambda: fill("large", 64 << 20))
attempt("device", lambda: fill("/dev/shm/x", 64 << 20))
fill("small", 1000)
os.makedirs("a/b"); fill("a/b/c", 10); os.chmod("a", 0)
def double_all(n):
    return [2 * i for i in n] if not done else done
"""
    result = judge("double_all", program, contained)
    assert (result.outcome, result.detail) == ("passed", "")
    assert outside.read_text(encoding="utf-8") == "untouched"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "slots"]
    assert list(slots.iterdir()) == []


@every_containing_tier
def test_the_kernel_takes_no_settings(judge: Judge, contained: Isolation) -> None:
    """Not one file of /proc can be opened for writing: root in a user namespace of its own is root to /proc/sys."""
    program = f"""
import os
def double_all(n):
    opened = []
    for folder in ("/proc", "/proc/sys/kernel", "/proc/self", "/proc/1", f"/proc/{{os.getppid()}}"):
        try: names = os.listdir(folder)
        except OSError: names = ["sysrq-trigger", "core_pattern", "oom_score_adj", "uid_map"]
        for name in names:
            try: os.close(os.open(folder + "/" + name, os.O_WRONLY)); opened.append(folder + "/" + name)
            except OSError: pass
    assert not opened, opened
{RIGHT}"""
    result = judge("double_all", program, contained)
    assert (result.outcome, result.detail) == ("passed", "")


def test_bubblewrap_is_told_to_make_proc_read_only() -> None:
    """Also where this machine cannot try it, and the tests of that tier are skipped."""
    arguments = [*_bubblewrap_arguments()]
    place = arguments.index("--proc")
    assert arguments[place : place + 4] == ["--proc", "/proc", "--remount-ro", "/proc"]


def test_a_sandbox_that_leaves_kernel_settings_open_fails_its_probe(strongest: Isolation) -> None:
    """What root could write through a /proc that is not read-only is an escape, and such a tier is not offered."""
    if strongest < Isolation.BUBBLEWRAP:
        pytest.skip("needs a bubblewrap that works")
    whole = jail_for(Isolation.BUBBLEWRAP)
    place = whole.wrapper.index("--proc") + 2
    report = _try(Jail("bubblewrap", whole.wrapper[:place] + whole.wrapper[place + 2 :]), strict=True)
    assert (report.outcome, "kernel setting" in report.detail) == (
        ("failed", True) if os.geteuid() == 0 else ("passed", False)
    )


def test_a_sandbox_without_a_proc_contains_as_well(strongest: Isolation) -> None:
    """What is left where the kernel lets nobody see a whole /proc, as in a container that covers part of its own."""
    if strongest < Isolation.BUBBLEWRAP:
        pytest.skip("needs a bubblewrap that works")
    reports = [_try(jail, strict=True) for jail in bubblewrap_jails() if "--proc" not in jail.wrapper]
    assert "passed" in [report.outcome for report in reports], reports


@every_containing_tier
def test_the_network_is_out_of_reach(judge: Judge, contained: Isolation) -> None:
    """A listener on the loopback interface sees no connection, whatever way the program tries."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        program = f"""
import ctypes, socket
def double_all(n):
    ctypes.CDLL(None).socket(2, 1, 0)
    socket.create_connection(("127.0.0.1", {listener.getsockname()[1]}), timeout=1)
{RIGHT}"""
        result = judge("double_all", program, contained)
        assert result.outcome == "failed"
        assert "at:" in result.detail
        with pytest.raises(BlockingIOError):
            listener.accept()


@every_containing_tier
def test_secrets_of_the_environment_stay_outside(
    judge: Judge, contained: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the program's own environment nor that of any process it can find holds ours."""
    monkeypatch.setenv("REFUTE_TEST_SECRET", "s3cret-value")
    program = f"""
import glob, os
def double_all(n):
    seen = repr(os.environ)
    for path in glob.glob("/proc/*/environ") + [f"/proc/{{os.getppid()}}/environ"]:
        try: seen += open(path).read()
        except OSError: pass
    assert "s3cret" in seen, sorted(os.environ)
{RIGHT}"""
    result = judge("double_all", program, contained)
    assert result.outcome == "failed"
    assert "AssertionError: ['LC_ALL', 'PATH', 'P" in result.detail


@every_containing_tier
def test_the_judge_cannot_be_killed_or_traced(judge: Judge, contained: Isolation) -> None:
    """Signals and ptrace to the parent, the group or any process are refused; the verdict still comes."""
    program = f"""
import ctypes, os, signal
def double_all(n):
    done = []
    for kill in (os.kill, os.killpg):
        for pid in (os.getppid(), {os.getpid()}, 1, -1, 0):
            try: kill(pid, signal.SIGTERM); done.append((kill.__name__, pid))
            except OSError: pass
    if ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0: done.append("ptrace")
    return [2 * i for i in n] if not done else done
"""
    result = judge("double_all", program, contained)
    assert (result.outcome, result.detail) == ("passed", "")


def test_installed_packages_are_not_visible(judge: Judge, strongest: Isolation) -> None:
    """A program cannot find the problem set among installed packages."""
    if strongest < Isolation.BUBBLEWRAP:
        pytest.skip("only bubblewrap hides them")
    program = f"""
import glob, os, sys
def double_all(n):
    for pattern in (sys.base_prefix + "/lib/*/*-packages/*", "/usr/lib/python3*/*-packages/*", "/home/*", "/etc/*"):
        assert not glob.glob(pattern), glob.glob(pattern)
    for path in ({sandbox.__file__!r}, {pytest.__file__!r}): assert not os.path.exists(path), path
{RIGHT}"""
    result = judge("double_all", program, strongest)
    assert (result.outcome, result.detail) == ("passed", "")


def test_bubblewrap_is_taken_from_the_path_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own bwrap comes before the one of the wheel."""
    own = tmp_path / "bwrap"
    own.write_text("#!/bin/sh\n", encoding="utf-8")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bubblewrap_jails()[0].wrapper[0] == str(own)
