"""Helpers: files that falsifiers share. Their neighbours import them, nobody else, and records carry their digest."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from refute import Context
from refute.check.controls.mutants import bring_to_life, mutants_of
from refute.errors import LoadingError
from refute.falsifier.helpers import code_digest
from refute.falsifier.loading import load_registry
from refute.falsifier.registry import Falsifier

FALSIFIER = '''
from refute import Measurement, falsifier, known_bad, known_good
IMPORT


def good(bench):
    bench.put("answers", "a.txt", "1")


def bad(bench):
    bench.put("answers", "a.txt", "0")


@falsifier("own", needs=("answers",), measures={"value": "points"}, controls=(known_good(good), known_bad(bad)))
def measure(context):
    """Refuted when the value is not 1."""
    INNER
    return [Measurement("value", score(1) + 0, "points", n=1)]
'''
HELPER = "def score(x):\n    return 100 + x\n"
AT_THE_TOP = {"IMPORT": "from _scores import score", "INNER": "pass"}
INSIDE = {"IMPORT": "", "INNER": "from _scores import score"}
WHOLE = {"IMPORT": "import _scores", "INNER": "score = _scores.score"}
AS = {"IMPORT": "import _scores as s", "INNER": "score = s.score"}


def write(folder: Path, words: dict[str, str], **helpers: str) -> Path:
    """A folder with one falsifier, and helpers."""
    folder.mkdir(parents=True, exist_ok=True)
    text = FALSIFIER
    for word, replacement in words.items():
        text = text.replace(word, replacement)
    for name, content in {"own": text, **helpers}.items():
        (folder / f"{name}.py").write_text(content, encoding="utf-8")
    return folder


def load(folder: Path) -> Falsifier:
    """The falsifier in it."""
    return load_registry([folder])["own"]


def value(falsifier: Falsifier) -> float:
    """What it measures."""
    (measured,) = falsifier.measure(Context({}, {}))
    return measured.value


@pytest.mark.parametrize("words", [AT_THE_TOP, INSIDE, WHOLE, AS])
def test_a_helper_is_imported_by_its_name(tmp_path: Path, words: dict[str, str]) -> None:
    """At the top, in a function that runs later, whole or in part; and the search path stays what it was."""
    path, modules = list(sys.path), {name for name in sys.modules if name.startswith("_scores")}
    assert value(load(write(tmp_path, words, _scores=HELPER))) == 101
    assert sys.path == path
    assert {name for name in sys.modules if name.startswith("_scores")} == modules


@pytest.mark.parametrize("words", [AT_THE_TOP, INSIDE])
def test_two_repositories_have_their_own(tmp_path: Path, words: dict[str, str]) -> None:
    """Of one name, in one process, loaded before either is called."""
    first = load(write(tmp_path / "one/falsifiers", words, _scores=HELPER))
    second = load(write(tmp_path / "two/falsifiers", words, _scores=HELPER.replace("100", "200")))
    assert (value(first), value(second), value(first)) == (101, 201, 101)


def test_helpers_have_helpers_and_are_run_once(tmp_path: Path) -> None:
    """However many import one, it is the same module for all of them: its classes are equal to themselves."""
    helpers = {
        "_scores": "from _base import Base, count\ndef score(x):\n    return count() + isinstance(_make(), Base)\n"
        "from _other import _make\n",
        "_other": "import _base\ndef _make():\n    return _base.Base()\n",
        "_base": "class Base: pass\n_runs = []\n_runs.append(1)\ndef count():\n    return len(_runs)\n",
    }
    assert value(load(write(tmp_path, AT_THE_TOP, **helpers))) == 2


@pytest.mark.parametrize("words", [AT_THE_TOP, INSIDE])
def test_the_digest_of_the_code_covers_helpers(tmp_path: Path, words: dict[str, str]) -> None:
    """A changed helper is other code, also one of a helper; one that nobody imports is not."""
    helpers = {"_scores": "from _base import add\ndef score(x):\n    return add(x)\n", "_idle": "x = 1\n"}
    folder = write(tmp_path, words, _base="def add(x):\n    return x\n", **helpers)
    before = load(folder).code
    (folder / "_idle.py").write_text("x = 2\n", encoding="utf-8")
    assert load(folder).code == before
    (folder / "_base.py").write_text("def add(x):\n    return x + 1\n", encoding="utf-8")
    assert load(folder).code != before


def test_the_digest_is_what_the_page_says(tmp_path: Path) -> None:
    """Of the file alone; with helpers of what sha256sum prints: anybody can make it again."""
    alone = write(tmp_path / "alone", {"IMPORT": "", "INNER": "score = int"})
    shared = write(tmp_path / "shared", AT_THE_TOP, _scores=HELPER)
    assert load(alone).code == hashlib.sha256((alone / "own.py").read_bytes()).hexdigest()
    printed = subprocess.run(["sha256sum", "_scores.py", "own.py"], cwd=shared, capture_output=True, check=True).stdout  # noqa: S607  # as a reader types it
    assert load(shared).code == hashlib.sha256(printed).hexdigest() == code_digest(shared / "own.py")


def test_a_helper_that_changes_after_loading_is_not_run(tmp_path: Path) -> None:
    """What a function imports when it is called is what the digest was taken of."""
    folder = write(tmp_path, INSIDE, _scores=HELPER)
    declared = load(folder)
    (folder / "_scores.py").write_text(HELPER.replace("100", "200"), encoding="utf-8")
    assert value(declared) == 101


@pytest.mark.parametrize("call", ["__import__('_scores')", "importlib.import_module('_scores')"])
def test_no_way_around_the_digest(tmp_path: Path, call: str) -> None:
    """A helper that no import statement names has no digest in the record, so it is not found either."""
    folder = write(tmp_path, {"IMPORT": "import importlib", "INNER": f"score = {call}.score"}, _scores=HELPER)
    with pytest.raises(ModuleNotFoundError, match="_scores"):
        value(load(folder))


def test_a_name_without_a_file_is_what_it_always_was(tmp_path: Path) -> None:
    """Modules of Python with a leading underscore are imported where the folder has no file of that name."""
    assert value(load(write(tmp_path, {"IMPORT": "from _operator import neg as score", "INNER": "pass"}))) == -1


def test_a_missing_helper_is_an_error_that_says_where_to_put_it(tmp_path: Path) -> None:
    """With the line that asks for it."""
    with pytest.raises(LoadingError, match=r"line 3 of .*own\.py could not be imported: .*'_scores'") as caught:
        load(write(tmp_path, AT_THE_TOP))
    assert caught.value.hint.endswith(f"beside them, as {tmp_path / '_scores'}.py")


def test_a_broken_helper_is_named_by_its_own_line(tmp_path: Path) -> None:
    """Not by the line that imports it; and nothing half loaded stays."""
    with pytest.raises(LoadingError, match=r"line 2 of .*_scores\.py could not be imported: ZeroDivisionError"):
        load(write(tmp_path, AT_THE_TOP, _scores="x = 1\n1 / 0\n"))
    with pytest.raises(LoadingError, match=r"line 1 of .*_scores\.py could not be imported: SyntaxError"):
        load(write(tmp_path, AT_THE_TOP, _scores="def f(:\n"))
    assert not [name for name in sys.modules if "_scores" in name and str(tmp_path) in repr(sys.modules[name])]


def test_mutants_of_a_falsifier_find_its_helpers(tmp_path: Path) -> None:
    """Else none would load, and a kill matrix without mutants looks like a good one."""
    declared = load(write(tmp_path, AT_THE_TOP, _scores=HELPER))
    living = [found for mutant in mutants_of(declared) if (found := bring_to_life(mutant, declared))]
    assert {value(each) for each in living} >= {102.0}
