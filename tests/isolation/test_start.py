"""Started isolated, an interpreter runs what its sources say, whatever bytecode lies beside them."""

from __future__ import annotations

import importlib.util
import json
import py_compile
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from refute.isolation import start
from refute.isolation.command import path_lines
from refute.isolation.start import Places

SAYS = "WHO = {!r}\n"
ASKS = """\
import json, sys
import own.engine, refute_falsifiers, library
from refute.isolation.start import compiled_sources
print(json.dumps([own.engine.WHO, refute_falsifiers.WHO, library.WHO, sorted(compiled_sources().items()), sys.prefix]))
"""


def write(path: Path, text: str) -> Path:
    """Put a file there, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def forge(source: Path) -> None:
    """Bytecode of another text beside `source`, of the kind that Python takes without a look at the source."""
    other = write(source.with_suffix(".other"), SAYS.format("forged"))
    cached = importlib.util.cache_from_source(str(source))
    py_compile.compile(str(other), cached, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def run(tmp_path: Path, *, library: str = "none", other: str = "outside") -> subprocess.CompletedProcess[str]:
    """`asks` in an interpreter that has these two folders to search."""
    places = Places((), (str(tmp_path / library),), (str(tmp_path / other),), str(tmp_path / "prefix"))
    command = [sys.executable, "-I", "-S", start.__file__, places.to_json(), "asks"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_forged_bytecode_counts_only_in_the_folders_of_libraries(tmp_path: Path) -> None:
    """Not for refute's own packages, wherever they lie, and for nothing outside those folders; what was compiled there
    is noted with its digest. Who can write to site-packages can change anything, and is no worse than its bytecode."""
    site, outside = tmp_path / "site-packages", tmp_path / "outside"
    sources = {
        "own.engine": write(outside / "own/engine.py", SAYS.format("honest")),
        "refute_falsifiers": write(site / "refute_falsifiers/__init__.py", SAYS.format("honest")),
        "library": write(site / "library.py", SAYS.format("honest")),
    }
    for source in sources.values():
        forge(source)
    write(outside / "asks.py", ASKS)
    done = run(tmp_path, library="site-packages")
    assert done.returncode == 0, done.stderr
    engine, falsifiers, library, compiled, prefix = json.loads(done.stdout)
    assert (engine, falsifiers, library, prefix) == ("honest", "honest", "forged", str(tmp_path / "prefix"))
    noted = dict(compiled)
    assert noted.keys() >= {"own.engine", "refute_falsifiers", "asks"}
    assert "library" not in noted
    for name in ("own.engine", "refute_falsifiers"):
        assert noted[name] == sha256(sources[name].read_bytes()).hexdigest()


def test_bytecode_without_its_source_is_refused_outside_the_folders_of_libraries(tmp_path: Path) -> None:
    """There would be nothing to take a digest of."""
    source = write(tmp_path / "outside/own/engine.py", SAYS.format("honest"))
    py_compile.compile(str(source), str(source.with_suffix(".pyc")))
    source.unlink()
    write(tmp_path / "outside/asks.py", "import own.engine\n")
    done = run(tmp_path)
    assert done.returncode == 1
    assert "engine.pyc is bytecode without its source" in done.stderr


def test_only_folders_are_taken_from_pth_files(tmp_path: Path) -> None:
    """Comments, code and folders that are not there are left out."""
    (tmp_path / "editable").mkdir()
    write(tmp_path / "a.pth", "# a comment\nimport sys; sys.path.append('/evil')\n\neditable\n/nowhere/at/all\n")
    assert list(path_lines(tmp_path)) == [str((tmp_path / "editable").resolve())]
