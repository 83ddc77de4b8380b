"""Evidence keys: they change with everything that enters an experiment, and with nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from free_config import free
from refute.disk import file_sha256
from refute.errors import MissingInputsError
from refute.evidence.experiment import Experiment, FromEvidence, Located, config_for_job
from refute.evidence.key import LIBRARIES, config_for_key, environment, key_of
from refute.evidence.process.installed import content_of
from refute.evidence.sources import folder_digest

ENTRY = "refute.engines.distill.experiments.train:train"
BASE = Experiment("student", "distil", ENTRY, free(training={"steps": 5}, x=1), ("init",))
ASSETS = Path(__file__).parents[1] / "assets"
INIT = {"init": "1" * 64}


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    """The environment is remembered for a whole run; each test starts and leaves without it."""
    environment.cache_clear()
    yield
    environment.cache_clear()


@pytest.mark.slow
def test_a_key_is_the_same_in_another_process() -> None:
    """Whatever the hash seed and the working folder: else nothing would ever be found again."""
    code = (
        "from free_config import free\nfrom refute.evidence.experiment import Experiment\n"
        "from refute.evidence.key import key_of\n"
        f'base = Experiment("student", "distil", {ENTRY!r}, free(training={{"steps": 5}}, x=1), ("init",))\n'
        f"print(key_of(base, {INIT!r}))"
    )
    for seed in ("1", "2"):
        command = [sys.executable, "-c", code]
        # Variables of libraries enter the key, and libraries that other tests load set some.
        environ = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ASSETS)}
        found = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/", env=environ)
        assert found.stdout.strip() == key_of(BASE, INIT)


@pytest.mark.parametrize(
    "changed",
    [
        replace(BASE, name="ce_control"),
        replace(BASE, entry="refute.engines.distill.experiments.train:other"),
        replace(BASE, config=free(x=1, training={"steps": 6})),
        replace(BASE, config=free(x=1, training={"steps": 5.5})),
        replace(BASE, config=free(x=1, training={"steps": "5"})),
        replace(BASE, config=free(x=1, training={"steps": True})),
        replace(BASE, config=free(x=1, training={"steps": 5, "seed": None})),
        replace(BASE, config=free(x=1, training=FromEvidence("init", "steps"))),
        replace(BASE, config=free(x=1, training=FromEvidence("init", "other"))),
        replace(BASE, entry="refute.engines.humaneval.experiments.evaluate:evaluate"),
        replace(BASE, config=free(x=1, training={"steps": 5}, path=Located(lambda: "2" * 64, Path))),
    ],
)
def test_a_key_changes_with_what_enters(changed: Experiment) -> None:
    """Name, function, engine and every value of the configuration, its type included."""
    assert key_of(changed, INIT) != key_of(BASE, INIT)


@pytest.mark.parametrize(
    "changed",
    [
        replace(BASE, title="another title"),
        replace(BASE, limit_s=1.0),
        replace(BASE, config=free(x=1, training={"steps": 5})),
    ],
)
def test_a_key_does_not_change_with_what_cannot_change_a_number(changed: Experiment) -> None:
    """Titles, time limits, the order of writing."""
    assert key_of(changed, INIT) == key_of(BASE, INIT)


def test_a_key_changes_with_the_evidence_it_builds_on() -> None:
    """By its digest and by the role it plays, whatever the order."""
    keys = {
        key_of(BASE, evidence)
        for evidence in ({}, INIT, {"init": "2" * 64}, {"teacher": "1" * 64}, {**INIT, "corpus": "3" * 64})
    }
    assert len(keys) == 5
    assert key_of(BASE, {"a": "1", "b": "2"}) == key_of(BASE, {"b": "2", "a": "1"})


def test_a_key_changes_with_contents_and_not_with_paths(tmp_path: Path) -> None:
    """The same folder elsewhere, under another name, gives the same key; another byte or file name does not."""

    def key(folder: Path) -> str:
        located = Located(lambda: folder_digest(folder), lambda: folder)
        return key_of(replace(BASE, config=free(path=located)), INIT)

    def fill(name: str, file: str = "config.json", data: bytes = b"{}") -> Path:
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / file).write_bytes(data)
        return tmp_path / name

    first = key(fill("first"))
    assert key(fill("second")) == first
    assert key(fill("third", data=b"{ }")) != first
    assert key(fill("fourth", file="other.json")) != first


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_key_changes_with_library_versions(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer version, or none, of whatever computes; files that are only taken in do not care."""
    taken_in = replace(BASE, entry=None)
    before, before_taken_in = key_of(BASE, INIT), key_of(taken_in, INIT)
    real = content_of
    found = {before}
    for content in ("999.0 of the same files", "absent"):
        monkeypatch.setattr(
            "refute.evidence.key.content_of", lambda name, said=content: said if name == library else real(name)
        )
        environment.cache_clear()
        found.add(key_of(BASE, INIT))
        assert key_of(taken_in, INIT) == before_taken_in
    assert len(found) == 3
    assert environment()[library] == "absent"


def test_a_key_changes_with_python_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of another interpreter or architecture are other numbers."""
    keys = {key_of(BASE, INIT)}
    for name in ("python_version", "machine"):
        with monkeypatch.context() as patch:
            patch.setattr(f"platform.{name}", lambda: "other")
            environment.cache_clear()
            keys.add(key_of(BASE, INIT))
    assert len(keys) == 3


def test_a_configuration_holds_paths_or_digests() -> None:
    """The job gets paths, the key gets digests, at any depth; nothing is looked up that is not asked for."""

    def never() -> str:
        raise AssertionError

    config = free(
        teacher={"path": Located(lambda: "d" * 64, lambda: Path("/m")), "kind": "gguf"},
        model=FromEvidence("init", "model"),
        limit=None,
    )
    shared = {"limit": None}
    in_the_job = {"teacher": {"path": "/m", "kind": "gguf"}, "model": "/view/model", **shared}
    in_the_key = {"teacher": {"path": "d" * 64, "kind": "gguf"}, "model": "init/model", **shared}
    assert config_for_job(config, {"init": Path("/view")}).model_dump() == in_the_job
    assert config_for_key(config) == in_the_key
    assert config_for_job(free(p=Located(never, lambda: Path("/m"))), {}).model_dump() == {"p": "/m"}


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=5)))
def test_a_configuration_is_json_that_keeps_every_value(config: dict[str, str | int | bool | None]) -> None:
    """What enters the key is JSON data equal to the configuration."""
    assert json.loads(json.dumps(config_for_key(free(**config)))) == config


def test_folder_digest_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    """A release may name one file or a folder; an empty folder has a digest of its own."""
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    assert folder_digest(tmp_path / "a") == file_sha256(tmp_path / "a")
    assert folder_digest(tmp_path / "empty") != folder_digest(tmp_path)


@pytest.mark.parametrize("odd", ["a link to a folder", "a link to nothing", "a pipe"])
def test_nothing_in_a_folder_is_left_out_in_silence(tmp_path: Path, odd: str) -> None:
    """A link to a file counts as that file; what no digest can speak of is refused by its name."""
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a").write_bytes(b"x")
    before = folder_digest(folder)
    (folder / "b").symlink_to(folder / "sub" / "a")
    assert folder_digest(folder) != before
    if odd == "a pipe":
        os.mkfifo(folder / "odd")
    else:
        (folder / "odd").symlink_to(folder / "sub" if odd == "a link to a folder" else folder / "none")
    with pytest.raises(MissingInputsError, match=r"odd is .*, and would be left out"):
        folder_digest(folder)
