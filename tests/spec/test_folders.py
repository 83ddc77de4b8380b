"""Folders of a repository, and what of their names may be signed."""

from __future__ import annotations

from pathlib import Path

import pytest

from refute.spec.folders import without_folders


@pytest.mark.parametrize(
    ("text", "signed"),
    [
        ("/srv/repo/specs/a.yaml", "specs/a.yaml"),
        ("--release=/srv/repo/specs/releases/b.yaml", "--release=specs/releases/b.yaml"),
        ("--lock-key=/etc/keys/owner.pub", "--lock-key=owner.pub"),
        ("/srv/repository/x.yaml::AC-1::F-1", "x.yaml::AC-1::F-1"),
        ("/srv/a,/srv/b", "a,b"),
        ("specs/a.yaml", "specs/a.yaml"),
        ("s3://bucket/a/b", "s3://bucket/a/b"),
        ("-k a/b or c", "-k a/b or c"),
        ("/", "/"),
    ],
)
def test_folders_of_this_machine_are_left_out(text: str, signed: str) -> None:
    """Below the working folder the path starts there; of others the last name is kept; URLs and words stay."""
    assert without_folders(text, Path("/srv/repo")) == signed
