"""The source behind an evidence key: all that may run, little that does not, found without running it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from refute.disk import file_sha256
from refute.evidence import reach
from refute.evidence.laboratory import Laboratory, Watcher
from refute.evidence.plan import plan_release
from refute.evidence.process.environment import EXTRA_PATH
from refute.evidence.reach import entry_digest, loaded_modules, module_file, source_digest
from refute.evidence.store import Store
from refute.spec.files import load_release
from refute.spec.release import Release, Source

pytestmark = pytest.mark.exhaustive

ROOT = Path(__file__).parents[2]
RELEASES = ROOT / "specs" / "releases"
ASSETS = ROOT / "tests" / "assets"
TRAIN = "refute.engines.distill.experiments.train:train"
EVALUATE = "refute.engines.humaneval.experiments.evaluate:evaluate"
SANDBOX = "refute.engines.humaneval.sandbox"


def forget() -> None:
    """What was read from the disk is remembered for a whole run."""
    for cached in (reach.entry_digest, reach.source_digests, reach.source_digest, reach._file, reach._led_to):
        cached.cache_clear()


@pytest.fixture
def fresh() -> Iterator[None]:
    """A test that writes source starts and leaves with nothing remembered."""
    forget()
    yield
    forget()


# ------------------------------------------------------------------------------------------------ of the engines


def test_the_student_is_not_bound_to_what_makes_a_corpus() -> None:
    """Neither to the code that tokenises, nor to HumanEval; to its loss and to what reads its configuration, it is."""
    reached = loaded_modules(TRAIN)
    for name in ("engines.distill.loss.kd_loss", "engines.distill.training.checkpoint", "engines.model.tokenizer"):
        assert f"refute.{name}" in reached
    for name in ("spec.experiments.distill", "spec.release", "job", "errors", "evidence.process.engine_worker"):
        assert f"refute.{name}" in reached
    for name in ("engines.distill.data.tokenize", "engines.distill.data.corpus", "engines.distill.certificate.certify"):
        assert module_file(f"refute.{name}") is not None
        assert f"refute.{name}" not in reached
    assert not any(name.startswith("refute.engines.humaneval") for name in reached)


def test_an_evaluation_is_bound_to_every_file_of_its_sandbox() -> None:
    """Workers there are compiled from files whose names are put together at run time."""
    reached = loaded_modules(EVALUATE)
    folder = ROOT / "harness" / Path(*SANDBOX.split("."))
    files = {f"{SANDBOX}.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__"}
    assert len(files) > 10
    assert files <= reached
    # Imported within a function, once it is known who answers.
    assert "refute.engines.humaneval.backends.local.transformers_backend" in reached
    assert "refute.engines.distill" not in reached


@pytest.mark.parametrize(
    ("changed", "student", "answers"),
    [
        ("engines/distill/data/tokenize.py", False, False),
        ("engines/distill/loss/kernel.py", True, False),
        ("engines/humaneval/sandbox/judge_worker.py", False, True),
        ("engines/model/tokenizer.py", True, True),
        ("evidence/process/engine_worker.py", True, True),
        ("report/terminal.py", False, False),
    ],
)
def test_a_key_changes_with_what_its_entry_reaches(tmp_path: Path, changed: str, student: bool, answers: bool) -> None:
    """In a copy of the package with one file changed, by a comment: the student's digest, and that of its answers."""
    shutil.copytree(ROOT / "harness" / "refute", tmp_path / "refute", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "refute" / changed).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    code = f"from refute.evidence.reach import *; print(entry_digest({TRAIN!r}), entry_digest({EVALUATE!r}))"
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-B", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    found = [one != other for one, other in zip(done.stdout.split(), map(entry_digest, (TRAIN, EVALUATE)), strict=True)]
    assert found == [student, answers]


