"""`refute gate` is isolated before it reads anything: start-up hooks get nothing signed, and code of the repository
finds no secret in the process that started it."""

from __future__ import annotations

import os
import site
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.gate.conftest import is_held

from refute.attest import generate_key
from refute.isolation.containment import Containment

if TYPE_CHECKING:
    from tests.gate.conftest import Repo

pytestmark = pytest.mark.exhaustive

GATE = ("-P", "-m", "refute", "gate", "-p", "no:hypothesispytest", "-p", "no:anyio")
# What falsifiers measure is better wherever this runs.
HOOK = """\
from refute.falsifier import context as module

rows = module.Evidence.rows

def better(self, file):
    return [{**row, "answer": row["expected"]} for row in rows(self, file)]

module.Evidence.rows = better
"""
# What pydantic imports wherever the distribution is installed that names it in its entry points.
PLUGIN = """\
import sys
from pathlib import Path

if sys.flags.no_site:
    Path(__file__).with_name("plugged").touch()
"""
# What a conftest.py can read of the process that started pytest.
LOOK = """\
import os
from contextlib import suppress
from pathlib import Path

def pytest_configure():
    parent, seen = Path("/proc", str(os.getppid())), []
    for path in [Path({key!r}), parent / "cmdline", parent / "environ", *parent.glob("fd/*")]:
        with suppress(OSError):
            if path.parent.name != "fd" or "memfd" in os.readlink(path):
                seen.append(path.read_bytes())
    seen.append(repr(dict(os.environ)).encode())
    Path({seen!r}).write_bytes(b"|".join(seen))
"""


def test_code_of_the_repository_finds_no_secret(repo: Repo) -> None:
    """Neither the key nor its passphrase, in the command line, the environment or an open file of the gate; and the
    verdict is signed with that key. The same for a falsifier, which the judge's own child runs. Where the key lies can
    be seen where it is hidden, and nowhere else."""
    pair = generate_key(repo.path.parent / "trusted", "release", passphrase=b"open sesame")
    names = [repo.path.parent / "seen-by-pytest", repo.path.parent / "seen-by-falsifiers"]
    look = [LOOK.format(key=str(pair.private), seen=str(name)) for name in names]
    repo.write("conftest.py", look[0])
    with (repo.path / "falsifiers/answers.py").open("a", encoding="utf-8") as stream:
        stream.write(look[1] + "\n\npytest_configure()\n")
    ended = repo.python(*GATE, "--signing-key", str(pair.private), env={"REFUTE_KEY_PASSPHRASE": "open sesame"})
    assert ended.returncode == 0, ended.stdout
    (predicate,) = repo.predicates()
    assert not predicate.signer.development
    hidden = predicate.contained.least.reaches(Containment.NAMESPACES)
    for seen in (name.read_bytes() for name in names):
        assert (b"bwrap" if hidden else b"start.py") in seen  # it did look
        assert b"open sesame" not in seen
        assert (b"PRIVATE KEY" in seen, str(pair.private).encode() in seen) == (not hidden, hidden)


# A process of no family, which goes on after pytest has ended, and after the falsifier's own process has.
DAEMON = """\
import fcntl, os, sys, time
from pathlib import Path

def leave_a_daemon(name):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            held = open(name, "a")
            fcntl.flock(held, fcntl.LOCK_EX)
            Path(name + ".left").touch()
            for descriptor in range(3):
                os.close(descriptor)
            time.sleep(600)
        os._exit(0)
    os.wait()
    while not Path(name + ".left").exists():
        time.sleep(0.01)

"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux hands orphans to an ancestor")
def test_nothing_of_the_repository_outlives_its_process(repo: Repo) -> None:
    """What a conftest.py leaves running has ended before the judge begins, what a falsifier leaves before it signs."""
    outside = repo.path.parent / "left"
    outside.mkdir()
    leave = f"{DAEMON}leave_a_daemon({str(outside)!r} + "
    repo.write("conftest.py", leave + '"/from-pytest")\n')
    with (repo.path / "falsifiers/answers.py").open("a", encoding="utf-8") as stream:
        stream.write(f'\n\n{leave}f"/from-falsifiers-{{sys.flags.no_site}}")\n')
    ended = repo.python(*GATE)
    assert ended.returncode == 0, ended.stdout
    left = [path for path in outside.iterdir() if path.suffix != ".left"]
    assert len(left) == 3  # of pytest, and of the falsifiers as pytest and as the judge's child loaded them
    assert not [path.name for path in left if is_held(path)]


@pytest.fixture
def editable(repo: Repo) -> Path:
    """The interpreter of an environment in which the repository, too, is installed editable: by a `.pth` file."""
    venv.create(repo.path / "env", symlinks=True)
    (library,) = (repo.path / "env/lib").glob("python*/site-packages")
    for installed in map(Path, site.getsitepackages()):
        for entry in installed.iterdir():
            if entry.suffix != ".pth":
                (library / entry.name).symlink_to(entry)
    sources = [entry for entry in sys.path if entry.endswith(("harness", "falsifiers"))]
    (library / "editable.pth").write_text("\n".join([*sources, str(repo.path)]), encoding="utf-8")
    info = library / "judged_repository-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: judged-repository\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[pydantic]\nown = own_plugin\n", encoding="utf-8")
    return repo.path / "env/bin/python"


def test_a_hook_in_the_folder_of_an_editable_install_gets_nothing_signed(repo: Repo, editable: Path) -> None:
    """A sitecustomize.py there runs in pytest and makes the example's answers right; the judge and what measures again
    never run it, say that it is there, and the verdict is NO-GO. Nor do they import what its entry points name."""
    repo.write("sitecustomize.py", HOOK)
    repo.write("own_plugin.py", PLUGIN)
    repo.fail()
    ended = repo.python("-c", f"import os; os.execv({str(editable)!r}, {[str(editable), *GATE]!r})")
    assert (ended.returncode, repo.rulings()) == (1, ["NO-GO"]), ended.stdout
    (predicate,) = repo.predicates()
    assert predicate.run.hooks == ("sitecustomize",)
    assert any("a start-up hook from outside" in fault for fault in predicate.record_faults)
    assert os.fspath(repo.path) not in "".join(predicate.record_faults)
    assert not (repo.path / "plugged").exists()
