"""The judge's interpreter: nothing in the environment, the working folder or the user's site gets code into it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from refute.isolation.command import isolated_command
from refute.isolation.environment import clean_environment

TRACE = "open('was-here', 'w').close()\n"


@pytest.mark.slow
def test_code_in_the_environment_does_not_run(tmp_path: Path) -> None:
    """Site customisations, start-up files, modules that shadow libraries and `refute` itself, .pth files of the user:
    none of them is imported, and the refute that runs is this one."""
    site = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    for name in ("sitecustomize.py", "usercustomize.py", "typer.py", "json.py", "refute/__init__.py", f"{site}/a.pth"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"import os; {TRACE}", encoding="utf-8")
    hostile = {
        "PYTHONPATH": str(tmp_path),
        "PYTHONUSERBASE": str(tmp_path),
        "PYTHONSTARTUP": str(tmp_path / "json.py"),
        "PYTHONHOME": str(tmp_path),
        "PYTHONOPTIMIZE": "2",
        "PYTHONBREAKPOINT": "json",
    }
    for environment in ({**os.environ, **hostile}, clean_environment({**os.environ, **hostile})):
        ended = subprocess.run(
            isolated_command("refute", "--help"),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, "judge" in ended.stdout) == (0, True), ended.stderr
    assert not (tmp_path / "was-here").exists()


def test_what_is_cleaned() -> None:
    """Variables that bring code into a process are left out; refute's own only where somebody else's code runs."""
    kept = {"PATH": "/bin", "HOME": "/root", "AWS_PROFILE": "p", "GITHUB_STEP_SUMMARY": "s", "LC_ALL": "C"}
    own = {"REFUTE_KEYS": "k"}
    removed = dict.fromkeys(
        ("PYTHONPATH", "PYTEST_ADDOPTS", "LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "GCONV_PATH", "OPENSSL_CONF"), "x"
    )
    assert clean_environment({**kept, **own, **removed}) == {**kept, **own}
    assert clean_environment({**kept, **own, **removed}, own=False) == kept
