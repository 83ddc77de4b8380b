"""What every test shares: a key folder of its own, and the command line called as a user calls it."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from refute.check.contracts.check import load_profile
from refute.cli.main import main

pytest_plugins = ["pytester", "tiny_run"]
# Before any property is decorated. `--hypothesis-profile` overrules it.
load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
# A shell starts what it runs in the background deaf to Ctrl-C, and so would be every process that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Whole files go to a worker (`--dist loadfile`, so that what a module shares is made once). These take longest: begun
# last, they would leave the other workers idle.
LONGEST = ("tests/sabotage/", "tests/engines/distill/training/test_parallel.py", "tests/gate/", "tests/engines/")

# What is exhaustive repeats one finding for hundreds of inputs. A draw by commit tries a share of them each time, so
# that after some commits each has been tried; `make test-all` tries all.
DRAWN = 8

Ended = subprocess.CompletedProcess[str]
Cli = Callable[..., Ended]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--draw SEED`, such as a commit."""
    parser.addoption("--draw", metavar="SEED", help=f"of the exhaustive tests, one in {DRAWN}, drawn by SEED")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first; within a file, and among the others, pytest's own order."""
    if seed := config.getoption("draw"):
        left_out = [item for item in items if item.get_closest_marker("exhaustive") and not is_drawn(item.nodeid, seed)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]

    def place(item: pytest.Item) -> int:
        return next((place for place, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))

    items.sort(key=place)


def is_drawn(nodeid: str, seed: str) -> bool:
    """Whether `seed` draws this exhaustive test: the same answer in every worker and on every machine."""
    return zlib.crc32(f"{seed} {nodeid}".encode()) % DRAWN == 0


@pytest.fixture(scope="session")
def new_key_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Names folders that are not there: to make and remove one for each of thousands of tests is felt."""
    base, numbers = tmp_path_factory.mktemp("keys"), itertools.count()
    return lambda: base / str(next(numbers))


@pytest.fixture(autouse=True)
def key_folder(new_key_folder: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Takes the place of the user's keys, in this process and those it starts; as for a new user, it is not there."""
    folder = new_key_folder()
    monkeypatch.setenv("REFUTE_KEYS", str(folder))
    return folder


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`refute` in this process, which starts in no time: cli("verify", path, …)."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["refute", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        status = ended.value.code
        assert isinstance(status, int | None)
        printed = capsys.readouterr()
        return Ended(["refute", *map(str, arguments)], status or 0, printed.out, printed.err)

    return run
