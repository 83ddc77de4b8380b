"""A model that is named by where a hub has it: `hub:ORG/NAME@COMMIT`, by a whole commit and nothing that can move."""

from __future__ import annotations

import re
from pathlib import Path

from refute.errors import MissingDependencyError, UnreadableInputError, UsageError

_PREFIX = "hub:"
_NAMED = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})")


def locate_model(named: str) -> Path:
    """The folder or file at path `named`; of `hub:ORG/NAME@COMMIT` that commit's files, in the hub's own cache.

    Raises UsageError for a hub's model without a whole commit, UnreadableInputError where it cannot be fetched, and
    MissingDependencyError without huggingface_hub.
    """
    asked = parse_hub_name(named)
    return Path(named) if asked is None else _fetch(*asked)


def parse_hub_name(named: str) -> tuple[str, str] | None:
    """Repository and commit of `hub:ORG/NAME@COMMIT`; None for what is no hub's model. Raises UsageError as above."""
    if not named.startswith(_PREFIX):
        return None
    asked = _NAMED.fullmatch(named)
    if asked is None:
        raise UsageError(
            f"{named!r} names no commit of a model, expected hub:ORG/NAME@ and 40 hexadecimal digits",
            hint="a branch or a tag may mean other files tomorrow: `git ls-remote` shows the commits",
        )
    return asked["repo"], asked["commit"]


def _fetch(repo: str, commit: str) -> Path:
    try:
        from httpx2 import HTTPError  # what the client lets through of a network that is gone
        from huggingface_hub import snapshot_download  # slow to import, and seldom needed
    except ImportError as error:
        raise MissingDependencyError("models on a hub", "gate") from error
    try:
        return Path(snapshot_download(repo, revision=commit))
    except (HTTPError, OSError, ValueError) as error:
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UnreadableInputError(
            f"hub:{repo}@{commit} cannot be fetched: {why}",
            hint="check name, network and, for a private model, HF_TOKEN; or fetch it yourself and name the folder",
        ) from error
