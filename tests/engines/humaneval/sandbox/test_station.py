"""A station serves one program after the other: none finds a trace of an earlier one, none can touch the template."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from refute.engines.humaneval.sandbox.stations import Stations
from refute.engines.humaneval.sandbox.template_process import working_folder
from refute.humaneval import Isolation, Problem, Result

pytestmark = pytest.mark.exhaustive

RIGHT = "    return [2 * x for x in n]\n"
every_containing_tier = pytest.mark.parametrize("contained", ["seccomp", "bubblewrap"], indirect=True)


@pytest.fixture
def station(contained: Isolation) -> Iterator[Stations]:
    """One station of a containing tier."""
    with Stations(1, contained, timeout_s=3.0, memory_mib=512) as stations:
        yield stations


def put(station: Stations, own: dict[str, Problem], program: str) -> Result:
    """Judge `program` as an answer to one of our problems."""
    return station.check(own["double_all"], program)


def probe(statements: str) -> str:
    """A right program, but for an exception if `statements` find something."""
    return f"import os, sys\n{statements}\ndef double_all(n):\n{RIGHT}"


@every_containing_tier
@pytest.mark.parametrize(
    ("leave", "find"),
    [
        ("open('kept', 'w').write('x')", "assert os.listdir('.') == []"),
        ("os.makedirs('a/b'); os.chmod('a/b', 0); os.chmod('a', 0)", "assert os.listdir('.') == []"),
        ("os.symlink('/', 'all'); os.mkdir('d'); os.symlink('/usr', 'd/usr')", "assert os.listdir('.') == []"),
        ("os.chmod('.', 0)", "open('mine', 'w').write('x')"),
        ("sys.modules['random'] = None; import math; math.sqrt = None", "import random, math; math.sqrt(4.0)"),
        ("import builtins; builtins.sorted = None", "assert sorted('ba') == ['a', 'b']"),
        ("os.environ['LEFT'] = '1'", "assert 'LEFT' not in os.environ"),
    ],
)
def test_nothing_is_left_for_the_next_program(
    station: Stations, own: dict[str, Problem], leave: str, find: str
) -> None:
    """Files, modules, builtins and environment are those of a first program."""
    assert put(station, own, probe(leave)).passed
    assert put(station, own, probe(find)).passed


@every_containing_tier
def test_what_cannot_be_removed_costs_a_new_station_only(station: Stations, own: dict[str, Problem]) -> None:
    """Folders nested beyond every recursion limit: the next program still starts in an empty one."""
    deep = "for _ in range(1500):\n    os.mkdir('d'); os.chdir('d')"
    assert put(station, own, probe(deep)).passed
    assert put(station, own, probe("assert os.listdir('.') == []")).passed


def test_a_link_in_place_of_the_working_folder_is_not_followed(
    tmp_path: Path, own: dict[str, Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a program can move its folder away, what it puts there is not cleared: that would clear anything."""
    slots, victim = tmp_path / "slots", tmp_path / "victim"
    slots.mkdir()
    victim.mkdir()
    (victim / "precious").write_text("x", encoding="utf-8")
    monkeypatch.setattr(tempfile, "tempdir", str(slots))
    swap = f"here = os.getcwd(); os.rename(here, here + '-moved'); os.symlink({str(victim)!r}, here)"
    with Stations(1, Isolation.RLIMITS, timeout_s=3.0, memory_mib=512) as stations:
        put(stations, own, probe(swap))
        assert put(stations, own, probe("assert os.listdir('.') == []")).passed
    assert [path.name for path in victim.iterdir()] == ["precious"]
    assert list(slots.iterdir()) == []


def test_a_working_folder_cannot_be_moved_by_another_user_than_ours(tmp_path: Path) -> None:
    """It lies in a folder of ours that others may only pass through."""
    outer = tmp_path / "outer"
    outer.mkdir(0o700)
    inner = Path(working_folder(str(outer), None))
    assert inner.parent == outer
    assert (outer.stat().st_mode & 0o777, inner.stat().st_mode & 0o777) == (0o711, 0o700)


