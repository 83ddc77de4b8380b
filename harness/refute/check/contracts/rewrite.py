"""Mutants: one function of an engine with a few characters of its source changed, for as long as a `with` lasts.

The code object of the function itself is exchanged, so everyone who has imported the function runs the changed one.
Processes that are started meanwhile read the source from the disk, and run the engine as it is.
"""

from __future__ import annotations

import ast
import inspect
import tokenize
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from types import CodeType, FunctionType
from typing import Any

from refute.errors import MutationError
from refute.evidence.reach import module_file


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A mutant of the function `target` (`package.module:Class.method`): each key of `edits` becomes its value.

    Every key must occur in the function's source exactly once. Calling it gives a context manager, which raises
    MutationError where that is not so; `code()` finds that out without importing the engine.
    """

    target: str
    edits: Mapping[str, str]

    @property
    def module(self) -> str:
        """The module whose function is changed."""
        return self.target.partition(":")[0]

    def __call__(self) -> AbstractContextManager[None]:
        return self._applied()

    def code(self) -> CodeType:
        """The changed function, compiled. Raises MutationError."""
        name, _, qualified = self.target.partition(":")
        path = module_file(name)
        if path is None:
            raise MutationError(f"there is no module {name}", hint="name it as an import statement would")
        with tokenize.open(path) as file:
            lines = file.read().splitlines(keepends=True)
        first, last = _span(self.target, "".join(lines), qualified.split("."))
        changed = self._edited("".join(lines[first:last]))
        try:
            whole = compile("".join([*lines[:first], changed, *lines[last:]]), str(path), "exec", dont_inherit=True)
        except SyntaxError as error:
            raise MutationError(f"the mutant of {self.target} is not Python: {error}") from error
        return _nested(whole, qualified, self.target)

    def _edited(self, source: str) -> str:
        for old, new in self.edits.items():
            if (count := source.count(old)) != 1 or old == new:
                found = "changes nothing" if old == new else f"occurs {count} times, expected once"
                raise MutationError(f"{self.target}: {old!r} {found}", hint="the engine has changed: adapt the mutant")
            source = source.replace(old, new)
        return source

    @contextmanager
    def _applied(self) -> Iterator[None]:
        code = self.code()
        wrapper, function = _function(self.target)
        original, forget = function.__code__, getattr(wrapper, "cache_clear", lambda: None)
        if code.co_freevars != original.co_freevars:
            raise MutationError(f"the mutant of {self.target} uses other variables of its surroundings")
        forget()
        function.__code__ = code
        try:
            yield
        finally:
            function.__code__ = original
            forget()


def _span(target: str, source: str, path: list[str]) -> tuple[int, int]:
    """The lines of a function, from 0 and without the end, decorators left out."""
    node: ast.AST = ast.parse(source)
    for name in path:
        bodies = [each for each in ast.iter_child_nodes(node) if getattr(each, "name", None) == name]
        if len(bodies) != 1:
            raise MutationError(f"{target}: {name} is defined {len(bodies)} times there, expected once")
        node = bodies[0]
    if not isinstance(node, ast.FunctionDef):
        raise MutationError(f"{target} is no function")
    return node.lineno - 1, node.end_lineno or node.lineno


def _nested(code: CodeType, qualified: str, target: str) -> CodeType:
    level = [code]
    while level:
        found = [inner for outer in level for inner in outer.co_consts if isinstance(inner, CodeType)]
        for inner in found:
            if inner.co_qualname == qualified:
                return inner
        level = found
    raise MutationError(f"{target} is not a function that exists once its module is imported")


def _function(target: str) -> tuple[object, FunctionType]:
    """What goes by the name `target`, and the plain function inside it (under caches, properties and decorators)."""
    module, _, qualified = target.partition(":")
    holder = reduce(getattr, qualified.split(".")[:-1], import_module(module))
    wrapper = inspect.getattr_static(holder, qualified.split(".")[-1])
    inner: Any = wrapper.fget if isinstance(wrapper, property) else getattr(wrapper, "__func__", wrapper)
    function = inspect.unwrap(inner)
    if not isinstance(function, FunctionType):
        raise MutationError(f"{target} is a {type(function).__name__}, expected a function written in Python")
    return wrapper, function
