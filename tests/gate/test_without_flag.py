"""The plugin is installed for everybody: without --falsifiers it is not there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from refute.cli.commands.init import scaffold

pytestmark = pytest.mark.slow

HEAVY = {"torch", "transformers", "numpy", "scipy", "pydantic", "yaml", "cryptography", "jinja2", "rich"}


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    """`import refute.plugin` brings in none of the heavy libraries, and nothing of refute but its words."""
    program = "import json, sys, refute.plugin; print(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = set(json.loads(ended.stdout))
    assert "refute.plugin" in modules
    assert not HEAVY & modules


def test_an_ordinary_run_is_left_alone(pytester: pytest.Pytester) -> None:
    """A plain `pytest` in a repository with specs collects its tests alone, loads no falsifier and writes nothing."""
    scaffold(pytester.path)
    (pytester.path / "falsifiers/answers.py").write_text("raise RuntimeError('loaded')\n", encoding="utf-8")
    (pytester.path / "specs/example.yaml").write_text("not a spec\n", encoding="utf-8")
    pytester.makepyfile(
        test_own=f"""
        import sys

        def test_one(request):
            assert not {sorted(HEAVY)!r} & sys.modules.keys()
            assert not [line for line in request.config.getini("markers") if line.startswith("phase")]
        """.replace("[", "{", 1).replace("]", "}", 1)
    )
    ended = pytester.runpytest_subprocess("-p", "no:hypothesispytest", "-p", "no:anyio", ".")
    ended.assert_outcomes(passed=1)
    assert not (pytester.path / ".refute").exists()
