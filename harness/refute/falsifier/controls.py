"""Controls: inputs whose outcome is known in advance, built on a bench and shown to the falsifier first."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from refute.errors import RegistrationError, UntestableBarError
from refute.falsifier.bench_bar import UNTESTABLE, BenchBar
from refute.falsifier.context import Context, Evidence, Parameter
from refute.falsifier.tables import table_bytes
from refute.outcome import Measurement, Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray


Content = bytes | str | Mapping[str, Any] | Sequence[Mapping[str, Any]]
T = TypeVar("T")

# Once: `json.dumps` makes one for each row that it is to write by other rules than its own.
_JSON = json.JSONEncoder(sort_keys=True)
_NOTHING_WRONG: Mapping[str, float] = MappingProxyType({})


@dataclass(slots=True)
class Bench:
    """Where a control lays out evidence by hand, below a folder that is thrown away afterwards.

    `parameters` are those of the use under test, and `bar(name)` is its bar for a measurement, so that a control stays
    on its side of them wherever they lie; `real` is the evidence of the run itself, for controls that tamper with a
    copy of it.
    """

    folder: Path
    parameters: dict[str, Parameter]
    real: Mapping[str, Evidence]
    bars: Mapping[str, BenchBar] = field(default_factory=dict)
    _files: dict[str, dict[str, str]] = field(default_factory=dict)

    def bar(self, measurement: str) -> BenchBar:
        """What the use under test demands of `measurement`: maybe nothing."""
        return self.bars.get(measurement, BenchBar(measurement))

    def values(
        self,
        right: Mapping[str, float],
        wrong: Mapping[str, float] = _NOTHING_WRONG,
        *,
        low: float = -math.inf,
        high: float = math.inf,
        whole: bool = False,
        clear: bool = False,
    ) -> dict[str, Any]:
        """What each measurement of `right` should come to, so that those in `wrong` fail their bars and no other does.

        The numbers given are taken wherever the bars allow; otherwise others between `low` and `high`, as `BenchBar`
        chooses them. Raises UnbarredError where none of `wrong` has a bar, UntestableBarError where a bar has no value.
        """
        failed = [name for name in wrong if name in self.bars]
        if wrong and not failed:
            self.bar(next(iter(wrong))).failing()
        found: dict[str, Any] = {}
        for name, value in {**right, **wrong}.items():
            find = self.bar(name).failing if name in failed else self.bar(name).holding
            found[name] = find(value, low=low, high=high, whole=whole, clear=clear)
        return found

    def choose(
        self,
        candidates: Iterable[T],
        measure: Callable[[T], Iterable[Measurement]],
        *,
        failing: Collection[str] = (),
        unsure: Collection[str] = (),
    ) -> T:
        """The first candidate whose measurements fail the bars of `failing`, straddle those of `unsure`, clear others.

        For measurements with an interval, or of which one follows from another. A measurement that straddles its bar
        must clear it by its value. Raises as `values` does.
        """
        named = [*failing, *unsure]
        if named and not any(name in self.bars for name in named):
            self.bar(named[0]).failing()
        wanted = dict.fromkeys(failing, Outcome.FALSIFIED) | dict.fromkeys(unsure, Outcome.INCONCLUSIVE)
        seen: set[str] = set()
        for candidate in candidates:
            found = list(measure(candidate))
            if all(self._is(wanted, each) for each in found):
                return candidate
            seen |= {each.name for each in found}
        goal = [f"{name} fail alone" for name in failing] or [f"{name} stay open" for name in unsure] or ["them hold"]
        bars = ", ".join(str(self.bar(name)) for name in sorted(seen & self.bars.keys()))
        message = f"under {bars}, no evidence of this kind can make {' or '.join(goal)}"
        raise UntestableBarError(message, hint=UNTESTABLE)

    def _is(self, wanted: Mapping[str, Outcome], found: Measurement) -> bool:
        bar = self.bar(found.name)
        if bar.threshold is None:
            return True
        outcome = wanted.get(found.name, Outcome.CORROBORATED)
        clears = outcome is not Outcome.INCONCLUSIVE or bar.threshold.holds_if.holds(found.value)
        return bar.outcome(found.value, found.interval) is outcome and clears

    def put(self, need: str, file: str, content: Content) -> None:
        """Write one file of the evidence `need`: bytes and text as they are, mappings as JSON, rows as JSON Lines."""
        if isinstance(content, bytes):
            data = content
        elif isinstance(content, str):
            data = content.encode("utf-8")
        elif isinstance(content, Mapping):
            data = _JSON.encode(content).encode("utf-8")
        else:
            data = "".join(f"{_JSON.encode(row)}\n" for row in content).encode("utf-8")
        self._add(need, file, data)

    def put_arrays(self, need: str, file: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write one safetensors file of the evidence `need`."""
        from safetensors.numpy import save

        self._add(need, file, save(dict(arrays)))

    def put_table(self, need: str, file: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write one table of the evidence `need`: Parquet or Arrow, as its suffix says. Needs the extra `data`."""
        self._add(need, file, table_bytes(file, rows))

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
