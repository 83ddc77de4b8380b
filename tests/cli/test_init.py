"""`refute init` writes what is not there, and never over what is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from refute.check.controls.kill_matrix import kill_matrix
from refute.check.controls.trials import NoRun
from refute.check.repository import check_files
from refute.cli.commands.init import ignore_runs, scaffold
from refute.errors import UsageError
from refute.falsifier.loading import load_registry
from refute.spec.criteria import load_spec, uses_of
from refute.spec.files import load_release

FILES = [
    ".gitignore",
    "evidence/answers.jsonl",
    "falsifiers/answers.py",
    "specs/example.yaml",
    "specs/releases/example.yaml",
    "specs/schema/release.schema.json",
    "specs/schema/spec.schema.json",
]


def files(folder: Path) -> dict[str, bytes]:
    """Every file below, by name."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_an_empty_folder_gets_the_whole_example(tmp_path: Path) -> None:
    """Exactly the example's files appear, below a folder that need not exist, and all of them are returned."""
    written = scaffold(tmp_path / "new")
    assert sorted(files(tmp_path / "new")) == FILES
    assert sorted(str(path.relative_to(tmp_path / "new")) for path in written) == FILES


@pytest.mark.slow
def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    """Run again over edited files it refuses, naming them, and every byte stays."""
    scaffold(tmp_path)
    (tmp_path / "specs/example.yaml").write_text("mine", encoding="utf-8")
    before = files(tmp_path)
    with pytest.raises(UsageError, match=r"exist already: .*specs/example\.yaml"):
        scaffold(tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", FILES[1:])
def test_one_file_in_the_way_is_enough(tmp_path: Path, name: str) -> None:
    """Whichever file exists, nothing at all is written: no half of an example."""
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="exist already"):
        scaffold(tmp_path)
    assert files(tmp_path) == {name: b"mine"}


def test_files_of_other_names_are_left_alone(tmp_path: Path) -> None:
    """A repository with modules of its own keeps them as they are."""
    mine = {".gitignore": b"*.o\n", "harness/__init__.py": b"", "falsifiers/__init__.py": b"", "setup.py": b"x"}
    for name, content in mine.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    scaffold(tmp_path)
    del mine[".gitignore"]
    assert files(tmp_path).items() >= mine.items()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b".refute/\n"),
        (b"", b".refute/\n"),
        (b"*.o\n", b"*.o\n.refute/\n"),
        (b"*.o", b"*.o\n.refute/\n"),
        (b"\xff\r\n", b"\xff\r\n.refute/\n"),
        (b"# .refute/\n", b"# .refute/\n.refute/\n"),
        (b".refute/\n", None),
        (b"a\r\n/.refute\r\nb", None),
    ],
)
def test_what_refute_writes_is_ignored_by_git(tmp_path: Path, before: bytes | None, after: bytes | None) -> None:
    """A line is added to what is there, byte for byte, once; where one says so already, nothing changes."""
    path = tmp_path / ".gitignore"
    if before is not None:
        path.write_bytes(before)
    assert ignore_runs(tmp_path) == (after is not None)
    assert path.read_bytes() == (before if after is None else after)
    assert not ignore_runs(tmp_path)


@pytest.mark.slow
def test_the_schema_lines_resolve_and_the_files_satisfy_them(tmp_path: Path) -> None:
    """An editor that follows them, relative to the file, finds a schema that accepts the example."""
    scaffold(tmp_path)
    for name in ("specs/example.yaml", "specs/releases/example.yaml"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        (named,) = re.findall(r"^# yaml-language-server: \$schema=(\S+)$", text, re.MULTILINE)
        schema = json.loads((tmp_path / name).parent.joinpath(named).read_text(encoding="utf-8"))
        Draft202012Validator(schema).validate(yaml.safe_load(text))


@pytest.mark.slow
def test_the_commands_that_it_names_next_work(tmp_path: Path, cli: Callable[..., Any], monkeypatch: Any) -> None:
    """In the folder that it wrote; every command of refute that the text names is called."""
    told = cli("init", tmp_path / "new").stdout
    monkeypatch.chdir(tmp_path / "new")
    commands = re.findall(r"^  refute (\S+(?: \S+)*?)  ", told, re.MULTILINE)
    assert commands == ["try answer-accuracy", "check"]
    assert [cli(*command.split()).returncode for command in commands] == [0, 0]


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    """A link to nowhere at one of the names counts as taken: nothing appears where it points."""
    (tmp_path / "repo/specs").mkdir(parents=True)
    (tmp_path / "repo/specs/example.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="exist already"):
        scaffold(tmp_path / "repo")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("blocker", ["repo", "repo/specs", "repo/falsifiers"])
def test_a_file_where_a_folder_must_be_is_named(tmp_path: Path, blocker: str) -> None:
    """A file in place of the folder, or of one of its folders, is a usage error, and no example file is written."""
    (tmp_path / blocker).parent.mkdir(exist_ok=True)
    (tmp_path / blocker).write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=f"cannot write .*{blocker}"):
        scaffold(tmp_path / "repo")
    assert files(tmp_path) == {blocker: b"mine"}


def test_a_gitignore_that_cannot_be_read_takes_the_example_back(tmp_path: Path) -> None:
    """It is written last: where that fails, nothing of what was written before stays."""
    (tmp_path / "repo/.gitignore").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"cannot write .*repo/\.gitignore"):
        scaffold(tmp_path / "repo")
    assert list(tmp_path.rglob("*")) == [tmp_path / "repo", tmp_path / "repo/.gitignore"]


