"""The house as ARCHITECTURE.md draws it: rooms are folders, imports go one way, files are short, an import is cheap."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import refute
from refute.falsifier.helpers import helpers_of

ROOT = Path(__file__).parents[1]
HARNESS = ROOT / "harness" / "refute"
SOURCES = sorted([*HARNESS.rglob("*.py"), *(ROOT / "falsifiers").rglob("*.py")])
PROPERTIES = sorted((ROOT / "contracts").rglob("*.py"))
HEAVY = ("torch", "transformers", "accelerate", "gguf", "tokenizers")
# Rooms from the ground up; those of one floor do not import each other. ARCHITECTURE.md says the same in one line.
FLOORS = (
    ("errors", "outcome", "job", "escaping", "disk", "output", "interrupt", "isolation", "problem_rows"),
    ("attest",),
    ("spec",),
    ("stats", "engines", "auditors", "falsifier"),
    ("evidence",),
    ("lock",),
    ("judge",),
    ("report", "verify"),
    ("check",),
    ("gate",),
    ("cli",),
)
WORDS = FLOORS[0]
# Who stands outside the floors: public faces of engines, pytest's hook, `python -m refute`.
FACES = {
    "distill": {"engines"},
    "humaneval": {"engines"},
    "plugin": {"errors", "gate", "interrupt", "output"},
    "__main__": {"cli"},
    "__init__": {"errors", "outcome", "stats", "falsifier"},
}
# The only rooms outside the engines that may import them: they let people use an engine without a release.
ENGINE_COMMANDS = ("cli/eval", "cli/distill", "cli/model", "cli/publish")
MOST_ENTRIES = 15
# The scaffold's example is a user's file that lies here: it is held to what a user may import.
OWN = [path for path in SOURCES if path.is_relative_to(HARNESS) and "example" not in path.parts]
FALSIFIERS = [path for path in SOURCES if path not in OWN]


@cache
def tree_of(path: Path) -> ast.Module:
    """A file, parsed."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Every module that a file imports, wherever in it, also for type checking alone."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            # `from refute.spec import policy` names a module, `from refute.spec import Spec` does not.
            for alias in node.names:
                inner = HARNESS.parent / Path(*node.module.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def room(path: Path) -> str:
    """The module or folder of refute that a file is, or is in."""
    return path.relative_to(HARNESS).parts[0].removesuffix(".py")


def modules_imported(path: Path) -> set[str]:
    """The modules of refute that a file imports, as dotted names below `refute`; its own room's among them."""
    return {module.removeprefix("refute.") for module in imports(path) if module.startswith("refute.")}


def rooms_imported(path: Path) -> set[str]:
    """The rooms of refute that a file imports from, without its own."""
    return {module.split(".")[0] for module in modules_imported(path)} - {room(path)}


def floor_of(part: str) -> int:
    """The floor on which a room lies."""
    return next(number for number, floor in enumerate(FLOORS) if part in floor)


def test_every_room_has_its_floor() -> None:
    """Nothing lies in the house that the floors do not know, and they name nothing that is not there."""
    known = [part for floor in FLOORS for part in floor] + list(FACES)
    assert sorted(known) == sorted({room(path) for path in OWN})


def faults(found: dict[Path, set[str]]) -> dict[str, list[str]]:
    """By file what a rule does not allow there; of files without a fault, nothing."""
    return {str(path.relative_to(ROOT)): sorted(wrong) for path, wrong in found.items() if wrong}


def rooms_allowed(path: Path) -> set[str]:
    """Its own room's floors below; engines only for their commands, auditors never."""
    part = room(path)
    if part in FACES:
        return FACES[part]
    if part in WORDS:
        return set(WORDS)
    below = {each for floor in FLOORS[: floor_of(part)] for each in floor} - {"engines", "auditors"}
    return below | {"engines"} if path.relative_to(HARNESS).as_posix().startswith(ENGINE_COMMANDS) else below


@pytest.mark.slow
def test_imports_go_down() -> None:
    """A file imports from its own room and from floors below."""
    assert faults({path: rooms_imported(path) - rooms_allowed(path) for path in OWN}) == {}


def test_engines_know_no_other_engine() -> None:
    """All of them may open models (`engines/model`); nothing else of another engine is known to one."""

    def others(path: Path) -> set[str]:
        engine = path.relative_to(HARNESS).parts[1]
        return {m.split(".")[1] for m in modules_imported(path) if m.startswith("engines.")} - {engine, "model"}

    inside = [path for path in OWN if room(path) == "engines" and len(path.relative_to(HARNESS).parts) > 2]
    assert inside
    assert faults({path: others(path) for path in inside}) == {}


def test_the_audit_of_humaneval_knows_nothing_of_what_it_audits() -> None:
    """Code that asks, stops, assembles and executes twice must not share a fault with itself."""
    audit = HARNESS / "engines" / "humaneval" / "audit"
    known = {module for path in audit.glob("*.py") for module in modules_imported(path)}
    assert {module for module in known if module.startswith("engines.")} == {
        module for module in known if module.startswith("engines.humaneval.audit.")
    }


def test_no_circle() -> None:
    """Modules import each other in one direction only, whatever the room; what is only for types counts, too."""
    files = {".".join(path.relative_to(HARNESS).with_suffix("").parts).removesuffix(".__init__"): path for path in OWN}
    arrows = {name: {each for each in modules_imported(path) if each in files} for name, path in files.items()}
    finished: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in finished:
            for each in sorted(arrows[name]):
                visit(each, (*trail, name))
            finished.add(name)

    for name in sorted(files):
        visit(name, ())


def test_rooms_are_not_crowded() -> None:
    """A reader takes in a folder at one look."""
    folders = {path.parent for path in OWN}
    crowded = {
        str(folder.relative_to(ROOT)): len(entries)
        for folder in folders
        if len(entries := [each for each in folder.iterdir() if each.name not in ("__pycache__", "__init__.py")])
        > MOST_ENTRIES
        and folder != HARNESS
    }
    assert crowded == {}


def test_the_harness_knows_no_falsifiers() -> None:
    """The built-in ones arrive as anybody's do: by entry point."""
    assert faults({path: {m for m in imports(path) if m.split(".")[0] == "refute_falsifiers"} for path in OWN}) == {}


def test_only_engines_and_auditors_use_torch() -> None:
    """The process that plans, forks falsifiers and judges never loads it."""
    others = [path for path in OWN if room(path) not in ("engines", "auditors")]
    assert faults({path: {m for m in imports(path) if m.split(".")[0] in HEAVY} for path in others}) == {}


@pytest.mark.slow
def test_falsifiers_import_what_a_user_may() -> None:
    """Names of `refute.__all__`, the standard library, numpy, helpers beside them: nothing that others cannot use."""

    def more(path: Path) -> set[str]:
        nodes = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.ImportFrom)]
        names = {alias.name for node in nodes if node.module == "refute" for alias in node.names}
        modules = set(imports(path)) - {f"refute.{name}" for name in refute.__all__} - {"refute"}
        package = ".".join(path.parent.parts[path.parent.parts.index("falsifiers") + 1 :])
        modules -= {f"{package}.{helper}" for helper in helpers_of(path)}
        foreign = {each for each in modules if each.split(".")[0] not in sys.stdlib_module_names | {"numpy"}}
        return names - set(refute.__all__) | foreign

    assert FALSIFIERS
    assert faults({path: more(path) for path in FALSIFIERS}) == {}


