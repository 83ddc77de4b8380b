"""GitLab's job and the pre-commit hook say what refute understands."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import yaml

from phantom_commands import commands_in, phantom

ROOT = Path(__file__).parents[2]
PINNED = re.search(r"^torch==\S+$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)


def test_gitlab_installs_the_torch_that_is_tested_and_runs_commands_that_exist() -> None:
    """Its scripts are scripts."""
    job = yaml.safe_load((ROOT / "integrations/gitlab.yml").read_text(encoding="utf-8"))["refute"]
    assert PINNED is not None
    assert job["variables"]["TORCH"] == PINNED[0]
    for line in job["script"]:
        assert subprocess.run(["/bin/bash", "-n"], input=line, text=True, check=False).returncode == 0
        assert [fault for each in commands_in(f"`{line}`") if (fault := phantom(each))] == []
    assert any("refute gate" in line for line in job["script"])


def test_the_hook_is_a_command_of_ours_with_an_extra_of_ours() -> None:
    """And is asked about what `refute check` reads."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (extra,) = (re.fullmatch(r"\.\[(\w+)\]", each) for each in hook["additional_dependencies"])
    assert extra is not None
    assert extra[1] in extras
    assert phantom(hook["entry"]) == ""
    for path in ("specs/releases/mine.yaml", "falsifiers/mine.py", "contracts/mine.yml"):
        assert re.search(hook["files"], path)
    assert not re.search(hook["files"], "src/specs/mine.yaml")
