"""`refute lock show` and `verify`: what a lock says to somebody who made none."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from example_lock import lock_example
from refute.attest import canonical_json, generate_key, load_private_key, parse_json
from refute.cli.commands.init import scaffold
from timestamp_authority import Authority

if TYPE_CHECKING:
    from tests.conftest import Cli, Ended

pytestmark = pytest.mark.slow

BAR, RELEASE = 'holds_if: ">= 80 %"', "specs/releases/example.yaml"


@dataclass(frozen=True)
class Shelf:
    """The scaffolded example, its lock, the key that signed it and another."""

    root: Path
    cli: Cli

    @property
    def lock(self) -> Path:
        """The file."""
        return self.root / "lock.json"

    def verify(self, *options: object, key: str = "owner") -> Ended:
        """`refute lock verify` with one of the keys."""
        return self.cli("lock", "verify", self.lock, "--key", self.root / f"{key}.pub", *options)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is copied for each test."""
    root = tmp_path_factory.mktemp("made")
    scaffold(root)
    lock_example(root, load_private_key(generate_key(root, "owner").private))
    generate_key(root, "stranger")
    return root


@pytest.fixture
def shelf(made: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Beside it, in the folder where the specs are."""
    root = tmp_path / "shelf"
    shutil.copytree(made, root)
    monkeypatch.chdir(root)
    return Shelf(root, cli)


def test_what_a_lock_promises_is_shown_to_anybody(shelf: Shelf) -> None:
    """Every bar as it is written, and digests; that nobody vouches for it yet is said, in JSON too."""
    shown = shelf.cli("lock", "show", shelf.lock)
    assert shown.returncode == 0
    assert "F-EXAMPLE-001: accuracy >= 80 %" in shown.stdout
    assert "input evidence.answers: " in shown.stdout
    assert "no signature was checked" in shown.stdout
    found = json.loads(shelf.cli("lock", "show", shelf.lock, "--json").stdout)
    assert (found["verified"], found["lock"]["sequence"]) == (False, 1)


def test_a_lock_is_of_whoever_signed_it(shelf: Shelf) -> None:
    """By that key; another's, or a changed byte, ends in 4, and no key in 2."""
    ended = shelf.verify("--json")
    assert (ended.returncode, json.loads(ended.stdout)["texts_compared"]) == (0, False)
    assert shelf.verify(key="stranger").returncode == 4
    assert shelf.cli("lock", "verify", shelf.lock).returncode == 2
    content = parse_json(shelf.lock.read_bytes(), what="lock")
    assert isinstance(content, dict)
    shelf.lock.write_bytes(canonical_json({**content, "payload": "e30="}))
    assert shelf.verify().returncode == 4
    assert shelf.cli("lock", "show", shelf.lock).returncode == 4


def test_texts_that_differ_are_named_with_both_bars(shelf: Shelf) -> None:
    """Those of the repository are what was locked, until a bar moves: 5."""
    assert shelf.verify("--release", RELEASE).returncode == 0
    spec = shelf.root / "specs/example.yaml"
    spec.write_text(spec.read_text(encoding="utf-8").replace(BAR, BAR.replace("80", "70"), 1), encoding="utf-8")
    ended = shelf.verify("--release", RELEASE)
    assert (ended.returncode, "accuracy: >= 80 % -> >= 70 % (looser)" in ended.stderr) == (5, True), ended.stderr
    assert shelf.verify("specs").returncode == 2  # specs without their release are no promise


def test_an_authority_saw_it_or_it_is_refused(shelf: Shelf) -> None:
    """Its answer lies beside the lock, and is about these bytes."""
    authority = Authority()
    root, stamp = shelf.root / "root.pem", shelf.root / "lock.json.tsr"
    root.write_bytes(authority.root_pem)
    assert shelf.verify("--timestamp-root", root).returncode == 4
    stamp.write_bytes(authority.stamp(hashlib.sha256(shelf.lock.read_bytes()).digest()))
    ended = shelf.verify("--timestamp-root", root, "--json")
    assert (ended.returncode, json.loads(ended.stdout)["seen_at"] is None) == (0, False), ended.stderr
    shelf.lock.write_bytes(shelf.lock.read_bytes() + b" ")
    assert shelf.verify("--timestamp-root", root).returncode == 4
    stamp.unlink()
    os.mkfifo(stamp)
    assert shelf.verify("--timestamp-root", root).returncode == 2
