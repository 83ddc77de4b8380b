"""The house as ARCHITECTURE.md describes it: rooms, imports, sizes, and what an import costs."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import refute

ROOT = Path(__file__).parents[1]
HARNESS = ROOT / "harness" / "refute"
SOURCES = sorted([*HARNESS.rglob("*.py"), *(ROOT / "falsifiers").rglob("*.py")])
PROPERTIES = sorted((ROOT / "contracts").rglob("*.py"))
PACKAGES = ("distill", "humaneval", "model_files", "attest", "report", "review")
HEAVY = ("torch", "transformers", "accelerate", "gguf", "tokenizers")
# Who lets people use an engine without a release.
ENGINE_COMMANDS = (
    "distill_command",
    "_cli_distill",
    "eval_command",
    "eval_compare",
    "eval_backends",
    "eval_generate",
    "eval_sequential",
    "eval_until_decided",
    "_cli_eval",
)
# The scaffold's example is a user's file that lies here: it is held to what a user may import.
OWN = [path for path in SOURCES if path.is_relative_to(HARNESS) and "example" not in path.parts]
FALSIFIERS = [path for path in SOURCES if path not in OWN]


def names(paths: list[Path]) -> list[str]:
    """Short names for the ids of parametrized tests."""
    return [str(path.relative_to(ROOT)) for path in paths]


def rooms() -> list[list[str]]:
    """The first table of ARCHITECTURE.md: modules and packages of each room, from the bottom up."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text[text.index("| files below `harness/refute/` | job |") :].split("\n\n")[0]
    return [row.replace("/", "").split() for row in re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)]


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it, also for type checking alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            yield node.module
            # `from refute import stats` names a module, `from refute import Bench` does not.
            if node.module == "refute":
                yield from (f"refute.{alias.name}" for alias in node.names if (HARNESS / f"{alias.name}.py").exists())


def part_of(module: str) -> str:
    """`spec` for refute.spec, `attest` for refute.attest.dsse."""
    return module.split(".")[1]


def own_part(path: Path) -> str:
    """The module or package of refute that a file is, or is in."""
    return path.relative_to(HARNESS).parts[0].removesuffix(".py")


def parts_imported(path: Path) -> set[str]:
    """The modules and packages of refute that a file imports."""
    return {part_of(module) for module in imports(path) if module.startswith("refute.")}


def test_every_file_has_one_room() -> None:
    """Nothing lies in the house that the table does not know, and the table names nothing that is not there."""
    listed = [part for room in rooms() for part in room]
    found = {own_part(path) for path in OWN} - {"__init__"}
    assert sorted(listed) == sorted(found)


@pytest.mark.parametrize("path", OWN, ids=names(OWN))
def test_imports_go_down(path: Path) -> None:
    """A file imports from its own room and from rooms above it in the table; the narrow ones from less."""
    part, imported = own_part(path), parts_imported(path)
    order = rooms()
    words = set(order[0])
    if part == "__init__":
        allowed = {"context", "controls", "registry", "stats", *words}
    elif part in ("distill", "humaneval"):
        allowed = words | {"release", "model_files", part}
    elif part in ("attest", "model_files"):
        allowed = words | {part}
    elif part == "report":
        allowed = words | {"predicate", part}
    else:
        level = next(number for number, room in enumerate(order) if part in room)
        engines = {"distill", "humaneval", "model_files"}
        allowed = {each for room in order[: level + 1] for each in room}
        allowed = allowed | engines if part in ENGINE_COMMANDS else allowed - engines
    assert imported <= allowed, f"{path.name} imports {sorted(imported - allowed)}"


@pytest.mark.parametrize("path", OWN, ids=names(OWN))
def test_the_harness_knows_no_falsifiers(path: Path) -> None:
    """The built-in ones arrive as anybody's do: by entry point."""
    assert not [module for module in imports(path) if module.split(".")[0] == "refute_falsifiers"]


@pytest.mark.parametrize("path", OWN, ids=names(OWN))
def test_only_the_engines_use_torch(path: Path) -> None:
    """The process that plans, forks falsifiers and judges never loads it."""
    if own_part(path) not in ("distill", "humaneval", "model_files"):
        assert not [module for module in imports(path) if module.split(".")[0] in HEAVY]


@pytest.mark.parametrize("path", FALSIFIERS, ids=names(FALSIFIERS))
def test_falsifiers_import_what_a_user_may(path: Path) -> None:
    """Names of `refute.__all__`, the standard library, numpy: nothing that a third party could not use."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "refute":
            assert {alias.name for alias in node.names} <= set(refute.__all__)
    for module in set(imports(path)) - {f"refute.{name}" for name in refute.__all__}:
        top = module.split(".")[0]
        assert module == "refute" or top in sys.stdlib_module_names | {"numpy"}, f"{path.name} imports {module}"


@pytest.mark.parametrize("path", [*SOURCES, *PROPERTIES], ids=names([*SOURCES, *PROPERTIES]))
def test_files_are_short_and_say_what_they_are(path: Path) -> None:
    """At most 400 lines, a docstring for every module, and one for every public class and function of it."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    public = [
        node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after `statement`."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_plugin_costs_nothing_where_it_is_not_used() -> None:
    """It loads in every pytest run of everyone who installs this."""
    heavy = {*HEAVY, "numpy", "scipy", "pydantic", "yaml", "rich", "typer", "jinja2", "cryptography", "safetensors"}
    assert modules_after("import refute.plugin") & heavy == set()


def test_the_gate_and_the_judge_load_no_torch() -> None:
    """Neither the process that forks falsifiers nor the one that signs."""
    loaded = modules_after(
        "import refute.gate_session, refute.judging, refute.verification, refute._cli\n"
        "from refute.loading import load_registry\nassert load_registry([])"
    )
    assert loaded & set(HEAVY) == set()
    assert "refute_falsifiers" in loaded


def test_the_words_load_nothing() -> None:
    """Plain data: the standard library and each other."""
    statement = "".join(f"import refute.{word}\n" for word in rooms()[0])
    assert modules_after(statement) & {*HEAVY, "numpy", "scipy", "pydantic", "yaml"} == set()
