"""What every test shares: a key folder of its own, and the command line called as a user calls it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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


Ended = subprocess.CompletedProcess[str]
Cli = Callable[..., Ended]


@pytest.fixture(autouse=True)
def key_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that takes the place of the user's keys, in this process and those it starts."""
    folder = tmp_path_factory.mktemp("keys")
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
