"""`refute gate`: a success is a signed verdict, and never pytest's word alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refute.cli.commands.init import scaffold

if TYPE_CHECKING:
    from tests.conftest import Cli

pytestmark = pytest.mark.exhaustive

LEAN = ("-p", "no:hypothesispytest", "-p", "no:anyio")
LIE = """
import pytest

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    yield
    session.exitstatus = 0
"""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example with every answer wrong, as the working folder of a user's shell."""
    scaffold(tmp_path)
    wrong = '{"question": "1 + 1", "expected": 2, "answer": 3}\n' * 40
    (tmp_path / "evidence/answers.jsonl").write_text(wrong, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        monkeypatch.delenv(name)
    return tmp_path


def test_a_no_go_is_a_failure_unless_told_otherwise(repo: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """1 for NO-GO, in the folder given, also where a conftest.py makes pytest itself end in 0, and where pytest loads
    no plugins by itself; with --exit-zero 0, and it says so."""
    (repo / "conftest.py").write_text(LIE, encoding="utf-8")
    monkeypatch.setenv("HOME", str(repo))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    assert cli("gate", "--refute-dir=~/out").returncode == 1
    report = json.loads((repo / "out/runs/latest/report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "NO-GO"
    ended = cli("gate", "--exit-zero", "--refute-dir", "out")
    assert (ended.returncode, ended.stderr) == (0, "NO-GO: signed, and so this command ends in 0 (--exit-zero)\n")
    assert len(list(repo.glob("out/runs/2*/verdict.intoto.json"))) == 2


def test_a_second_release_begins_once_the_first_is_go(repo: Path, cli: Cli) -> None:
    """After NO-GO it is not begun, and that is said; after GO it finds the verdict that it requires in the folder of
    runs, signed by the key of this machine."""
    first, second = (repo / f"specs/releases/{name}.yaml" for name in ("example", "second"))
    requires = "requires_verdict: [{release: example, verdict: ../../.refute/runs, key_name: development}]\n"
    renamed = first.read_text(encoding="utf-8").replace("release: example", "release: second")
    second.write_text(renamed + requires, encoding="utf-8")
    both = ("--release", first, "--release", second, *LEAN)
    ended = cli("gate", *both, "--exit-zero")
    assert ended.returncode == 0
    assert f"not begun: {second}, which comes after a GO, and this is NO-GO" in ended.stderr
    assert len(list(repo.glob(".refute/runs/2*"))) == 1
    right = '{"question": "1 + 1", "expected": 2, "answer": 2}\n' * 40
    (repo / "evidence/answers.jsonl").write_text(right, encoding="utf-8")
    ended = cli("gate", *both)
    assert (ended.returncode, "not begun" in ended.stderr) == (0, False)
    report = json.loads((repo / ".refute/runs/latest/report.json").read_text(encoding="utf-8"))
    assert (report["verdict"], len(list(repo.glob(".refute/runs/2*")))) == ("GO", 3)
    latest = (repo / ".refute/runs/latest").resolve()
    assert json.loads((latest / "run.json").read_bytes())["requires"][0]["release"] == "example"


def test_ending_well_without_a_verdict_is_a_failure(repo: Path, cli: Cli) -> None:
    """A conftest.py that ends pytest in 0 before anything is judged: 7 and a message, not success."""
    (repo / "conftest.py").write_text("import os\n\ndef pytest_runtestloop():\n    os._exit(0)\n", encoding="utf-8")
    ended = cli("gate", *LEAN)
    assert (ended.returncode, "no verdict was signed" in ended.stderr) == (7, True)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--release", "absent.yaml"), 2, "absent.yaml"),
        (("--signing-key", "absent.key"), 2, "cannot read the private key"),
        (("--no-such-option",), 2, "pytest refused to run"),
        (("-k", "nothing"), 2, "pytest refused to run"),
        (("--collect-only",), 7, "did not get through the run"),
        (("--no-judge",), 2, "--no-judge is an option of pytest's"),
    ],
)
def test_what_stops_it_is_told_and_signs_nothing(
    repo: Path, cli: Cli, arguments: tuple[str, ...], status: int, says: str
) -> None:
    """What was called wrongly is 2, whoever finds it; an earlier run's verdict does not help."""
    earlier = repo / ".refute/runs/20200101T000000Z-000000"
    earlier.mkdir(parents=True)
    (earlier / "verdict.intoto.json").write_text("{}", encoding="utf-8")
    (repo / ".refute/runs/latest").symlink_to(earlier.name)
    ended = cli("gate", *arguments, *LEAN)
    assert (ended.returncode, says in ended.stderr) == (status, True), ended.stderr
    assert [path.parent for path in repo.glob(".refute/runs/2*/verdict*")] == [earlier]


def test_inputs_that_are_missing_are_not_a_wrong_call(repo: Path, cli: Cli) -> None:
    """7 before anything runs, with all that the release names and this machine lacks."""
    (repo / "evidence/answers.jsonl").unlink()
    ended = cli("gate", *LEAN)
    assert (ended.returncode, "cannot run here; missing:" in ended.stderr) == (7, True)


def test_a_signal_is_told_as_a_shell_tells_it(repo: Path, cli: Cli) -> None:
    """Where pytest is ended by signal n, the command ends in 128 + n."""
    (repo / "conftest.py").write_text("import os\n\ndef pytest_runtestloop():\n    os.kill(os.getpid(), 15)\n", "utf-8")
    assert cli("gate", *LEAN).returncode == 143


@pytest.fixture
def locked(repo: Path, cli: Cli) -> Path:
    """The same repository, locked with a key of the owner's: `keys/owner.key`."""
    cli("keygen", "owner", "--directory", "keys")
    assert "then refute gate --signing-key keys/owner.key\n" in cli("lock", "--key", "keys/owner.key").stdout
    return repo


def gate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`refute gate` with all that its children print."""
    command = [sys.executable, "-m", "refute", "gate", *arguments, *LEAN]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def preregistration(repo: Path) -> str:
    """What the newest report says of the lock."""
    report = json.loads((repo / ".refute/runs/latest/report.json").read_text(encoding="utf-8"))
    state: str = report["preregistration"]["state"]
    return state


@pytest.mark.parametrize("named", [("--signing-key", "keys/owner.key"), ("--lock-key", "keys/owner.pub")])
def test_a_lock_holds_under_its_own_key(locked: Path, named: tuple[str, str]) -> None:
    """Signing with the key that locked, or naming its public half, is enough; nothing foretells NO-GO meanwhile."""
    ended = gate(*named)
    assert (ended.returncode, preregistration(locked)) == (1, "held"), ended.stderr
    assert "can only end in NO-GO" not in ended.stdout


def test_a_lock_key_is_heard_before_the_run(locked: Path) -> None:
    """With --lock-key pytest says at once that a bar has moved, though it does not know the signing key."""
    spec = locked / "specs/example.yaml"
    spec.write_text(spec.read_text(encoding="utf-8").replace(">= 80 %", ">= 10 %"), encoding="utf-8")
    assert "can only end in NO-GO" in gate("--lock-key", "keys/owner.pub").stdout
    assert preregistration(locked) == "broken"


def test_an_encrypted_key_signs_and_pytest_never_sees_its_passphrase(
    repo: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$REFUTE_KEY_PASSPHRASE opens the key before the run and for the judge; without it nothing is run."""
    spy = "import os\nopen('seen', 'w').write(str('REFUTE_KEY_PASSPHRASE' in os.environ))\n"
    (repo / "conftest.py").write_text(spy, encoding="utf-8")
    monkeypatch.setenv("REFUTE_KEY_PASSPHRASE", "a secret")
    cli("keygen", "owner", "--directory", "keys")
    ended = gate("--signing-key", "keys/owner.key")
    assert (ended.returncode, (repo / "seen").read_text(encoding="utf-8")) == (1, "False"), ended.stderr
    monkeypatch.delenv("REFUTE_KEY_PASSPHRASE")
    ended = gate("--signing-key", "keys/owner.key")
    assert (ended.returncode, "set REFUTE_KEY_PASSPHRASE" in ended.stderr) == (2, True)
    assert len(list(repo.glob(".refute/runs/2*"))) == 1


def test_the_gate_judges_as_its_caller_says(repo: Path, cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Waivers, the policy that allows them and a number go to the judge; what a conftest.py writes into them during the
    run does not, and specs that are not there are refused at once."""
    own = tmp_path_factory.mktemp("own")
    policy, waivers = own / "policy.yaml", own / "waivers.yaml"
    policy.write_text("approvers: [Ada]\n", encoding="utf-8")
    waiver = {"criterion": "AC-EXAMPLE-001", "subject_sha256": "0" * 64, "approver": "Ada", "reason": "known"}
    waivers.write_text(json.dumps({"waivers": [waiver | {"expires_at": "2999-01-01T00:00:00Z"}]}), encoding="utf-8")
    options = ("--policy", policy, "--waivers", waivers, "--sequence", 7)
    assert cli("gate", *options, "--specs", own / "none", *LEAN).returncode == 2
    assert not (repo / ".refute").exists()
    assert cli("gate", *options, *LEAN).returncode == 1
    report = json.loads((repo / ".refute/runs/latest/report.json").read_text(encoding="utf-8"))
    assert (report["identity"]["sequence"], [each["state"] for each in report["waivers"]]) == (7, ["wrong_subject"])
    later = f"""
import contextlib

def pytest_sessionfinish():
    with contextlib.suppress(OSError):
        open({str(waivers)!r}, "a").write(" ")
"""
    (repo / "conftest.py").write_text(later, encoding="utf-8")
    ended = cli("gate", *options[:-1], 8, *LEAN)
    contained = json.loads((repo / ".refute/runs/latest/report.json").read_text(encoding="utf-8"))["contained"]
    if contained["pytest"] == "reaped":  # it could be written, and that is noticed
        assert (ended.returncode, "changed while the run went on" in ended.stderr) == (7, True), ended.stderr
    else:
        assert (ended.returncode, waivers.read_text(encoding="utf-8")[-1]) == (1, "}")
