"""A model that is named by a commit of a hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.errors import UnreadableInputError, UsageError
from refute.verify.hub_model import locate_model


def test_a_path_stays_a_path() -> None:
    """Whatever is not `hub:…` lies on this disk."""
    assert locate_model("models/hub:x") == Path("models/hub:x")


@pytest.mark.parametrize("named", ["hub:org/name", "hub:org/name@main", "hub:org/name@0123456", "hub:name@" + "0" * 40])
def test_what_can_move_names_no_model(named: str) -> None:
    """A branch, a tag and half a commit may be another model tomorrow."""
    with pytest.raises(UsageError, match="names no commit of a model"):
        locate_model(named)


def test_a_model_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Offline, what the hub's cache lacks cannot be read, and the message says how to have it."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    named = "hub:org/name@" + "0" * 40
    with pytest.raises(UnreadableInputError, match=f"{named} cannot be fetched") as caught:
        locate_model(named)
    assert "name the folder" in caught.value.hint
