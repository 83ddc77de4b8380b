"""The command line itself: help, usage errors, and what each command does without a run."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from every_command import COMMANDS, Words
from refute.attest import key_id
from refute.cli.commands.init import scaffold

if TYPE_CHECKING:
    from tests.conftest import Cli


def test_every_command_and_option_has_a_help_text() -> None:
    """Nobody has to guess: each command says what it does, each argument and option what it means."""
    silent = [
        f"{' '.join(name)} {parameter.name}"
        for name, command in COMMANDS.items()
        for parameter in command.params
        if not getattr(parameter, "help", None) and parameter.name != "help"
    ]
    assert [" ".join(name) for name, command in COMMANDS.items() if not command.help] + silent == []


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_help_is_printed(cli: Cli, name: Words) -> None:
    """`refute COMMAND --help` ends in 0 and shows how it is called."""
    ended = cli(*name, "--help")
    assert (ended.returncode, f"refute {' '.join(name)}" in ended.stdout) == (0, True)


@pytest.mark.parametrize("arguments", [("verify", "v.json"), ("judge", "--no-such-option"), ("dance",), ("keygen",)])
def test_misuse_ends_in_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    """A missing argument, an unknown option or an unknown command is a usage error."""
    assert cli(*arguments).returncode == 2


def test_the_version_is_that_of_the_package(cli: Cli) -> None:
    """`refute --version` says what to put into a report of a fault."""
    ended = cli("--version")
    assert (ended.returncode, ended.stdout) == (0, f"refute {version('refute')}\n")


@pytest.mark.slow
def test_what_makes_files_names_them_as_json(cli: Cli, tmp_path: Path) -> None:
    """`init` and `keygen` with --json print an object and nothing else: the paths, and the id of the key."""
    written = json.loads(cli("init", tmp_path, "--json").stdout)["written"]
    assert str(tmp_path / "specs/example.yaml") in written
    made = json.loads(cli("keygen", "mine", "--directory", tmp_path / "keys", "--json").stdout)
    assert made["key_id"] == key_id(Path(made["public_key"]).read_bytes())
    assert Path(made["private_key"]).is_file()


def test_a_passphrase_comes_from_one_place(cli: Cli, tmp_path: Path) -> None:
    """--ask-passphrase beside --passphrase-file is refused, and no key is made."""
    ended = cli("keygen", "mine", "--directory", tmp_path, "--ask-passphrase", "--passphrase-file", tmp_path / "p")
    assert (ended.returncode, "give one" in ended.stderr, list(tmp_path.iterdir())) == (2, True, [])


def test_an_option_without_its_other_half_is_refused(cli: Cli) -> None:
    """`controls --only` chooses what --mutate breaks; alone it would show everything and look as if it had chosen."""
    ended = cli("controls", "--only", "kd-math")
    assert (ended.returncode, "add --mutate" in ended.stderr) == (2, True)


def test_a_folder_that_the_judge_is_given_must_be_there(cli: Cli, tmp_path: Path) -> None:
    """A mistyped --falsifiers, --specs or --store is refused: it must not become a signed NO-GO."""
    for option in ("--falsifiers", "--specs", "--store"):
        ended = cli("judge", "--refute-dir", tmp_path, option, tmp_path / "absent")
        assert (ended.returncode, f"there is nothing at {tmp_path / 'absent'}" in ended.stderr) == (2, True)


def test_a_run_that_is_not_there_is_a_usage_error(cli: Cli, tmp_path: Path) -> None:
    """`refute judge` before any gate says where it looked and what to do."""
    ended = cli("judge", "--refute-dir", tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"refute: no run below {tmp_path / 'runs'}\nhint: ")


@pytest.mark.parametrize("text", ["waivers: [{criterion: AC-A]", "waiver: []", "- 1", None])
def test_a_faulty_waiver_file_stops_the_judge(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """Waivers that do not parse, or are not there, are an error with the file's name: they are never left out."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text("{}", encoding="utf-8")
    if text is not None:
        (tmp_path / "w.yaml").write_text(text, encoding="utf-8")
    ended = cli("judge", tmp_path / "run", "--waivers", tmp_path / "w.yaml")
    assert (ended.returncode, "w.yaml:1" in ended.stderr) == (2, True)


def test_a_key_is_made_once(cli: Cli, key_folder: Path) -> None:
    """`refute keygen NAME` writes a private key that only its owner reads, and refuses a name that is taken."""
    assert cli("keygen", "mine").returncode == 0
    private = key_folder / "mine.key"
    before = private.read_bytes()
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    ended = cli("keygen", "mine")
    assert (ended.returncode, "exists already" in ended.stderr) == (2, True)
    assert private.read_bytes() == before


@pytest.mark.slow
def test_init_then_check_finds_no_problem(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`refute init` says what it wrote and what to do next; `refute check` accepts it, in words and as JSON."""
    monkeypatch.chdir(tmp_path)
    ended = cli("init")
    assert ended.returncode == 0
    assert "\nnext:\n  pytest --falsifiers " in ended.stdout
    assert "\nno problems in 1 specs, 1 releases" in cli("check").stdout
    found = json.loads(cli("check", "--json").stdout)
    assert (found["problems"], found["specs"], found["releases"]) == ([], 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [("check",), ("gate",), ("lock",), ("try", "x"), ("status",), ("review", "--all"), ("controls",)],
    ids=" ".join,
)
def test_a_command_in_the_wrong_folder_leads_to_the_right_one(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Started below the folder with specs: called wrongly, and the hint names that folder."""
    scaffold(tmp_path)
    monkeypatch.chdir(tmp_path / "evidence")
    ended = cli(*words)
    assert (ended.returncode, f"go to {tmp_path}, which has specs/" in ended.stderr) == (2, True), ended.stderr


@pytest.mark.slow
def test_check_ends_in_1_for_problems_and_2_for_what_cannot_be_loaded(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in a spec is found (1, still JSON); a falsifier that cannot be imported stops the check (2)."""
    monkeypatch.chdir(tmp_path)
    cli("init")
    spec = tmp_path / "specs/example.yaml"
    spec.write_text(spec.read_text(encoding="utf-8").replace("answers-complete", "answers-complet"), encoding="utf-8")
    ended = cli("check", "--json")
    assert ended.returncode == 1
    assert [problem["line"] for problem in json.loads(ended.stdout)["problems"]] == [26]
    (tmp_path / "falsifiers/answers.py").write_text("import no_such_module\n", encoding="utf-8")
    ended = cli("check", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["status"]) == (2, 2)
    assert "answers.py could not be imported" in ended.stderr


@pytest.mark.slow
def test_no_command_imports_a_model_library() -> None:
    """Checking, judging, verifying and reporting import neither torch nor transformers."""
    program = (
        "import sys, refute.cli.app, refute.check.repository, refute.judge.judge_run\n"
        "import refute.verify.verification, refute.report\n"
        "sys.exit(bool({'torch', 'transformers'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
