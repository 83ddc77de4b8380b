"""What `pip install refute`, without extras, puts into a fresh environment; taken from this one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

_EACH = """\
import contextlib, io, json, sys
from refute.cli.run import run
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        status = run(words)
    print(json.dumps([status, said.getvalue()]))
"""


@dataclass(frozen=True)
class LightInstall:
    """A virtual environment."""

    root: Path

    @property
    def packages(self) -> Path:
        """Where its packages lie."""
        (found,) = self.root.glob("lib/python*/site-packages")
        return found

    @property
    def size_mb(self) -> float:
        """Of its packages, compiled modules left out, as no wheel holds them."""
        files = (path for path in self.packages.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return sum(path.stat().st_size for path in files) / 1e6

    def refute(self, *commands: Sequence[object], cwd: Path) -> list[tuple[int, str]]:
        """Status and standard error of each of these commands, called in `cwd` in one process of this environment."""
        words = json.dumps([[str(word) for word in command] for command in commands])
        called = [str(self.root / "bin" / "python"), "-c", _EACH, words]
        ended = subprocess.run(called, stdout=subprocess.PIPE, text=True, check=True, cwd=cwd)
        return [(status, said) for status, said in map(json.loads, ended.stdout.splitlines())]


def install(wheel: Path, root: Path) -> LightInstall:
    """The environment with the wheel, made without a package index."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    made = LightInstall(root)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(made.packages)
    (own,) = made.packages.glob("refute-*.dist-info")
    for found in closure(Distribution.at(own)).values():
        _copy(found, made.packages)
    return made


def closure(start: Distribution) -> dict[str, Distribution]:
    """Whatever `start` requires, and what that does."""
    found: dict[str, Distribution] = {}
    waiting = [start]
    while waiting:
        for text in waiting.pop().requires or ():
            wanted = Requirement(text)
            if wanted.name not in found and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
                found[wanted.name] = distribution(wanted.name)
                waiting.append(found[wanted.name])
    return found


def _copy(found: Distribution, packages: Path) -> None:
    """With what was compiled here, which the same moment of change keeps valid: there it would be compiled again."""
    for file in found.files or ():
        source = Path(str(found.locate_file(file)))
        if ".." not in file.parts and source.is_file():
            target = packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
