"""`refute try`: one falsifier in this process; numbers beside bars, exceptions where they are, nothing recorded."""

from __future__ import annotations

import json
import pdb
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from types import TracebackType

import pytest

from refute.cli.commands.init import scaffold

Cli = Callable[..., CompletedProcess[str]]
FALSIFIERS = "falsifiers/answers.py"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scaffolded repository, which is the working folder."""
    scaffold(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(name: str, old: str, new: str) -> None:
    """Replace one part of a file; it must be there."""
    text = Path(name).read_text(encoding="utf-8")
    assert old in text
    Path(name).write_text(text.replace(old, new, 1), encoding="utf-8")


def test_measurements_are_shown_beside_the_bars_of_the_use(cli: Cli, here: Path) -> None:
    """Every control of the falsifier and of no other; and nothing is written."""
    before = sorted(here.rglob("*"))
    ended = cli("try", "answer-accuracy")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "F-EXAMPLE-001: control 'mostly wrong' must be falsified, is falsified: behaved\n" in ended.stdout
    assert "    accuracy = 40 % [30.9401, 49.7997], n = 100; bar >= 80 %\n" in ended.stdout
    assert "F-EXAMPLE-002" not in ended.stdout
    assert [path for path in sorted(here.rglob("*")) if "__pycache__" not in path.parts] == before


@pytest.mark.slow
def test_programs_are_told_the_same(cli: Cli) -> None:
    """As JSON and nothing else on standard output, whatever the falsifier prints."""
    edit(FALSIFIERS, "    right =", "    print('hello')\n    right =")
    ended = cli("try", "answer-accuracy", "--json")
    shown = json.loads(ended.stdout)
    assert (ended.returncode, shown["falsifier"], "hello" in ended.stderr) == (0, "answer-accuracy", True)
    bad = next(each for each in shown["attempts"] if each["case"] == "mostly wrong")
    assert (bad["use"], bad["expected"], bad["state"]) == ("F-EXAMPLE-001", "falsified", "behaved")
    assert (bad["bars"], bad["measurements"][0]["value"]) == ({"accuracy": ">= 80 %"}, 40)
    assert cli("try", "answer-accuracy", "--json", "--pdb").returncode == 2


@pytest.mark.slow
def test_a_release_says_by_which_specs(cli: Cli) -> None:
    """Those that it demands, and no other of the folder; without it all of them count."""
    other = Path("specs/other.yaml")
    other.write_text(
        Path("specs/example.yaml").read_text(encoding="utf-8").replace("EXAMPLE", "OTHER"), encoding="utf-8"
    )
    with Path("specs/releases/example.yaml").open("a", encoding="utf-8") as stream:
        stream.write("specs: [../example.yaml]\n")
    for options, expected in (((), True), (("--release", "specs/releases/example.yaml"), False)):
        assert ("F-OTHER-001" in cli("try", "answer-accuracy", *options).stdout) is expected


@pytest.mark.slow
def test_one_control_alone(cli: Cli) -> None:
    """By a part of its name; a part of none is a usage error that lists them."""
    assert cli("try", "answer-accuracy", "-k", "barely").stdout.count("control '") == 1
    ended = cli("try", "answer-accuracy", "-k", "hardly")
    assert ended.returncode == 2
    assert "there are: all right, mostly wrong, barely right" in ended.stderr


def test_a_control_that_misbehaves_fails(cli: Cli) -> None:
    """With what it measured and why that is wrong."""
    edit(FALSIFIERS, "n if n < right else", "n if n < 99 else")
    ended = cli("try", "answer-accuracy")
    assert ended.returncode == 1
    assert "'mostly wrong' must be falsified, is corroborated: misbehaved\n    accuracy = 99 %" in ended.stdout


@pytest.mark.slow
def test_an_exception_has_its_traceback_and_its_line(cli: Cli) -> None:
    """On standard error in full, in the result in short; the other controls are tried."""
    edit(FALSIFIERS, 'row["answer"] ==', 'row["anwser"] ==')
    ended = cli("try", "answer-accuracy")
    assert ended.returncode == 1
    assert "Traceback (most recent call last)" in ended.stderr
    assert ended.stdout.count(f"{FALSIFIERS}:49: KeyError: 'anwser'") == 3


@pytest.mark.slow
def test_the_debugger_stops_where_it_was_raised(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the author's own frame, once for each exception."""
    lines: list[int] = []

    def post_mortem(traceback: TracebackType) -> None:
        while traceback.tb_next is not None:
            traceback = traceback.tb_next
        lines.append(traceback.tb_lineno)

    monkeypatch.setattr(pdb, "post_mortem", post_mortem)
    edit(FALSIFIERS, 'row["answer"] ==', 'row["anwser"] ==')
    assert cli("try", "answer-accuracy", "--pdb", "-k", "right").returncode == 1
    assert lines == [49, 49]


@pytest.mark.slow
def test_what_a_control_must_provoke_stops_nobody(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal of the named type is what was asked for; one of another type is a bug."""
    edit(FALSIFIERS, "known_open(barely_right)", "known_unusable(barely_right, raises=ValueError)")
    edit(FALSIFIERS, "known_open, ", "known_unusable, ")
    edit(FALSIFIERS, "    interval =", "    if right == 85:\n        raise ValueError('85')\n    interval =")
    monkeypatch.setattr(pdb, "post_mortem", lambda _: pytest.fail("stopped at a refusal"))
    assert cli("try", "answer-accuracy", "--pdb").returncode == 0
    edit(FALSIFIERS, "raise ValueError", "raise TypeError")
    assert cli("try", "answer-accuracy").returncode == 1


@pytest.mark.slow
def test_a_falsifier_that_no_spec_uses_is_measured(cli: Cli) -> None:
    """Before its criterion is written: numbers without bars, and faults are faults."""
    edit("specs/example.yaml", "uses: answers-complete", "planned: later")
    edit("specs/example.yaml", '        thresholds:\n          missing: { holds_if: "== 0 answers" }\n', "")
    ended = cli("try", "answers-complete")
    assert (ended.returncode, "no spec uses answers-complete" in ended.stdout) == (0, True)
    assert "    missing = 1 answers, n = 100\n" in ended.stdout
    edit(FALSIFIERS, 'row["answer"] is None', 'row["anwser"] is None')
    assert cli("try", "answers-complete").returncode == 1


@pytest.mark.slow
def test_an_unknown_name_is_told_with_its_neighbours(cli: Cli) -> None:
    """As a usage error."""
    ended = cli("try", "answer-acuracy")
    assert (ended.returncode, "there are: answer-accuracy" in ended.stderr) == (2, True)


@pytest.mark.slow
def test_ctrl_c_ends_it(cli: Cli) -> None:
    """And is no outcome of a control."""
    edit(FALSIFIERS, "    right =", "    raise KeyboardInterrupt\n    right =")
    ended = cli("try", "answer-accuracy")
    assert ended.returncode == 130
    assert "must be" not in ended.stdout
