"""The backend that a release states for HumanEval: checked strictly, planned for the models that are compared."""

from __future__ import annotations

import copy
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import yaml

from refute.errors import SpecError, UsageError
from refute.evidence.key import config_for_key, key_of
from refute.evidence.missing_inputs import missing_inputs
from refute.evidence.plan import input_digests, plan_release
from refute.evidence.planned import humaneval_backend as plan_backends
from refute.spec.fields import http_address
from refute.spec.files import load_release
from refute.spec.release import AtServer, Release

RELEASES = Path(__file__).parents[2] / "specs" / "releases"
SECRET = "hunter2"  # noqa: S105  # of nothing
SERVER = {
    "kind": "openai",
    "base_url": "http://localhost:8000/v1",
    "student": "s",
    "init": "i",
    "teacher": "t",
}
FILES = {
    "kind": "llama.cpp",
    "student": {"path": "student.gguf", "sha256": "1" * 64},
    "init": {"path": "init.gguf", "sha256": "2" * 64},
}
HF_TEACHER = {"format": "hf", "path": "teacher"}


def text_with(backend: dict[str, Any], **distillation: object) -> str:
    """quick.yaml with this backend, published nowhere."""
    data = copy.deepcopy(yaml.safe_load((RELEASES / "quick.yaml").read_text(encoding="utf-8")))
    del data["publication"]
    data["distillation"] |= distillation
    data["distillation"]["humaneval"]["backend"] = backend
    return yaml.safe_dump(data)


def release_with(folder: Path, backend: dict[str, Any], **distillation: object) -> Release:
    """The release, read from a file."""
    path = folder / "release.yaml"
    path.write_text(text_with(backend, **distillation), encoding="utf-8")
    return load_release(path).release


def backend_of(release: Release, folder: Path, name: str) -> dict[str, Any] | None:
    """What the experiment `name` is told of the backend."""
    found = config_for_key(plan_release(release, folder)[f"humaneval_{name}"].config)["backend"]
    assert found is None or isinstance(found, dict)
    return found


def test_without_a_word_models_are_loaded_here(tmp_path: Path) -> None:
    """Stated or left out, transformers is one and the same plan."""
    stated = release_with(tmp_path, {"kind": "transformers"})
    silent = load_release(RELEASES / "quick.yaml").release.model_copy(update={"publication": None})
    one, other = plan_release(stated, RELEASES), plan_release(silent, RELEASES)
    assert {name: key_of(one[name], {}) for name in one} == {name: key_of(other[name], {}) for name in other}
    assert backend_of(silent, tmp_path, "student") is None


def test_each_model_is_asked_under_its_own_name(tmp_path: Path) -> None:
    """Of the same server; random weights are served nowhere, and neither is what is generated a second time."""
    release = release_with(tmp_path, {**SERVER, "key_variable": "SERVER_KEY", "concurrency": 3})
    for role, name in (("student", "s"), ("init", "i"), ("teacher", "t")):
        assert backend_of(release, tmp_path, role) == {
            "kind": "openai",
            "base_url": SERVER["base_url"],
            "model": name,
            "concurrency": 3,
            "attempts": 16,
            "timeout_s": 300.0,
            "key_variable": "SERVER_KEY",
        }
    plan = plan_release(release, tmp_path)
    assert backend_of(release, tmp_path, "null") is None
    assert config_for_key(plan["humaneval_replay_student"].config)["backend"] == "openai", "the run's"
    for name in ("humaneval_calibration", "humaneval_student", "humaneval_replay_student"):
        told = config_for_key(plan[name].config)["humaneval"]
        assert isinstance(told, dict)
        assert told["backend"] == {"kind": "transformers"}


def test_each_model_has_its_own_file_and_the_teacher_its_own_too(tmp_path: Path) -> None:
    """By digest in the key and in the lock; what is not there is named before anything runs."""
    release = release_with(tmp_path, FILES)
    teacher = release.distillation.teacher if release.distillation else None
    own = teacher.source.sha256 if teacher is not None and teacher.format == "gguf" else ""
    digests = {"student": "1" * 64, "init": "2" * 64, "teacher": own}
    for role, digest in digests.items():
        config = backend_of(release, tmp_path, role)
        assert config is not None
        assert config["path"] == digest
    found = input_digests(release, tmp_path)
    assert {role: found[f"distillation.humaneval.backend.{role}"] for role in digests} == digests
    lines = missing_inputs(release, tmp_path)
    assert lines == [
        f"distillation.humaneval.backend.init: {tmp_path / 'init.gguf'}",
        f"distillation.humaneval.backend.student: {tmp_path / 'student.gguf'}",
    ]