def test_files_are_short_and_say_what_they_are() -> None:
    """At most 400 lines, a docstring for every module, and one for every public class and function of it."""

    def missing(path: Path) -> set[str]:
        long = {"over 400 lines"} if len(path.read_text(encoding="utf-8").splitlines()) > 400 else set()
        public = [
            node
            for node in tree_of(path).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        ]
        return (
            long
            | {node.name for node in public if not ast.get_docstring(node)}
            | (set() if ast.get_docstring(tree_of(path)) else {"the module's docstring"})
        )

    assert faults({path: missing(path) for path in (*SOURCES, *PROPERTIES)}) == {}


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after `statement`."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.slow
def test_the_plugin_costs_nothing_where_it_is_not_used() -> None:
    """It loads in every pytest run of everyone who installs this."""
    heavy = {*HEAVY, "numpy", "scipy", "pydantic", "yaml", "rich", "typer", "jinja2", "cryptography", "safetensors"}
    assert modules_after("import refute.plugin") & heavy == set()


@pytest.mark.slow
def test_the_gate_and_the_judge_load_no_torch() -> None:
    """Neither the process that forks falsifiers nor the one that signs."""
    loaded = modules_after(
        "import refute.gate.session, refute.judge.judge_run, refute.verify.verification, refute.cli.app\n"
        "from refute.falsifier.loading import load_registry\nassert load_registry([])"
    )
    assert loaded & set(HEAVY) == set()
    assert "refute_falsifiers" in loaded


def test_the_words_load_nothing() -> None:
    """Plain data: the standard library and each other."""
    statement = "".join(f"import refute.{word}\n" for word in WORDS)
    assert modules_after(statement) & {*HEAVY, "numpy", "scipy", "pydantic", "yaml"} == set()
