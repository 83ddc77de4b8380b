"""Nothing that people are told to type is missing: every command and option in a document is in the command tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from phantom_commands import commands_in, phantom

ROOT = Path(__file__).parents[2]
PAGES = sorted({ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").glob("*.md")})


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_of_a_page_exists(page: Path) -> None:
    """With every option that it is written with."""
    assert [fault for line in commands_in(page.read_text(encoding="utf-8")) if (fault := phantom(line))] == []


def test_hints_and_messages_name_commands_that_exist() -> None:
    """In any text of the package between backticks."""
    sources = sorted((ROOT / "harness/refute").rglob("*.py"))
    lines = [line for path in sources for line in commands_in(path.read_text(encoding="utf-8"))]
    assert len(lines) > 50
    assert [fault for line in lines if (fault := phantom(line))] == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("refute verfy verdict.intoto.json", "No such command 'verfy'"),
        ("refute model polish DIR", "No such command 'polish'"),
        ("refute verify verdict.intoto.json --keys PUB", "No such option '--keys'"),
        ("refute report V --format=md --serv", "No such option '--serv'"),
        ("refute verify V --key PUB [--model DIR | --store=S]", ""),
        ("refute distill run.yaml --out run --max-steps 20", ""),
        ("refute distill run.yaml --outs run", "No such option '--outs'"),
        ("refute gate --release FILE -n 2 --whatever", ""),
    ],
)
def test_a_phantom_is_seen(line: str, fault: str) -> None:
    """A command, a subcommand or an option that nobody made; what is pytest's is not ours to know."""
    assert phantom(line).startswith(fault)
    assert bool(phantom(line)) is bool(fault)
