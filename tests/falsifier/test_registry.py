"""Declarations are checked when they are made: every way to get one wrong is an error that names the falsifier."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from refute import Bench, Context, Control, Measurement, Outcome, falsifier, known_bad, known_good
from refute.errors import LoadingError, RegistrationError
from refute.falsifier.registry import Registry


def fine(bench: Bench) -> None:
    """A good one."""


def broken(bench: Bench) -> None:
    """A bad one."""


def measure(context: Context) -> Iterator[Measurement]:
    """Refuted when the count is not zero."""
    yield Measurement("count", 0, "files", n=1)


def declare(function: Any = measure, **changes: Any) -> None:
    """A right declaration with `changes`, of a fresh function so that the marks of one test do not reach another."""
    name = changes.pop("name", "a-count")
    arguments: dict[str, Any] = {
        "needs": ("corpus",),
        "measures": {"count": "files"},
        "controls": (known_good(fine), known_bad(broken)),
        **changes,
    }

    def fresh(context: Context) -> Iterator[Measurement]:
        """Refuted when the count is not zero."""
        return measure(context)

    falsifier(name, **arguments)(fresh if function is measure else function)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "A-Count"}, "lower-case words"),
        ({"name": "a--count"}, "lower-case words"),
        ({"name": "a-count\n"}, "lower-case words"),
        ({"name": ""}, "lower-case words"),
        ({"needs": ()}, "cannot be empty"),
        ({"needs": "corpus"}, "must list the evidence"),
        ({"measures": {}}, "`measures` must map"),
        ({"measures": {"count": ""}}, "unit without spaces, found ''"),
        ({"measures": {"count": "two words"}}, "found 'two words'"),
        ({"measures": {"count": " files"}}, "found ' files'"),
        ({"measures": {"count": None}}, "found None"),
        ({"measures": {"count": 7}}, "found 7"),
        ({"parameters": {"step": None}}, "parameter 'step' needs a default"),
        ({"parameters": {"step": [1]}}, "parameter 'step' needs a default"),
        ({"controls": ()}, "no known_good control.*no known_bad control"),
        ({"controls": (known_good(fine),)}, "no known_bad control: a check counts only if"),
        ({"controls": (known_bad(broken),)}, "no known_good control"),
        ({"controls": (known_good(fine), broken)}, "made with known_good"),
        ({"controls": (known_good(fine), known_bad(fine))}, "same name"),
        ({"controls": (Control("x", Outcome.INCONCLUSIVE, fine), known_good(fine))}, "no known_bad"),
    ],
)
def test_a_wrong_declaration_is_refused(changes: dict[str, Any], message: str) -> None:
    """Each fault is named, with the falsifier and its file."""
    with pytest.raises(RegistrationError, match=f"(?s)falsifier .* \\(test_registry.py, function .*{message}"):
        declare(**changes)


def test_all_faults_are_told_at_once() -> None:
    """Nobody repairs a declaration one error at a time."""
    with pytest.raises(RegistrationError, match=r"lower-case.*`needs`.*`measures`.*known_good.*known_bad"):
        declare(name="X", needs=(), measures={}, controls=())


def no_argument() -> Iterator[Measurement]:
    """Takes nothing."""
    yield from ()


def two_arguments(context: Context, more: int) -> Iterator[Measurement]:
    """Takes too much."""
    yield from ()


def by_keyword(*, context: Context) -> Iterator[Measurement]:
    """Cannot be called with the context."""
    yield from ()


@pytest.mark.parametrize("function", [no_argument, two_arguments, by_keyword])
def test_the_function_must_take_the_context(function: Callable[..., Any]) -> None:
    """A function that cannot be called with one argument fails when it is declared, not when it is run."""
    with pytest.raises(RegistrationError, match="exactly one argument, the Context"):
        declare(function)


def test_the_function_needs_a_docstring() -> None:
    """What would refute the criterion must be written down."""

    def silent(context: Context) -> Iterator[Measurement]:
        yield from ()

    with pytest.raises(RegistrationError, match="needs a docstring"):
        declare(silent)


def test_a_function_without_a_file_is_refused() -> None:
    """A record carries the digest of the code: code that is in no file cannot be told apart."""
    namespace: dict[str, Any] = {}
    exec("def measure(context):\n    'Refuted by nothing.'\n    return ()", namespace)  # noqa: S102  # the case at hand
    with pytest.raises(RegistrationError, match="must be defined in a file"):
        declare(namespace["measure"])
    with pytest.raises(RegistrationError, match="must be defined in a file"):
        declare(functools.partial(measure))


@pytest.mark.parametrize("typo", ["control", "need", "measure", "threshold"])
def test_an_unknown_keyword_is_an_error(typo: str) -> None:
    """A misspelt keyword never passes silently."""
    with pytest.raises(TypeError, match=typo):
        declare(**{typo: ()})


SOURCE = '''
from refute import Context, Measurement, falsifier, known_bad, known_good

class Proxy:
    """Answers to every name, as lazy imports and mocks do."""
    def __getattr__(self, name):
        raise RuntimeError("not bound")

anything = Proxy()

def good(bench): ...
def bad(bench): ...

@falsifier("first", needs=("corpus",), measures={"count": "files"}, controls=(known_good(good), known_bad(bad)))
def first(context):
    """Refuted by a count."""
    return ()

alias = first
'''


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., ModuleType]:
    """Imports a file of the given source, each time as a new module."""

    def load(source: str = SOURCE, name: str = "mine") -> ModuleType:
        path = tmp_path / f"{name}.py"
        path.write_text(source, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_registry_finds_the_falsifiers_of_a_module_once(load: Callable[..., ModuleType]) -> None:
    """An alias is no second falsifier, and objects that answer to any name are passed over."""
    registry = Registry()
    assert registry.add_from(vars(load())) > 0
    assert list(registry) == ["first"]
    assert len(registry) == 1
    with pytest.raises(KeyError):
        registry["second"]


def test_code_is_the_digest_of_what_was_loaded(load: Callable[..., ModuleType]) -> None:
    """Changing or deleting the file after it was loaded does not change what a record says of the code."""
    registry = Registry()
    module = load()
    registry.add_from(vars(module))
    found = registry["first"]
    assert found.code == hashlib.sha256(SOURCE.encode()).hexdigest()
    found.file.unlink()
    assert registry["first"].code == hashlib.sha256(SOURCE.encode()).hexdigest()


def test_two_of_one_name_are_an_error_from_two_files(load: Callable[..., ModuleType]) -> None:
    """Neither replaces the other; both files are named."""
    registry = Registry()
    registry.add_from(vars(load(name="one")))
    with pytest.raises(LoadingError, match=r"two falsifiers are called 'first'.*one\.py.*two\.py"):
        registry.add_from(vars(load(name="two")))


def test_two_declarations_of_one_function_under_one_name_are_an_error(load: Callable[..., ModuleType]) -> None:
    """The same function declared twice may differ in its controls: that is no alias."""
    again = SOURCE.replace("alias = first", 'falsifier("first", needs=("x",), measures={"n": "m"}, '
                           "controls=(known_good(good), known_bad(bad)))(first)")  # fmt: skip
    with pytest.raises(LoadingError, match="two falsifiers are called 'first'"):
        Registry().add_from(vars(load(again)))


def test_one_function_may_serve_two_names(load: Callable[..., ModuleType]) -> None:
    """Stacked declarations are two falsifiers."""
    again = SOURCE.replace("alias = first", 'falsifier("second", needs=("x",), measures={"n": "m"}, '
                           "controls=(known_good(good), known_bad(bad)))(first)")  # fmt: skip
    registry = Registry()
    registry.add_from(vars(load(again)))
    assert list(registry) == ["first", "second"]


def test_the_declaration_keeps_its_own_copies() -> None:
    """What a caller does with its dictionaries afterwards changes no falsifier."""
    measures, parameters = {"count": "files"}, {"step": 100}

    def counted(context: Context) -> Iterator[Measurement]:
        """Refuted by a count."""
        yield from ()

    declare(counted, measures=measures, parameters=parameters)
    measures["count"] = "lines"
    parameters["step"] = 0
    registry = Registry()
    registry.add_from({"counted": counted})
    assert (registry["a-count"].measures, registry["a-count"].parameters) == ({"count": "files"}, {"step": 100})
