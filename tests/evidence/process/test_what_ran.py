"""What ran is what was digested: other code, other variables and other libraries make other evidence, or none."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from free_config import free
from refute.errors import ExperimentError
from refute.evidence.experiment import Experiment
from refute.evidence.key import key_of
from refute.evidence.laboratory import Laboratory, Watcher
from refute.evidence.manifest import Ran
from refute.evidence.process.environment import EXTRA_PATH, numeric_variables, process_environment
from refute.evidence.process.installed import content_of, owners
from refute.evidence.process.provenance import made_by, made_by_strangers, outdated, read_ran
from refute.evidence.reach import source_digests
from refute.evidence.store import Store

ENTRY = "refute.engines.distill.experiments.train:train"
ENGINE = """\
import json, os, sys
import beside

def work(job):
    (job.out / "seen.json").write_text(json.dumps({"environment": dict(os.environ), "said": beside.SAYS}))
"""


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of experiments with an engine of one's own, and a module that this imports."""
    folder = tmp_path / "engines"
    folder.mkdir()
    (folder / "own_engine.py").write_text(ENGINE, encoding="utf-8")
    (folder / "beside.py").write_text("SAYS = 'honest'\n", encoding="utf-8")
    monkeypatch.setenv(EXTRA_PATH, str(folder))
    return folder


def own() -> Experiment:
    """One run of that engine."""
    return Experiment("it", "it", "own_engine:work", free(x=1))


def laboratory(tmp_path: Path, silence: Watcher) -> Laboratory:
    """A run of its own over the store that all of them share."""
    return Laboratory({"it": own()}, Store(tmp_path / "store"), silence)


def manifest(tmp_path: Path) -> Path:
    """The one that is recorded."""
    (path,) = (tmp_path / "store" / "keys").glob("*.json")
    return path


@pytest.mark.slow
def test_hooks_of_the_environment_reach_no_experiment(
    engines: Path, tmp_path: Path, silence: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sitecustomize on PYTHONPATH in the first run, which would patch the engine: it never runs, so that what the
    second run takes as cached is honest. Nor does what a loader or an interpreter would be told."""
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "sitecustomize.py").write_text("import beside\nbeside.SAYS = 'forged'\n", encoding="utf-8")
    (trap / "json.py").write_text("raise SystemExit('not the json of Python')\n", encoding="utf-8")
    with monkeypatch.context() as first:
        first.setenv("PYTHONPATH", os.pathsep.join([str(trap), str(engines)]))
        first.setenv("PYTHONSTARTUP", str(trap / "sitecustomize.py"))
        first.setenv("PYTEST_ADDOPTS", "-x")
        seen = laboratory(tmp_path, silence).obtain("it").json("seen.json")
    assert seen["said"] == "honest"
    assert [name for name in seen["environment"] if name.startswith(("PYTHON", "PYTEST"))] == ["PYTHONHASHSEED"]
    assert laboratory(tmp_path, silence).obtain("it").json("seen.json") == seen


@pytest.mark.slow
@pytest.mark.parametrize("what", ["module", "distribution", "nothing said"])
def test_evidence_of_other_code_is_not_taken_as_cached(
    engines: Path, tmp_path: Path, silence: Watcher, what: str
) -> None:
    """A module that its key does not cover, a distribution with other contents, a manifest that does not say: the
    experiment runs again, and the evidence is that of now."""
    before = laboratory(tmp_path, silence).obtain("it")
    path = manifest(tmp_path)
    recorded: dict[str, Any] = json.loads(path.read_bytes())
    assert recorded["ran"]["modules"].keys() >= {"own_engine", "beside", "refute.evidence.process.engine_worker"}
    if what == "module":
        recorded["ran"]["modules"]["beside"] = "0" * 64
    elif what == "distribution":
        recorded["ran"]["distributions"]["numpy"] = "1.0 of other files"
    else:
        del recorded["ran"]
    path.write_text(json.dumps(recorded), encoding="utf-8")
    again = laboratory(tmp_path, silence)
    assert again.obtain("it").digest == before.digest
    assert again.made_by()["it"].strangers == ("beside", "own_engine")
    assert json.loads(path.read_bytes())["ran"]["modules"]["beside"] != "0" * 64


def test_a_folder_of_engines_enters_the_key(engines: Path) -> None:
    """With every Python file in it, imported or not."""
    before = key_of(own(), {})
    (engines / "later.py").write_text("", encoding="utf-8")
    assert key_of(own(), {}) != before


@pytest.mark.parametrize(
    "name", ["TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS", "MKL_CBWR"]
)
def test_a_variable_that_changes_numbers_changes_the_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is seen by the process; one that says where things are changes nothing."""
    base = Experiment("student", "distil", ENTRY, free(x=1))
    before = key_of(base, {})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert key_of(base, {}) == before
    monkeypatch.setenv(name, "1")
    assert process_environment(os.environ)[name] == "1"
    assert key_of(base, {}) != before


def test_what_an_experiment_sees_of_the_environment() -> None:
    """What is listed, and nothing that brings code: libraries of the system's own folders alone."""
    given = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "HF_TOKEN": "secret",
        "REFUTE_KEY_PASSPHRASE": "secret",
        "LD_PRELOAD": "/tmp/evil.so",  # noqa: S108 - nothing is written there
        "LD_LIBRARY_PATH": "/usr/local/nvidia/lib64:/srv/lib:",
        "PYTHONHASHSEED": "7",
        "OMP_WAIT_POLICY": "active",
    }
    seen = process_environment(given)
    assert seen == {"PATH": "/bin", "LC_ALL": "C", **numeric_variables(given)}
    expected = {"LD_LIBRARY_PATH": "/usr/local/nvidia/lib64", "PYTHONHASHSEED": "0", "OMP_WAIT_POLICY": "active"}
    assert {name: seen[name] for name in expected} == expected
    assert seen.keys().isdisjoint({"HF_TOKEN", "REFUTE_KEY_PASSPHRASE", "LD_PRELOAD"})