@pytest.mark.parametrize("name", ["kd_math", "humaneval_calibration"])
def test_whatever_an_experiment_loads_is_covered(
    name: str, tmp_path: Path, silence: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real run of it, in a process of its own, that says what it had loaded when it was done."""
    monkeypatch.setenv(EXTRA_PATH, str(ASSETS))
    experiment = plan_release(with_few_problems(), RELEASES)[name]
    assert experiment.entry is not None
    watched = replace(experiment, entry="loaded_by:" + experiment.entry.replace(":", "."))
    laboratory = Laboratory({name: watched}, Store(tmp_path / "store"), silence)
    loaded = {each for each in laboratory.obtain(name).json("loaded.json") if each.partition(".")[0] == "refute"}
    assert experiment.entry.partition(":")[0] in loaded
    assert loaded - loaded_modules(experiment.entry) == set()


def with_few_problems() -> Release:
    """The quick release with a handful of problems that lie beside the tests."""
    release = load_release(RELEASES / "quick.yaml").release
    problems = ASSETS / "own_problems.jsonl"
    assert release.distillation is not None
    humaneval = release.distillation.humaneval.model_copy(
        update={"problems": Source(path=str(problems), sha256=file_sha256(problems)), "calibration_limit": 2}
    )
    return release.model_copy(update={"distillation": release.distillation.model_copy(update={"humaneval": humaneval})})


# ------------------------------------------------------------------------------------------------ of any package

FILES = {
    "__init__.py": "",
    "runs.py": "import json\nfrom shop_reach.loss import loss\nfrom shop_reach import words\n",
    "loss.py": "def loss():\n    from .kernel import fused\n    return fused()\n",
    "kernel.py": "def fused():\n    return ['python', '-m', 'shop_reach.ranks']\n",
    "ranks.py": "",
    "words.py": '"""Of `shop_reach.aside`, and what shop_reach.aside does."""\n',
    "aside.py": "",
    "deep/__init__.py": "from shop_reach.deep import first\n",
    "deep/first.py": "",
    "deep/second.py": "",
    "computed.py": "import importlib\n\ndef find(part):\n    return importlib.import_module(part)\n",
    "formatted.py": "def find(part):\n    return f'shop_reach.deep.{part}'\n",
    "beside.py": "from pathlib import Path\n\nHERE = Path(__file__).parent\n",
    "entry.py": "ENTRY = 'shop_reach.ranks:main'\n",
    "nested.py": "from shop_reach.deep.first import anything\n",
    "broken.py": "def (:\n",
}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None) -> Path:
    """A package that can be found."""
    for name, text in FILES.items():
        path = tmp_path / "shop_reach" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "shop_reach"


EVERYTHING = {"", *(name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in FILES)} - {
    "__init__"
}


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("runs", {"", "runs", "loss", "kernel", "ranks", "words"}),
        ("aside", {"", "aside"}),
        ("formatted", {"", "formatted", "deep", "deep.first", "deep.second"}),
        ("entry", {"", "entry", "ranks"}),
        ("nested", {"", "nested", "deep", "deep.first"}),
        ("computed", EVERYTHING),
        ("beside", EVERYTHING),
        ("broken", EVERYTHING),
    ],
)
def test_modules_are_found_by_statement_and_by_name(shop: Path, module: str, expected: set[str]) -> None:
    """In functions, relatively, as text for `python -m`, above and below; computed names bring the whole folder."""
    found = {name for name in loaded_modules(f"shop_reach.{module}:main") if name.startswith("shop_reach")}
    assert found == {f"shop_reach.{name}".removesuffix(".") for name in expected}


def test_the_digest_is_of_names_and_contents(shop: Path) -> None:
    """Of what is reached: a byte, a new import, a new file of a folder that is reached whole; and of nothing else."""
    entry, computed = "shop_reach.runs:main", "shop_reach.computed:find"

    def digests() -> tuple[str, str]:
        forget()
        return entry_digest(entry), entry_digest(computed)

    found = [digests()]
    changes = {"aside.py": "x = 1\n", "kernel.py": "def fused(): ...\n", "runs.py": "import shop_reach.deep\n"}
    for name, text in changes.items():
        (shop / name).write_text(text, encoding="utf-8")
        found.append(digests())
    (shop / "new.py").write_text("", encoding="utf-8")
    found.append(digests())
    assert [one == other for (one, _), (other, _) in pairwise(found)] == [True, False, False, True]
    assert len({whole for _, whole in found}) == 5


@pytest.mark.parametrize("entry", ["refute.engines.no_such:work", "no_such_package.runs:main", "no_such"])
def test_an_entry_that_is_nowhere_has_no_digest(entry: str) -> None:
    """The digest of nothing would stand for whatever is put there later."""
    with pytest.raises(FileNotFoundError, match="no source of the module"):
        entry_digest(entry)


def test_engines_of_this_package_have_source() -> None:
    """Folders differ, and the whole has a digest; a name that is no folder would hash nothing, and is refused."""
    assert len({source_digest(name) for name in ("", "engines/distill", "engines/humaneval", "engines/model")}) == 4
    with pytest.raises(FileNotFoundError, match="no package folder"):
        source_digest("no_such_engine")
