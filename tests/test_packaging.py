"""The wheel: two import packages and everything that they read at run time, and nothing else."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path

import pytest

from example_lock import lock_example
from light_install import install
from refute.attest import generate_key, load_private_key
from refute.check.schemas import schemas
from refute.cli.commands.init import scaffold
from tiny_run import JudgedOnce

pytestmark = pytest.mark.slow

# What only gates need: whoever verifies installs none of it.
HEAVY = ("torch", "transformers", "numpy", "scipy", "pytest", "hypothesis", "safetensors", "huggingface")
ROOT = Path(__file__).parents[1]
# What a checkout holds and a build needs; not the virtual environments and evidence that may lie beside it.
NEEDED = ("pyproject.toml", "README.md", "LICENSE", "harness", "falsifiers", "specs", "contracts", "tests")


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built once from a copy of the sources with the installed backend: no network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        elif (ROOT / name).exists():
            shutil.copyfile(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(wheel_file: Path) -> Iterator[zipfile.ZipFile]:
    """That wheel, open."""
    with zipfile.ZipFile(wheel_file) as archive:
        yield archive


def test_the_wheel_holds_two_packages(wheel: zipfile.ZipFile) -> None:
    """`harness`, `falsifiers`, `specs` or `tests` at the top would shadow the folders of a user's repository."""
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"refute", "refute_falsifiers"}
    assert len(tops) == 3


def test_everything_below_the_packages_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    """Every file of the two source folders, templates, example and typing marker among them; no more."""
    expected = {
        str(path.relative_to(base))
        for base in (ROOT / "harness", ROOT / "falsifiers")
        for path in base.rglob("*")
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in path.parts[-6:])
    }
    schemas = {f"refute/schemas/{path.name}" for path in (ROOT / "contracts/schema").iterdir()}
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == expected | schemas
    assert {
        "refute/py.typed",
        "refute/report/page/templates/report.html.j2",
        "refute/report/page/templates/report.js",
        "refute/report/page/templates/report.md.j2",
        "refute/report/page/templates/report.css",
        "refute/cli/example/specs/example.yaml",
        "refute/cli/example/specs/releases/example.yaml",
        "refute/cli/example/falsifiers/answers.py",
        "refute/cli/example/evidence/answers.jsonl",
    } <= found


def test_the_schemas_in_the_wheel_are_those_of_the_code(wheel: zipfile.ZipFile) -> None:
    """Whoever reads them there reads what this version accepts."""
    found = {name: wheel.read(f"refute/schemas/{name}").decode() for name in schemas()}
    assert found == schemas()


def test_entry_points_name_what_is_there(wheel: zipfile.ZipFile) -> None:
    """The command, the pytest plugin and the built-in falsifiers."""
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    points = configparser.ConfigParser()
    points.read_string(wheel.read(name).decode())
    assert {section: dict(points[section]) for section in points.sections()} == {
        "console_scripts": {"refute": "refute.cli.main:main"},
        "pytest11": {"refute": "refute.plugin"},
        "refute.falsifiers": {"builtin": "refute_falsifiers"},
    }


def test_the_metadata_states_licence_python_and_dependencies(wheel: zipfile.ZipFile) -> None:
    """What an index shows; no dependency is pinned, so that a GPU machine may bring its own torch."""
    (name,) = [name for name in wheel.namelist() if name.endswith("METADATA")]
    metadata = message_from_string(wheel.read(name).decode())
    assert (metadata["Name"], metadata["License-Expression"]) == ("refute", "Apache-2.0")
    assert metadata["Requires-Python"] == ">=3.11"
    required = metadata.get_all("Requires-Dist") or []
    assert any(each.startswith("torch") for each in required)
    assert not [each for each in required if each.startswith(HEAVY) and "extra ==" not in each]
    assert not [each for each in required if "==" in each.split(";")[0]]
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_whoever_verifies_installs_little(wheel_file: Path, honest_go: JudgedOnce, tmp_path: Path) -> None:
    """At most 80 MB, without torch and numpy: verdicts are verified, reviewed, shown and handed on, and a command that
    needs more names the extra that brings it."""
    light, judged = install(wheel_file, tmp_path / "light"), honest_go.copy(tmp_path / "go")
    assert light.size_mb < 80
    assert not [name for name in HEAVY if (light.packages / name).exists()]
    scaffold(tmp_path / "own")
    lock = lock_example(tmp_path / "own", load_private_key(generate_key(tmp_path, "ann").private))
    verdict, key = judged.path, ("--key", judged.files.key)
    review = ("--role", "owner", "--decision", "approve", "--note", "read", "--verdict-key", judged.files.key)
    commands = (
        ("verify", verdict, *key),
        ("report", verdict, *key, "--format", "md"),
        ("diff", verdict, verdict, *key),
        ("sign-off", verdict, *review, "--key", tmp_path / "ann.key"),
        ("export", verdict, *key),
        ("lock", "show", lock),
        ("lock", "verify", lock, "--key", tmp_path / "ann.pub", "--release", "specs/releases/example.yaml"),
        ("latest", verdict.parent, *key, "--subject", judged.predicate.subject.sha256),
    )
    run = ("distill", "run", tmp_path / "own" / "specs" / "example.yaml", "--out", tmp_path / "out")
    ended = light.refute(*commands, run, ("check",), ("gate",), cwd=tmp_path / "own")
    for command, (status, said) in zip(commands, ended, strict=False):
        assert status == 0, (command[0], said)
    for (status, said), extra in zip(ended[len(commands) :], ("distill", "gate", "gate"), strict=True):
        assert (status, f"pip install 'refute[{extra}]'" in said) == (7, True), said