# ------------------------------------------------------------------------------------------------ what a process says


def ran(**changes: object) -> dict[str, object]:
    """What an honest process of ENTRY would say, with changes."""
    honest = {"modules": dict(source_digests(ENTRY)), "outside": (), "distributions": {}}
    return {**honest, "variables": numeric_variables(os.environ), **changes}


def test_an_honest_process_is_believed() -> None:
    """Its modules are those of the key."""
    assert read_ran(ran(), ENTRY).modules == source_digests(ENTRY)
    assert not outdated(read_ran(ran(), ENTRY), ENTRY)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (None, "did not say what it had loaded"),
        ({"modules": {}}, "did not say what it had loaded"),
        (
            ran(modules={**source_digests(ENTRY), "refute.evidence.process.engine_worker": "0" * 64}),
            "covers: refute.evidence.process.engine_worker",
        ),
        (ran(variables={**numeric_variables({}), "TORCH_SHOW": "1"}), r"covers: \$.*TORCH_SHOW"),
    ],
)
def test_a_process_of_other_code_makes_no_evidence(said: Mapping[str, object] | None, words: str) -> None:
    """A worker that was edited, a variable that the key does not have, a process that does not say."""
    with pytest.raises(ExperimentError, match=words):
        read_ran(said, ENTRY)


def test_strangers_are_named() -> None:
    """Modules from neither the installation nor refute or a pack; a folder of falsifiers is compared elsewhere."""
    outside = ("refute", "refute_falsifiers.arms", "flash_attn.ops", "_refute_user.answers_0")
    said = ran(modules=dict.fromkeys(outside, "0" * 64), outside=list(outside))
    found = {"student": made_by(Ran.model_validate(said, strict=False))}
    assert found["student"].strangers == ("flash_attn.ops", "_refute_user.answers_0")
    assert made_by(read_ran(said | {"modules": dict.fromkeys(outside[1:], "0" * 64)}, ENTRY)).strangers == (
        "flash_attn.ops",
    )
    (sentence,) = made_by_strangers(found)
    assert "'student' was made with modules from outside the installation: flash_attn.ops" in sentence


def test_distributions_are_known_by_their_contents() -> None:
    """The one that lists a file, with version and digest; what nobody installed is listed by none."""
    import numpy

    file = str(Path(numpy.__file__).resolve())
    found, listed = owners([file, "/nowhere/at/all.py"])
    assert found == {"numpy": content_of("numpy")}
    assert listed == {file}
    assert content_of("numpy").startswith(numpy.__version__)
    assert content_of("no-such-distribution") == "absent"