@pytest.mark.slow
def test_the_controls_of_the_example_notice_every_mutant(tmp_path: Path) -> None:
    """Who begins with the example begins with controls that hold, as `refute controls --mutate` counts them."""
    scaffold(tmp_path)
    registry = load_registry([tmp_path / "falsifiers"])
    uses = uses_of([load_spec(tmp_path / "specs/example.yaml").spec])
    matrix = kill_matrix(uses, registry, NoRun())
    assert [fate.change for fate in matrix.fates if fate.survived] == []
    assert len(matrix.fates) > 10


def judged(folder: Path, *named: Path, baseline: tuple[Path, ...] = (), student: Path | None = None) -> Path:
    """The release of a scaffolded gate."""
    scaffold(folder, (student, named, baseline))
    return folder / "specs" / "releases" / "student.yaml"


def test_a_finished_model_gets_a_gate_with_nothing_to_fill_in(tmp_path: Path) -> None:
    """Its folder is named, its template and its trainer's record are found, and the spec is the shipped one."""
    model = tmp_path / "it's My-Model 0.1"
    model.mkdir()
    for name in ("config.json", "trainer_state.json", "chat_template.jinja"):
        (model / name).write_text("{}", encoding="utf-8")
    release = load_release(judged(tmp_path / "gate", student=model)).release
    assert release.student is not None
    assert (release.release, release.subject, release.student.humaneval.prompt) == (
        *("it-s-my-model-0-1", "student"),
        "chat_primed",
    )
    assert release.student.training != "elsewhere"
    shipped = Path(__file__).parents[2] / "specs" / "student-001.yaml"
    assert load_spec(tmp_path / "gate" / "specs" / "student-001.yaml").spec == load_spec(shipped).spec


def test_a_gguf_file_is_named_by_its_digest(tmp_path: Path) -> None:
    """Without a template in it, it is asked to complete."""
    model = tmp_path / "m.gguf"
    model.write_bytes(b"GGUF")
    release = load_release(judged(tmp_path / "gate", student=model)).release
    assert release.student is not None
    assert release.student.model.format == "gguf"
    assert (release.release, release.student.humaneval.prompt) == ("m", "completion")


@pytest.mark.parametrize("content", [None, "a folder"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: str | None) -> None:
    """Before anything is written."""
    if content:
        (tmp_path / "model").mkdir()
    with pytest.raises(UsageError, match=r"cannot be read|holds no config\.json"):
        scaffold(tmp_path / "gate", (tmp_path / "model", (), ()))
    assert not (tmp_path / "gate").exists()


@pytest.mark.slow
def test_results_of_other_tools_get_a_gate(tmp_path: Path) -> None:
    """Each benchmark with its number of items, and compared where there is a baseline; `check` finds nothing wrong."""
    for side in ("new", "old"):
        (tmp_path / side).mkdir()
        rows = [{"task_id": f"HumanEval/{n}", "passed": n % 2 == 0} for n in range(8)]
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        (tmp_path / side / "humaneval.jsonl").write_text(text, encoding="utf-8")
        row = {"doc_id": 0, "doc": {}, "resps": [], "filter": "none", "metrics": ["acc"], "acc": 1.0}
        samples = tmp_path / side / "samples_gsm8k_2026-01-01T00-00-00.0.jsonl"
        # One filter after the other, as the harness writes them.
        rows = [row | {"doc_id": doc, "filter": name} for name in ("strict", "loose") for doc in range(80)]
        samples.write_text("".join(f"{json.dumps(each)}\n" for each in rows), encoding="utf-8")
        (tmp_path / side / "results_2026-01-01T00-00-00.0.json").write_text("{}", encoding="utf-8")
    files = [sorted((tmp_path / side).glob("*.jsonl")) for side in ("new", "old")]
    release = load_release(judged(tmp_path / "gate", *files[0], baseline=(files[1][0],))).release
    assert release.results["humaneval"].baseline is not None
    assert release.results["gsm8k"].student.run is not None
    assert release.results["gsm8k"].student.filter == "loose"
    spec = load_spec(tmp_path / "gate" / "specs" / "results.yaml").spec
    assert [each.id for each in spec.criteria] == [
        *("AC-HUMANEVAL-COMPLETE", "AC-HUMANEVAL-NOT-WORSE", "AC-GSM8K-COMPLETE")
    ]
    found = check_files([tmp_path / "gate" / "specs"], [])
    assert [str(problem) for problem in found.problems] == []
    assert [note for note in found.notes if "not on this machine" in note] == []


def test_results_that_nobody_knows_are_refused(tmp_path: Path) -> None:
    """By a sentence; and a baseline of what was not measured."""
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n', encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"item": 1, "score": 1}\n', encoding="utf-8")
    (tmp_path / "c.jsonl").write_text('{"item": 1, "score": 1}\n', encoding="utf-8")
    with pytest.raises(UsageError, match="holds no results that are known"):
        scaffold(tmp_path / "gate", (None, [tmp_path / "a.jsonl"], ()))
    with pytest.raises(UsageError, match="--baseline has results of c, and --results has none"):
        scaffold(tmp_path / "gate", (None, [tmp_path / "b.jsonl"], [tmp_path / "c.jsonl"]))
