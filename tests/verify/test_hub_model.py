"""A model that is named by a commit of a hub."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from refute.errors import UsageError
from refute.verify.hub_model import locate_model


def test_a_path_stays_a_path() -> None:
    """Whatever is not `hub:…` lies on this disk."""
    assert locate_model("models/hub:x") == Path("models/hub:x")


@pytest.mark.parametrize("named", ["hub:org/name", "hub:org/name@main", "hub:org/name@0123456", "hub:name@" + "0" * 40])
def test_what_can_move_names_no_model(named: str) -> None:
    """A branch, a tag and half a commit may be another model tomorrow."""
    with pytest.raises(UsageError, match="names no commit of a model"):
        locate_model(named)


ASK = """
import sys
from refute.errors import UnreadableInputError
from refute.verify.hub_model import locate_model
try:
    locate_model(sys.argv[1])
except UnreadableInputError as error:
    print(error, error.hint)
"""


def test_a_model_that_is_not_here_is_named(tmp_path: Path) -> None:
    """Offline, what the hub's cache lacks cannot be read, and the message says how to have it."""
    named = "hub:org/name@" + "0" * 40
    # A process of its own: tests of publishing give this one's client another way to the hub, which is never offline.
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", ASK, named], env=offline, capture_output=True, text=True)
    assert f"{named} cannot be fetched" in ended.stdout, ended.stderr
    assert "name the folder" in ended.stdout
