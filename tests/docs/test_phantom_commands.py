"""Nothing that people are told to type is missing: every command, option and import in a document is there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from phantom_commands import commands_in, phantom

ROOT = Path(__file__).parents[2]
PAGES = sorted({ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").glob("*.md")})


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_of_a_page_exists(page: Path) -> None:
    """With every option that it is written with."""
    assert [fault for line in commands_in(page.read_text(encoding="utf-8")) if (fault := phantom(line))] == []


def test_what_pages_import_is_there_and_every_page_is_linked() -> None:
    """A name of refute's that an example imports; and no page of docs/ that only a listing of the folder shows."""
    texts = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
    imports = [found for text in texts.values() for found in re.findall(r"(?m)^from (refute[\w.]*) import (.+)$", text)]
    missing = [(module, name) for module, names in imports for name in names.split(", ") if not _has(module, name)]
    linked = {name for text in texts.values() for name in re.findall(r"\]\((?:docs/)?([\w-]+\.md)[)#]", text)}
    assert (len(imports) >= 3, missing, texts.keys() - linked) == (True, [], {"README.md"})


def _has(module: str, name: str) -> bool:
    return hasattr(import_module(module), name)


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
