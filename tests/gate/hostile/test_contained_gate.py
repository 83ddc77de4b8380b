"""`refute gate` contains pytest: what a conftest.py tries from inside comes to nothing, and the tier is signed. A
machine without namespaces gates all the same, and says so."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from refute.isolation.bubblewrap import bubblewrap_binaries
from refute.isolation.containment import Containment, View, contain
from refute.judge.run.facts import Contained

if TYPE_CHECKING:
    from tests.gate.conftest import Repo

pytestmark = pytest.mark.exhaustive

GATE = ("-P", "-m", "refute", "gate", "-p", "no:hypothesispytest", "-p", "no:anyio")
# Each attempt is made where it would help most: falsifiers, records, the gate, the key, the judge's Python, a session
# that goes on. What works is listed.
ATTACKS = """\
import ctypes, json, os, signal, subprocess, sys, time
from contextlib import suppress
from pathlib import Path

GATE = int(os.environ["GATE"])
GENEROUS = "\\n\\nfrom refute import Evidence\\nEvidence.rows = lambda self, file: [{'expected': 1, 'answer': 1}] * 40"

def rewrite_falsifier():
    path = Path("falsifiers/answers.py")
    path.write_text(path.read_text() + GENEROUS)

def swap_falsifiers():
    os.rename("falsifiers", "gone")
    os.mkdir("falsifiers")

def loosen_spec():
    path = Path("specs/example.yaml")
    path.write_text(path.read_text().replace("80", "0"))

def hook_python():
    Path(json.__file__).with_name("refute-was-here").touch()

def see_gate():
    assert b"--handed-over" in Path("/proc", str(GATE), "cmdline").read_bytes()

def trace_gate():
    see_gate()
    assert ctypes.CDLL(None).ptrace(16, GATE, 0, 0) == 0

def read_key():
    assert b"PRIVATE" in Path(os.environ["REFUTE_KEYS"], "development.key").read_bytes()

def start_outside():
    subprocess.run(["systemd-run", "--user", "true"], check=True)

def use_network():
    import socket
    assert [name for _, name in socket.if_nameindex()] not in ([], ["lo"])

def rewrite_records_later(run):
    pytest_itself, path = os.getpid(), Path(run, "records.jsonl")
    if os.fork() == 0:
        os.setsid()
        while Path("/proc", str(pytest_itself)).exists():
            time.sleep(0.01)
        while True:
            path.write_text(path.read_text().replace("falsified", "corroborated"))

def pytest_sessionfinish(session):
    done = []
    for attack in (rewrite_falsifier, swap_falsifiers, loosen_spec, hook_python, see_gate, trace_gate, read_key,
                    start_outside, use_network):
        with suppress(Exception):
            attack()
            done.append(attack.__name__)
    Path("done.json").write_text(json.dumps(done))
    rewrite_records_later(session.config.getoption("--refute-run"))
"""


def test_nothing_that_a_conftest_tries_reaches_out(repo: Repo) -> None:
    """NO-GO, by records that stayed what they were; the tier is signed, and `verify` shows it."""
    offline = contain(View((repo.path,)))
    if offline.tier is not Containment.OFFLINE:
        pytest.skip(f"this machine gives no namespaces: {offline.reason}")
    repo.fail()
    repo.write("conftest.py", ATTACKS)
    repo.python("-P", "-m", "refute", "keygen", "development", "--directory", str(repo.keys))
    become = f"os.execv({sys.executable!r}, {[sys.executable, *GATE]!r})"
    ended = repo.python("-c", f"import os; os.environ['GATE'] = str(os.getpid()); {become}")
    assert ended.returncode == 1, ended.stdout
    assert json.loads((repo.path / "done.json").read_text(encoding="utf-8")) == []
    (predicate,) = repo.predicates()
    assert predicate.contained == Contained(pytest=Containment.OFFLINE)  # a NO-GO is not measured again
    assert not predicate.record_faults


def test_a_machine_without_namespaces_says_so(repo: Repo) -> None:
    """One in which the kernel refuses user namespaces: the gate runs, and its verdict says what it lacked."""
    if contain(View((repo.path,))).tier is not Containment.OFFLINE:
        refusing: tuple[str, ...] = ()
    else:
        (binary, *_) = bubblewrap_binaries()
        refusing = (binary, "--unshare-user", "--disable-userns", "--dev-bind", "/", "/", "--proc", "/proc", "--")
    command = [*refusing, sys.executable, *GATE]
    ended = repo.python("-c", f"import os; os.execv({command[0]!r}, {command!r})")
    assert ended.returncode == 0, ended.stdout
    (predicate,) = repo.predicates()
    tier = Containment.REAPED if sys.platform.startswith("linux") else Containment.NONE
    assert predicate.contained == Contained(pytest=tier, remeasured=tier)
    assert ("The machine gave pytest no namespaces" in ended.stdout) == (tier is Containment.REAPED)
