"""The refute that judged is known by its sources, and every difference from its wheel by name."""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from refute.judge.predicate.engine import Engine, engine_of, identify_engine

FILES = {"refute/__init__.py": "", "refute/judge.py": "x = 1\n", "refute/page.j2": "page", "refute_falsifiers/a.py": ""}


class Wheel:
    """An installation of FILES, and its RECORD."""

    def __init__(self, site: Path, *, editable: bool) -> None:
        self.site = site
        lines = [
            "../bin/refute,sha256=x,1",
            "refute/__pycache__/judge.pyc,,",
            "refute-1.dist-info/INSTALLER,sha256=y,4",
        ]
        for name, text in FILES.items():
            path = site / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            lines += [] if editable and name.endswith(".py") else [f"{name},sha256={digest},{len(text)}"]
        info = site / "refute-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Name: refute\nVersion: 1\n", encoding="utf-8")
        (info / "RECORD").write_text("\n".join(lines), encoding="utf-8")

    def engine(self, **compiled: str) -> Engine:
        """The one that is installed there, running what was compiled."""
        packages = {name: self.site / name for name in ("refute", "refute_falsifiers")}
        return engine_of(Distribution.at(self.site / "refute-1.dist-info"), packages, compiled)


@pytest.fixture
def wheel(tmp_path: Path) -> Wheel:
    """FILES, as a wheel brings them."""
    return Wheel(tmp_path, editable=False)


def test_an_engine_as_its_wheel_brought_it(wheel: Wheel) -> None:
    """Bytecode that Python wrote beside it, and what the installer added, make no difference."""
    (wheel.site / "refute/__pycache__").mkdir()
    (wheel.site / "refute/__pycache__/judge.pyc").write_bytes(b"whatever")
    engine = wheel.engine()
    assert (engine.as_installed, engine.modified) == (True, ())
    assert engine.sentence == f"engine as installed: 1, SHA-256 {engine.sha256}"


@pytest.mark.parametrize("change", ["edited", "removed", "added", "a template", "edited while it ran"])
def test_every_difference_is_named(wheel: Wheel, change: str) -> None:
    """And changes the digest where it is one of sources."""
    honest, compiled = wheel.engine(), dict[str, str]()
    judge = wheel.site / "refute/judge.py"
    if change == "removed":
        judge.unlink()
    elif change == "a template":
        (wheel.site / "refute/page.j2").write_text("other", encoding="utf-8")
    elif change == "edited while it ran":
        compiled = {"refute.judge": "0" * 64, "typer": "1" * 64}
    else:
        (judge if change == "edited" else judge.with_name("more.py")).write_text("x = 2\n", encoding="utf-8")
    engine = wheel.engine(**compiled)
    named = {"a template": "refute/page.j2", "added": "refute/more.py", "edited while it ran": "refute.judge"}
    assert engine.modified == (named.get(change, "refute/judge.py"),)
    assert not engine.as_installed
    assert engine.sentence.startswith(f"engine modified, 1 of its files ({engine.modified[0]}): 1, SHA-256 ")
    assert (engine.sha256 == honest.sha256) == (change in ("a template", "edited while it ran"))


def test_sources_are_no_wheel(tmp_path: Path) -> None:
    """An editable install, which may bring files but no modules, has nothing to compare with, and the digest of the
    same files in a wheel."""
    sources, wheel = Wheel(tmp_path / "a", editable=True).engine(), Wheel(tmp_path / "b", editable=False).engine()
    assert (sources.origin, sources.as_installed, sources.sha256) == ("sources", False, wheel.sha256)
    assert sources.sentence.startswith("engine from sources, nothing to compare with: 1, ")


def test_this_engine_is_known() -> None:
    """With the folders that it imports from, by name alone."""
    engine = identify_engine()
    assert engine.modified == ()
    assert not [name for name in engine.searched if "/" in name]
