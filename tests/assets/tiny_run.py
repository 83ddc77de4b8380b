"""A whole run in miniature: a spec and a release, evidence in a real store, records of real falsifiers."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from refute.attest import PrivateKey, generate_key, load_private_key
from refute.evidence.laboratory import Laboratory, Watcher
from refute.evidence.plan import plan_release
from refute.evidence.store import Store
from refute.falsifier.loading import load_registry
from refute.falsifier.origins import falsifier_origins
from refute.falsifier.registry import Registry
from refute.falsifier.runner import Gate
from refute.judge.judge_run import Operator, Places, judge_run
from refute.judge.remeasure.measure_again import falsifiers_of
from refute.judge.run.facts import RunFacts
from refute.judge.run.folder import RunFile, RunFolder
from refute.judge.sign import Judged
from refute.report import write_reports
from refute.spec.criteria import LoadedSpec, load_spec
from refute.spec.files import LoadedRelease, load_release
from refute.spec.texts import ReleaseText, SpecText
from silence import Silence
from tiny_spec import tiny_spec

SPEC = tiny_spec()
RELEASE = """\
release: tiny
title: Tiny answers
run_class: quick
operator: nobody
subject: answers
evidence: {answers: answers.jsonl, notes: notes.json}
"""
MODEL_RELEASE = """\
release: tiny
title: Tiny answers
run_class: quick
operator: nobody
subject: student
evidence: {answers: answers.jsonl, notes: notes.json, student: mine}
"""
FALSIFIERS = Path(__file__).parents[1] / "assets" / "tiny_falsifiers"
TINY = load_registry([FALSIFIERS])


@pytest.fixture
def silence() -> Watcher:
    """A watcher that says nothing."""
    return Silence()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], RunFolder]:
    """made_once(spec, right): such a run, made when it is asked for first, to make copies of."""

    @cache
    def make(spec: str, right: int) -> RunFolder:
        return tiny_run(tmp_path_factory.mktemp("run"), Silence(), spec=spec, right=right)

    return make


@pytest.fixture
def make_run(tmp_path: Path, silence: Watcher, made_once: Callable[[str, int], RunFolder]) -> Callable[..., RunFolder]:
    """make_run(spec=…, release=…, right=95, …): a run, not judged yet, over the store `tmp_path / "store"`."""

    def make(*, spec: str = SPEC, right: int = 95, **more: Any) -> RunFolder:
        if more or (tmp_path / "runs").exists():
            return tiny_run(tmp_path, silence, spec=spec, right=right, **more)
        return RunFolder(copy_run(made_once(spec, right).path, tmp_path))

    return make


def copy_run(run: Path, to: Path) -> Path:
    """The run that lies in ROOT/runs/, and all of ROOT, below `to`; what names ROOT in it names `to`."""
    root = run.parents[1]
    shutil.copytree(root, to, symlinks=True, dirs_exist_ok=True)
    folder = to / run.relative_to(root)
    for name in ("run.json", "evidence.jsonl"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace(str(root), str(to)), encoding="utf-8")
    return folder


def tiny_run(
    root: Path,
    watcher: Watcher,
    *,
    spec: str = SPEC,
    release: str = RELEASE,
    right: int = 95,
    also: tuple[str, ...] = (),
    falsifiers: Mapping[str, object] | None = None,
) -> RunFolder:
    """A run below `root`, not judged yet, with `right` of a hundred answers right, over the store `root / "store"`."""
    importlib.import_module("scipy.special")  # once, and not in the fork of every call of a falsifier
    (root / "spec.yaml").write_text(spec, encoding="utf-8")
    (root / "release.yaml").write_text(release, encoding="utf-8")
    answers = "".join(f'{{"right": {str(number < right).lower()}}}\n' for number in range(100))
    (root / "answers.jsonl").write_text(answers, encoding="utf-8")
    (root / "notes.json").write_text("{}\n", encoding="utf-8")
    loaded, asked = load_spec(root / "spec.yaml"), load_release(root / "release.yaml")
    registry = Registry()
    registry.add_from({name: TINY[name].measure for name in ("tiny-accuracy", "tiny-size")})
    registry.add_from(falsifiers or {})
    run = RunFolder.create(root / "runs")
    laboratory = Laboratory(plan_release(asked.release, root), Store(root / "store"), watcher)
    gate = Gate(asked, registry, laboratory, run.log)
    run.write_run(_run_file(loaded, asked, root, registry))
    for criterion in loaded.spec.criteria:
        for use in criterion.falsifiers:
            run.append_record(gate.run(loaded.spec, criterion, use))
    for name in also:
        laboratory.obtain(name)
    run.append_evidence(laboratory.evidence())
    return run


@dataclass(frozen=True, slots=True)
class JudgedOnce:
    """A run, its store, the key that signed, the verdict and its reports, in one folder to make copies of."""

    root: Path
    judged: Judged

    @classmethod
    def make(
        cls,
        root: Path,
        signer: str = "judge",
        *,
        sequence: int | None = None,
        measured_again: bool = False,
        **changes: object,
    ) -> JudgedOnce:
        """Of `tiny_run(root, …, **changes)`, signed by the key `root / "keys" / signer`."""
        key = load_private_key(generate_key(root / "keys", signer).private)
        run = tiny_run(root, Silence(), **changes)  # type: ignore[arg-type]  # its own keywords
        places = Places(falsifiers_of(run)) if measured_again else Places()
        judged = judge_run(run, Operator(key, development=False, sequence=sequence), places)
        write_reports(judged.predicate, judged.payload_sha256, judged.files)
        return cls(root, judged)

    def copy(self, to: Path) -> Judged:
        """The same below `to`: it can be judged again, tampered with, and thrown away."""
        folder = copy_run(self.judged.path.parent, to)
        return replace(self.judged, files=replace(self.judged.files, folder=folder))


@pytest.fixture(scope="session")
def honest_go(tmp_path_factory: pytest.TempPathFactory) -> JudgedOnce:
    """An honest GO."""
    return JudgedOnce.make(tmp_path_factory.mktemp("honest-go"))


@pytest.fixture
def key(tmp_path: Path, honest_go: JudgedOnce) -> PrivateKey:
    """A key that signs, and whose owner may forge."""
    shutil.copytree(honest_go.root / "keys", tmp_path / "keys", dirs_exist_ok=True)
    return load_private_key(tmp_path / "keys" / "judge.key")


@pytest.fixture
def judged(tmp_path: Path, honest_go: JudgedOnce) -> Judged:
    """A copy of an honest GO, signed by `key`."""
    return honest_go.copy(tmp_path)


def _run_file(loaded: LoadedSpec, asked: LoadedRelease, root: Path, registry: Registry) -> RunFile:
    return RunFile(
        facts=RunFacts(
            id="a-run",
            started_at="2026-01-01T00:00:00Z",
            argv=("--falsifiers",),
            pytest_environment={},
            plugins={},
            python="3.11",
            platform="Linux",
            cpus=2,
            versions={"refute": version("refute")},
            falsifiers=falsifier_origins(registry),
            evidence_needs={"answers": ("student",), "notes": ()},
        ),
        release=ReleaseText(
            id=asked.release.release,
            title=asked.release.title,
            run_class=asked.release.run_class,
            operator=asked.release.operator,
            name="release.yaml",
            sha256=asked.sha256,
            text=asked.text,
        ),
        specs=(SpecText(id=loaded.spec.spec, name="spec.yaml", sha256=loaded.sha256, text=loaded.text),),
        store=str(root / "store"),
        falsifiers=(str(FALSIFIERS),),
    )