@every_containing_tier
def test_shared_memory_is_cleared(station: Stations, own: dict[str, Problem]) -> None:
    """What a program can write to /dev/shm is gone, or it cannot write there at all."""
    leave = "try: open('/dev/shm/kept', 'w').write('x')\nexcept OSError: pass"
    find = "try: assert os.listdir('/dev/shm') == []\nexcept OSError: pass"
    assert put(station, own, probe(leave)).passed
    assert put(station, own, probe(find)).passed


@every_containing_tier
@pytest.mark.parametrize(
    "attack",
    [
        "os.kill(os.getppid(), 9)",
        "os.killpg(os.getpgid(os.getppid()), 9)",
        "open(f'/proc/{os.getppid()}/mem', 'r+b')",
        "[os.open(f'/proc/{os.getppid()}/fd/{n}', os.O_RDONLY) for n in range(3, 16)]",
        "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    ],
)
def test_the_template_cannot_be_reached(station: Stations, own: dict[str, Problem], attack: str) -> None:
    """No signal, no memory, no descriptors: every attempt raises, and the station goes on."""
    assert put(station, own, probe(f"try: {attack}\nexcept OSError: pass\nelse: raise SystemError('reached')")).passed
    assert put(station, own, probe("")).passed


@every_containing_tier
@pytest.mark.parametrize(
    "end",
    [
        "os.closerange(0, 64)",
        "os._exit(0)",
        "while True: pass",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\nos._exit(1)",
        "import ctypes; ctypes.string_at(0)",
    ],
)
def test_after_any_end_the_next_program_is_judged(station: Stations, own: dict[str, Problem], end: str) -> None:
    """Silence, exit, an endless loop, threads, a segmentation fault: none passes, none disturbs the next."""
    assert not put(station, own, probe(end)).passed
    assert put(station, own, probe("")).passed


@every_containing_tier
def test_a_lost_template_is_replaced(station: Stations, own: dict[str, Problem]) -> None:
    """Killed from outside, at most one program has no verdict, and that is an error and no failure."""
    assert put(station, own, probe("")).passed
    for pid in children_of(os.getpid()):
        os.kill(pid, signal.SIGKILL)
    outcomes = [put(station, own, probe("")).outcome for _ in range(2)]
    assert outcomes in (["error", "passed"], ["passed", "passed"])


@every_containing_tier
def test_a_lost_judge_is_replaced(station: Stations, own: dict[str, Problem]) -> None:
    """A judge waits for more programs of its problem; one that was ended while it waited costs no verdict."""
    assert put(station, own, probe("")).passed
    for template in children_of(os.getpid()):
        for fork in children_of(template):
            os.kill(fork, signal.SIGKILL)
    assert [put(station, own, probe("")).outcome for _ in range(2)] == ["passed", "passed"]


def test_a_test_meets_no_traces_of_another_problems(strongest: Isolation) -> None:
    """A test that spoils a module spoils it for nobody else, whichever of both is judged again."""
    prompt, right = "import math\n\n\ndef area(r):\n", "    return round(math.pi * r * r, 2)\n"
    spoils = "def check(candidate):\n    math.pi = 3\n    assert candidate(1) == 3.14\n"
    notices = "def check(candidate):\n    assert candidate(1) == round(math.pi, 2)\n"
    problems = [Problem(f"Own/{name}", prompt, "area", right, name) for name in (spoils, notices)]
    with Stations(1, strongest, timeout_s=3.0, memory_mib=512) as stations:
        for problem in (*problems, *problems):
            for program in (prompt + right, prompt + "    return 0\n", prompt + right):
                result = stations.check(problem, program)
                assert result.passed == program.endswith(right), result


def test_leaving_ends_every_process(strongest: Isolation, own: dict[str, Problem]) -> None:
    """No template outlives its stations."""
    before = set(children_of(os.getpid()))
    with Stations(2, strongest, timeout_s=3.0, memory_mib=512) as stations:
        assert put(stations, own, probe("")).passed
        assert set(children_of(os.getpid())) - before
    deadline = time.monotonic() + 5
    while (left := set(children_of(os.getpid())) - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == set()


def children_of(pid: int) -> list[int]:
    """Direct children of a process that are no zombies."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text(encoding="utf-8").rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(path.parent.name))
    return found
