"""Controls: inputs whose outcome is known in advance, built on a bench and shown to the falsifier first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refute.errors import RegistrationError
from refute.falsifier.context import Context, Evidence, Parameter
from refute.outcome import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray


Content = bytes | str | Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class Bench:
    """Where a control lays out evidence by hand, below a folder that is thrown away afterwards.

    `parameters` are those of the use under test, so that a control can stay on the right side of them;
    `real` is the evidence of the run itself, for controls that tamper with a copy of it.
    """

    folder: Path
    parameters: dict[str, Parameter]
    real: Mapping[str, Evidence]
    _files: dict[str, dict[str, str]] = field(default_factory=dict)

    def put(self, need: str, file: str, content: Content) -> None:
        """Write one file of the evidence `need`: bytes and text as they are, mappings as JSON, rows as JSON Lines."""
        if isinstance(content, bytes):
            data = content
        elif isinstance(content, str):
            data = content.encode("utf-8")
        elif isinstance(content, Mapping):
            data = json.dumps(content, sort_keys=True).encode("utf-8")
        else:
            data = "".join(json.dumps(row, sort_keys=True) + "\n" for row in content).encode("utf-8")
        self._add(need, file, data)

    def put_arrays(self, need: str, file: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write one safetensors file of the evidence `need`."""
        from safetensors.numpy import save

        self._add(need, file, save(dict(arrays)))

    def _add(self, need: str, file: str, data: bytes) -> None:
        path = self.folder / need / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self._files.setdefault(need, {})[file] = hashlib.sha256(data).hexdigest()

    def context(self) -> Context:
        """What the falsifier gets to see: the laid-out evidence only, never the real one."""
        evidence = {
            need: Evidence(need, f"control:{need}", self.folder / need, files)
            for need, files in sorted(self._files.items())
        }
        return Context(self.parameters, evidence)


Build = Callable[[Bench], None]


@dataclass(frozen=True, slots=True)
class Control:
    """A named recipe for evidence and the outcome that it must produce under the thresholds of the spec.

    `raises`: what the falsifier itself may raise where it must refuse (`error`).
    """

    name: str
    expected: Outcome
    build: Build
    raises: tuple[type[Exception], ...] = (Exception,)


def known_good(build: Build, *, name: str = "") -> Control:
    """An input that the falsifier must let stand (`corroborated`)."""
    return _control(build, name, Outcome.CORROBORATED)


def known_bad(build: Build, *, name: str = "") -> Control:
    """An input that the falsifier must refute (`falsified`)."""
    return _control(build, name, Outcome.FALSIFIED)


def known_open(build: Build, *, name: str = "") -> Control:
    """An estimate that decides nothing (`inconclusive`): its value clears the bar, its interval does not."""
    return _control(build, name, Outcome.INCONCLUSIVE)


def known_unusable(
    build: Build, *, name: str = "", raises: type[Exception] | tuple[type[Exception], ...] = Exception
) -> Control:
    """An input that the falsifier must refuse to measure (`error`): incomplete, contradictory or not comparable.

    It refuses by raising an exception of a type in `raises`. One of another type, one out of `build`, and a process
    that dies are no refusals: name the type, and a bug of the falsifier does not pass for its guard.
    """
    types = raises if isinstance(raises, tuple) else (raises,)
    if not types or not all(map(_is_exception, types)):
        raise RegistrationError(f"`raises` must be a type of exception or several, found {raises!r}")
    return replace(_control(build, name, Outcome.ERROR), raises=types)


def _is_exception(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def _control(build: Build, name: str, expected: Outcome) -> Control:
    if not callable(build):
        raise RegistrationError(f"a control is built by a function of a Bench, found {type(build).__name__}")
    label = name.strip() or getattr(build, "__name__", "").strip("_").replace("_", " ")
    if not label or label == "<lambda>":
        raise RegistrationError("a control needs a name: use a named function or `name=`")
    return Control(label, expected, build)
