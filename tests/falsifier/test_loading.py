"""Finding falsifiers: packs by entry point, files of a repository; every failure stops the run and names its place."""

from __future__ import annotations

import os
import py_compile
import sys
from pathlib import Path

import pytest

from refute.errors import LoadingError
from refute.falsifier.loading import load_registry
from refute.falsifier.registry import Registry

GOOD = '''
from refute import Measurement, falsifier, known_bad, known_good


def good(bench):
    bench.put("answers", "a.txt", "1")


def bad(bench):
    bench.put("answers", "a.txt", "0")


@falsifier("NAME", needs=("answers",), measures={"value": "points"}, controls=(known_good(good), known_bad(bad)))
def measure(context):
    """Refuted when the value is not 1."""
    return [Measurement("value", 1, "points", n=1)]
'''


def code(name: str = "own") -> str:
    """A file that declares the falsifier `name`."""
    return GOOD.replace("NAME", name)


def load(folder: Path, **files: str) -> Registry:
    """The registry with these files in the folder."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return load_registry([folder])


def add_pack(site: Path, name: str, text: str) -> None:
    """An installed distribution with one module that is a falsifier pack."""
    (site / f"{name}.py").write_text(text, encoding="utf-8")
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[refute.falsifiers]\n{name} = {name}\n", encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for installed packages; what is imported from it is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.syspath_prepend(folder)
    return folder


def test_files_of_a_repository_join_the_built_in_ones(tmp_path: Path) -> None:
    """Without files there are the built-in falsifiers; a file adds exactly its own."""
    built_in = set(load_registry([]))
    assert built_in
    assert set(load(tmp_path, mine=code())) == built_in | {"own"}


def test_helpers_and_tests_are_not_falsifiers(tmp_path: Path) -> None:
    """Files that start with `_`, `test_` or `conftest`, and files that are not Python, are not even imported."""
    broken = "raise RuntimeError('imported')\n"
    (tmp_path / "notes.txt").write_text(broken, encoding="utf-8")
    assert "own" in load(tmp_path, mine=code(), __init__=broken, _helper=broken, test_mine=broken, conftest=broken)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("def f(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(0)", "SystemExit"),
        ("import pytest\npytest.importorskip('no_such_module')", "Skipped"),
        ("import pytest\npytest.exit('done', returncode=0)", "Exit: done"),
        ("x = 1", "declares no falsifier"),
        ("", "declares no falsifier"),
        (code().replace('needs=("answers",)', 'neds=("answers",)'), "unexpected keyword argument 'neds'"),
        (code().replace(", known_bad(bad)", ","), "no known_bad control"),
        (code().replace("known_good(good), known_bad(bad)", "known_bad(bad),"), "no known_good control"),
        (code().replace('{"value": "points"}', "{}"), "`measures` must map each measurement to its unit"),
        (code().replace('("answers",)', "()"), "no evidence proves nothing"),
        (code().replace("(context)", "()"), "exactly one argument"),
        (code("Own Name"), "lower-case words joined by hyphens"),
        (code().replace('    """Refuted when the value is not 1."""\n', ""), "needs a docstring"),
    ],
)
def test_a_file_with_a_fault_stops_the_run(tmp_path: Path, text: str, cause: str) -> None:
    """Whatever is wrong with one file is a LoadingError with the file's path and the cause; nothing is left out."""
    with pytest.raises(LoadingError, match=r"broken\.py") as caught:
        load(tmp_path, fine=code(), broken=text)
    assert cause in str(caught.value)


@pytest.mark.parametrize("name", ["broken.py", "_helper.py"])
def test_a_pipe_in_the_place_of_a_file_answers(tmp_path: Path, name: str) -> None:
    """A falsifier, or a helper that one imports: an error, and no wait for a writer. Hidden files are none."""
    (tmp_path / ".#fine.py").symlink_to("somebody@host")
    os.mkfifo(tmp_path / name)
    with pytest.raises(LoadingError, match="it is a pipe or a device"):
        load(tmp_path, fine=f"import _helper\n{code()}")


def test_ctrl_c_while_loading_is_not_a_fault_of_the_file(tmp_path: Path) -> None:
    """KeyboardInterrupt passes through, so that a person can stop a slow import."""
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path, slow="raise KeyboardInterrupt\n")


def test_one_name_for_two_falsifiers_is_an_error(tmp_path: Path) -> None:
    """Two files that claim one name: both are named, none wins."""
    with pytest.raises(LoadingError, match=r"two falsifiers are called 'own': one in .*one\.py, one in .*two\.py"):
        load(tmp_path, one=code(), two=code())


def test_a_built_in_name_cannot_be_taken_over(tmp_path: Path) -> None:
    """A file that declares a falsifier under the name of a built-in one is refused."""
    taken = min(load_registry([]))
    with pytest.raises(LoadingError, match=rf"two falsifiers are called '{taken}'.*mine\.py"):
        load(tmp_path, mine=code(taken))


def test_the_source_runs_and_not_a_stale_compilation(tmp_path: Path) -> None:
    """A .pyc beside the file that says something else is ignored: records carry the digest of the source."""
    file = tmp_path / "mine.py"
    file.write_text(code("forged"), encoding="utf-8")
    py_compile.compile(str(file), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert list(tmp_path.glob("__pycache__/*.pyc"))
    registry = load(tmp_path, mine=code("own"))
    assert "own" in registry
    assert "forged" not in registry


def test_a_folder_that_is_none_is_an_error(tmp_path: Path) -> None:
    """A folder that was named and is not there, or is a file, is a LoadingError, not an empty set."""
    for folder in (tmp_path / "absent", Path(__file__)):
        with pytest.raises(LoadingError, match="is not a folder of falsifiers"):
            load_registry([folder])


def test_packs_are_found_by_entry_point(site: Path) -> None:
    """Two installed packs both contribute, beside the built-in one."""
    add_pack(site, "pack_one", code("from-one"))
    add_pack(site, "pack_two", code("from-two"))
    assert {"from-one", "from-two"} <= set(load_registry([]))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("raise ValueError('broken')", "could not be imported: ValueError: broken"),
        ("x = 1", "declares no falsifier"),
        (code("from-one"), "two falsifiers are called 'from-one'"),
    ],
)
def test_a_pack_with_a_fault_stops_the_run(site: Path, text: str, cause: str) -> None:
    """A pack that fails, is empty, or repeats a name of another is a LoadingError that names it."""
    add_pack(site, "pack_one", code("from-one"))
    add_pack(site, "pack_two", text)
    with pytest.raises(LoadingError, match="pack_two") as caught:
        load_registry([])
    assert cause in str(caught.value)
