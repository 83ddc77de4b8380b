"""What stops a gate before it starts: exit status 4, a message that names the cause, and no run folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gate.conftest import Repo

pytestmark = pytest.mark.exhaustive

SPEC, RELEASE, OWN = "specs/example.yaml", "specs/releases/example.yaml", "falsifiers/answers.py"
Change = Callable[["Repo"], object]


def misspell(repo: Repo) -> None:
    """Two faults in one spec."""
    repo.edit(SPEC, "uses: answer-accuracy", "uses: answer-acuracy")
    repo.edit(SPEC, "== 0 answers", "== 0 %")


def block_folder(repo: Repo) -> None:
    """A file where the folder for runs should be: unwritable for root, too."""
    repo.write(".refute", "in the way")


CASES: dict[str, tuple[Change, tuple[str, ...], list[str]]] = {
    "every fault of a spec": (
        misspell,
        (),
        [
            "example.yaml:15: criteria[0].falsifiers[0].uses",
            "did you mean `answer-accuracy`?",
            "example.yaml:28: criteria[1].falsifiers[0].thresholds.missing.holds_if",
            "measures `missing` in 'answers', but the bar is in '%'",
        ],
    ),
    "a bar that nothing can fail": (
        lambda repo: repo.edit(SPEC, ">= 80 %", ">= 0 %"),
        (),
        ["example.yaml:16", "[spec/untestable-bar] F-EXAMPLE-001", "`accuracy: >= 0 %`"],
    ),
    "evidence that nothing provides": (
        lambda repo: repo.edit(RELEASE, "  answers:", "  answerz:"),
        (),
        ["`answer-accuracy` needs `answers`, which release", "did you mean `answerz`?"],
    ),
    "an empty spec": (lambda repo: repo.write(SPEC, ""), (), ["example.yaml:1"]),
    "no specs": (lambda repo: (repo.path / SPEC).unlink(), (), ["no specs: nothing to refute", "refute init"]),
    "no release": (lambda repo: (repo.path / RELEASE).unlink(), (), ["which release to judge", "--release FILE"]),
    "a falsifier that cannot be imported": (
        lambda repo: repo.edit(OWN, "from refute", "import no_such_module\nfrom refute"),
        (),
        ["falsifiers/answers.py could not be imported", "No module named 'no_such_module'"],
    ),
    "missing evidence": (
        lambda repo: (repo.path / "evidence/answers.jsonl").unlink(),
        (),
        ["cannot run here; missing:", "evidence.answers: ", "evidence/answers.jsonl"],
    ),
    "evidence at an absolute path": (
        lambda repo: repo.edit(RELEASE, "../../evidence", "/evidence"),
        (),
        ["releases/example.yaml:", "evidence.answers: ", "must be relative to the release file"],
    ),
    "a folder that cannot be written": (block_folder, (), [".refute", "cannot be written", "hint: "]),
    "a signing key that is not there": (lambda _: None, ("--signing-key", "no.key"), ["no.key", "refute keygen"]),
    "a setting that names nothing": (
        lambda repo: repo.write("pytest.ini", "[pytest]\nfalsifier_specs = specs spec2\n"),
        (),
        ["falsifier_specs in", "names what is not there", "spec2"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_with_its_cause(repo: Repo, name: str) -> None:
    """Each fault of configuration ends in a usage error that names file, line or path; no run is begun."""
    change, arguments, expected = CASES[name]
    change(repo)
    ended = repo.gate(*arguments)
    assert ended.returncode == 4, ended.stdout
    assert [part for part in expected if part not in ended.stdout] == []
    assert "Traceback" not in ended.stdout
    assert not list(repo.path.glob(".refute/runs/*"))


def test_a_run_that_cannot_be_recorded_is_refused(repo: Repo) -> None:
    """A variable that is not UTF-8 is an error with its cause."""
    ended = repo.gate(env={"PYTEST_OTHER": "\udcff"})
    assert (ended.returncode, "so that they are UTF-8" in ended.stdout) == (4, True), ended.stdout
    assert "INTERNALERROR" not in ended.stdout
    assert repo.rulings() == []


def test_a_folder_in_place_of_the_link_is_worth_a_note(repo: Repo) -> None:
    """`latest` is for people: where it cannot be made, the verdict is signed all the same."""
    repo.write(".refute/runs/latest/file", "")
    ended = repo.gate()
    assert (ended.returncode, "runs/latest does not point to the run" in ended.stdout) == (0, True), ended.stdout


def test_an_optimised_interpreter_is_refused(repo: Repo) -> None:
    """Under python -O or PYTHONOPTIMIZE nothing runs: assertions of falsifiers would be gone."""
    ended = repo.gate(env={"PYTHONOPTIMIZE": "1"})
    assert ended.returncode == 4, ended.stdout
    assert "run the gate without -O" in ended.stdout
    assert repo.rulings() == []
