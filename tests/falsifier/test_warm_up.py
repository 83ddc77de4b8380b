"""The imports that forks share."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOOK = """\
import os, sys
from pathlib import Path
from refute.falsifier.forked import warm_up
warm_up()
assert "scipy.special" in sys.modules and "scipy.stats" not in sys.modules and "safetensors.numpy" in sys.modules
print(len(list(Path("/proc/self/task").iterdir())), os.environ.get("OPENBLAS_NUM_THREADS"))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
@pytest.mark.parametrize("given", [None, "2"])
def test_a_process_that_will_fork_has_one_thread(given: str | None) -> None:
    """And what the user has set for other processes stays set."""
    environment = {} if given is None else {"OPENBLAS_NUM_THREADS": given}
    ended = subprocess.run(
        [sys.executable, "-c", LOOK], env=environment, capture_output=True, encoding="utf-8", check=True
    )
    assert ended.stdout.split() == ["1", str(given)]
