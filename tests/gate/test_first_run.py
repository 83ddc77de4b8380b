"""A newcomer's first minute: `refute init`, `pytest --falsifiers`, a signed GO."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from refute.attest import key_id

if TYPE_CHECKING:
    from tests.conftest import Cli
    from tests.gate.conftest import Honest, Repo

pytestmark = pytest.mark.slow


def test_the_example_is_signed_off_as_go(honest: Honest) -> None:
    """The scaffolded example ends in exit status 0, a GO on the terminal, and one signed GO in the run folder."""
    assert honest.ended.returncode == 0, honest.ended.stdout
    assert "\nGO: " in honest.ended.stdout
    assert honest.repo.rulings() == ["GO"]


def test_no_model_library_is_imported(honest: Honest) -> None:
    """The process that forks falsifiers never has torch or transformers in it."""
    modules = json.loads((honest.repo.path / "modules.json").read_text(encoding="utf-8"))
    assert "refute.falsifier.trial" in modules
    assert not {"torch", "transformers", "tokenizers"} & set(modules)


def test_everything_lands_in_the_ignored_folder(honest: Honest) -> None:
    """A run writes below .refute/, which `refute init` had git ignore; the rest is pytest's own."""
    own = {".pytest_cache", "__pycache__", "modules.json", "junit.xml", "conftest.py"}
    tops = {path.name for path in honest.repo.path.iterdir()} - own
    assert tops == {".refute", ".gitignore", "specs", "falsifiers", "evidence"}
    assert not list(honest.repo.path.glob("falsifiers/__pycache__"))
    assert (honest.repo.path / ".gitignore").read_text(encoding="utf-8") == ".refute/\n"


def test_the_development_key_is_made_outside_the_repository_and_named(honest: Honest) -> None:
    """The first run makes a development key in the key folder, says so, and the verdict admits it."""
    predicate = honest.repo.predicates()[0]
    public = (honest.repo.keys / "development.pub").read_bytes()
    assert "made a development key" in honest.ended.stdout
    assert (predicate.signer.development, predicate.signer.key_id) == (True, key_id(public))


def test_junit_carries_what_traceability_tools_read(honest: Honest) -> None:
    """Each JUnit test case says what it verifies, how much that weighs, what came out and from which evidence."""
    root = ElementTree.parse(honest.repo.path / "junit.xml").getroot()  # noqa: S314  # written by our own run
    cases = [{each.get("name"): each.get("value") for each in case.iter("property")} for case in root.iter("testcase")]
    evidence = f"answers sha256:{dict(honest.repo.predicates()[0].records[0].evidence)['answers']}"
    common = {"severity": "block", "outcome": "corroborated", "phase": "1", "evidence": evidence}
    names = [dict.fromkeys(("criterion", "verifies"), f"AC-EXAMPLE-00{n}") for n in (1, 2)]
    assert cases == [common | names[n - 1] | {"falsifier": f"F-EXAMPLE-00{n}"} for n in (1, 2)]


def test_the_printed_command_verifies_it(honest: Honest, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The `refute verify` line of the summary can be pasted."""
    monkeypatch.chdir(honest.repo.path)
    line = next(line for line in honest.ended.stdout.splitlines() if line.startswith("verify "))
    ended = cli(*line.split()[2:])
    assert ended.returncode == 0
    assert ended.stdout.startswith("authentic: GO for example")


def test_a_subject_that_no_falsifier_needs_is_taken_in(repo: Repo) -> None:
    """The verdict is about the file that the release names, and says that nobody read it: not about no model at all."""
    repo.write("evidence/model.bin", "weights")
    repo.edit("specs/releases/example.yaml", "subject: answers", "subject: model")
    repo.edit("specs/releases/example.yaml", "evidence:\n", "evidence:\n  model: ../../evidence/model.bin\n")
    ended = repo.gate()
    predicate = repo.predicates()[0]
    assert (predicate.subject.kind, predicate.subject.name) == ("evidence_file", "model.bin")
    assert "No falsifier read a file of the subject itself" in " ".join(ended.stdout.split())


def test_what_is_signed_names_no_folder_of_this_machine(honest: Honest) -> None:
    """Texts are named from the working folder, and arguments lose what stands before it."""
    (predicate,) = honest.repo.predicates()
    assert (predicate.release.name, predicate.specs[0].name) == ("specs/releases/example.yaml", "specs/example.yaml")
    content = predicate.model_dump_json()
    assert [
        each for each in (honest.repo.path, honest.repo.keys, Path.home(), sys.prefix) if str(each) in content
    ] == []