def test_what_the_backend_needs_is_asked_for_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra with the command that installs it, and the variable that holds a key; each only where it is needed."""
    files = release_with(tmp_path, FILES)
    keyed = release_with(tmp_path, {**SERVER, "key_variable": "NOT_SET_ANYWHERE"})
    assert [line for line in missing_inputs(keyed, tmp_path) if "NOT_SET_ANYWHERE" in line]
    monkeypatch.setenv("NOT_SET_ANYWHERE", SECRET)
    assert missing_inputs(keyed, tmp_path) == []
    monkeypatch.setattr(plan_backends, "version", absent)
    assert [line for line in missing_inputs(files, tmp_path) if "pip install 'refute[xllamacpp]'" in line]
    assert missing_inputs(keyed, tmp_path) == []


def absent(name: str) -> str:
    """No package is installed."""
    raise PackageNotFoundError(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_url": f"http://user:{SECRET}@host/v1"}, "must not carry a user, a password"),
        ({"base_url": f"http://{SECRET}@host/v1"}, "must not carry a user, a password"),
        ({"base_url": f"https://host/v1?key={SECRET}"}, "must not carry a user, a password"),
        ({"base_url": f"https://host/v1#{SECRET}"}, "must not carry a user, a password"),
        ({"base_url": f"ftp://{SECRET}"}, "this is no HTTP address"),
        ({"base_url": f"http://host:{SECRET}/v1"}, "this is no HTTP address"),
        ({"base_url": f"http://[{SECRET}"}, "this is no HTTP address"),
        ({"key_variable": f"sk-{SECRET}"}, "the name of an environment variable"),
    ],
)
def test_no_secret_gets_into_a_release_or_into_a_message(tmp_path: Path, change: dict[str, str], message: str) -> None:
    """Refused with the line, and without repeating it."""
    with pytest.raises(SpecError, match=message) as caught:
        release_with(tmp_path, {**SERVER, **change})
    assert ("humaneval.backend" in str(caught.value), SECRET in str(caught.value)) == (True, False)


@pytest.mark.parametrize(
    ("backend", "distillation", "message"),
    [
        ({"kind": "vllm"}, {}, "backend"),
        ({**SERVER, "teacher": "s"}, {}, "three models"),
        ({**SERVER, "student": ""}, {}, "at least 1 character"),
        ({**SERVER, "attempts": 0}, {}, "greater than 0"),
        ({**SERVER, "slots": 2}, {}, "unknown key `slots`"),
        ({"kind": "llama.cpp", "student": FILES["student"]}, {}, "init: this required key is missing"),
        ({**FILES, "init": {"path": "x", "sha256": "1" * 64}}, {}, "three models, in three files"),
        (FILES, {"teacher": HF_TEACHER}, "llama.cpp needs the teacher as a GGUF file"),
        ({"kind": "transformers", "base_url": "http://x"}, {}, "unknown key `base_url`"),
    ],
)
def test_a_backend_that_makes_no_sense_is_refused(
    tmp_path: Path, backend: dict[str, Any], distillation: dict[str, Any], message: str
) -> None:
    """Keys of another kind, one name for two models, a file that is missing from the release."""
    with pytest.raises(SpecError, match=message):
        release_with(tmp_path, backend, **distillation)


@pytest.mark.parametrize("text", ["http://host", "https://10.0.0.1:8443/v1", "http://[::1]:8000/v1/"])
def test_ordinary_addresses_are_taken(text: str) -> None:
    """Names, numbers, ports and paths."""
    assert http_address(text) == text
    assert AtServer.model_validate({**SERVER, "base_url": text}).base_url == text


def test_a_published_students_own_export_answers(tmp_path: Path) -> None:
    """Named by nobody, since it is made after the student; without a publication nothing is exported."""
    backend = {key: value for key, value in FILES.items() if key != "student"}
    with pytest.raises(UsageError, match="student is missing"):
        plan_release(release_with(tmp_path, backend), RELEASES)
    data = yaml.safe_load((RELEASES / "quick.yaml").read_text(encoding="utf-8"))
    data["distillation"]["humaneval"]["backend"] = backend
    (tmp_path / "release.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    release = load_release(tmp_path / "release.yaml").release
    plan = plan_release(release, RELEASES)
    asked = backend_of(release, RELEASES, "student")
    assert asked is not None
    assert (asked["kind"], asked["path"], asked["sha256"]) == ("llama.cpp", None, None)
    assert "exported" in plan["humaneval_student"].needs
    assert "exported" not in {*plan["humaneval_init"].needs, *plan["humaneval_replay_student"].needs}
    assert [line for line in missing_inputs(release, RELEASES) if "backend.student" in line] == []
