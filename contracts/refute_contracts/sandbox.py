"""A program passes by its answers alone, and all that it can say is plain data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from refute.check.contracts.rewrite import Rewrite

if TYPE_CHECKING:
    from refute.engines.humaneval.problems.problems import Problem
    from refute.engines.humaneval.sandbox.stations import Result, Stations

_PARSE = "refute.engines.humaneval.sandbox.station:_parse"
_DECODE = "refute.engines.humaneval.sandbox.wire:_decode_scalar"
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.complex_numbers(allow_nan=False)
)  # fmt: skip
_HASHABLE = st.recursive(_SCALARS, lambda inner: st.tuples(inner) | st.frozensets(inner), max_leaves=4)
VALUES = st.recursive(
    _HASHABLE | st.sets(_HASHABLE),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(_HASHABLE, inner),
    max_leaves=12,
)
# Each of them would pass if a program were asked how it went, and not what it answers.
_DISHONEST = (
    "raise SystemExit(0)",
    "import os; os._exit(0)",
    "class Equal(int):\n  __eq__ = lambda self, other: True\n  __hash__ = int.__hash__\ndef f(n): return Equal(-1)",
    "def f(n): raise AssertionError",
    "def f(n): return None",
    "def check(candidate): pass\ndef f(n): return -1",
    "import sys; sys.modules.clear()\ndef f(n): return -1",
)
_ESCAPES = (
    "import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)",
    "import os; os.fork() or os._exit(0)",
    "import os; os.kill(os.getppid(), 0)",
)


@cache
def stations() -> Stations:
    """One station of the strongest tier, which ends with this process."""
    from refute.engines.humaneval.sandbox.stations import Stations
    from refute.engines.humaneval.sandbox.tiers import probe_isolation

    return Stations(1, probe_isolation(), timeout_s=5.0, memory_mib=512)


def problem(cases: dict[int, int]) -> Problem:
    """To answer each key with its value."""
    from refute.engines.humaneval.problems.problems import Problem

    checks = "".join(f"    assert candidate({key}) == {value}\n" for key, value in cases.items())
    return Problem("contract/0", "def f(n):\n    pass\n", "f", "", f"def check(candidate):\n{checks}")


def judged(cases: dict[int, int], program: str) -> Result:
    """What comes of `program`."""
    return stations().check(problem(cases), program)


CASES = st.dictionaries(st.integers(-9, 9), st.integers(0, 9), min_size=1, max_size=4)


@given(asked=CASES, answers=CASES)
def programs_pass_by_their_answers(asked: dict[int, int], answers: dict[int, int]) -> None:
    """Passed exactly if every answer is the expected one; an answer that is not there is a failure."""
    result = judged(asked, f"def f(n):\n    return {answers!r}[n]\n")
    assert result.passed == (answers | asked == answers)
    assert result.outcome == ("passed" if result.passed else "failed")
    assert judged(asked, f"def f(n):\n    return {asked!r}[n]\n").passed


@given(asked=CASES, program=st.sampled_from(_DISHONEST))
def nothing_else_passes(asked: dict[int, int], program: str) -> None:
    """Ending, lying about equality, putting another check in place: none of it is an answer."""
    result = judged(asked, program)
    assert not result.passed
    assert result.outcome == "failed"


@given(attempt=st.sampled_from(_ESCAPES))
def programs_reach_nothing(attempt: str) -> None:
    """No network, no process, no signal: the attempt raises PermissionError, and the program goes on."""
    program = (
        f"try:\n    {attempt}\nexcept PermissionError:\n    held = 1\nelse:\n    held = 0\ndef f(n): return held\n"
    )
    assert judged({0: 1}, program).passed


@given(outcome=st.sampled_from(["passed", "failed", "timeout", "error", "PASSED"]), token=st.text("ab", max_size=2))
def only_the_judge_is_believed(outcome: str, token: str) -> None:
    """A report counts if it carries the task's token and a known outcome; anything else is an error, no verdict."""
    from refute.engines.humaneval.sandbox.station import _parse

    report = _parse(json.dumps({"outcome": outcome, "detail": "", "token": token}).encode(), "ab")
    believed = token == "ab" and outcome != "PASSED"  # noqa: S105  # no secret
    assert report.outcome == (outcome if believed else "error")


@given(written=st.binary(max_size=12))
def what_is_no_report_is_an_error(written: bytes) -> None:
    """A judge that was killed, or that wrote something else, gave no verdict."""
    from refute.engines.humaneval.sandbox.station import _parse

    assert _parse(written, "ab").outcome == "error"


@given(value=st.integers(-(2**63), 2**63) | st.integers(2**63 + 1, 2**90) | st.floats() | st.sampled_from([0.0, -0.0]))
def numbers_survive_exactly(value: float) -> None:
    """Integers of any size, infinities, NaN, the sign of zero."""
    from refute.engines.humaneval.sandbox.wire import pack, unpack

    assert shape(unpack(pack(value)[4:])) == shape(value)


@given(value=VALUES)
def plain_data_survives_exactly(value: object) -> None:
    """Values and their exact types, down to the sign of zero, come back as they were sent."""
    from refute.engines.humaneval.sandbox.wire import pack, unpack

    assert shape(unpack(pack(value)[4:])) == shape(value)


def shape(value: object) -> object:
    """A value with its exact types spelled out, so that 1, 1.0 and True, and 0.0 and -0.0, differ."""
    if isinstance(value, dict):
        return [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return (type(value), [shape(item) for item in value])
    if isinstance(value, (set, frozenset)):
        return (type(value), sorted(repr(shape(item)) for item in value))
    return (type(value), repr(value))


@contextmanager
def weakest_isolation() -> Iterator[None]:
    """Programs run at the lowest tier, whatever was asked for."""
    from refute.engines.humaneval.sandbox import stations as rooms
    from refute.engines.humaneval.sandbox.tiers import Isolation, jail_for

    stations.cache_clear()
    with mock.patch.object(rooms, "jail_for", return_value=jail_for(Isolation.RLIMITS)):
        try:
            yield
        finally:
            stations().__exit__(None, None, None)
            stations.cache_clear()


_CHECK = "refute.engines.humaneval.sandbox.stations:Stations.check"
failures_pass = Rewrite(_CHECK, {'report.outcome == "passed"': 'report.outcome in ("passed", "failed")'})
prompt_in_place_of_the_program = Rewrite(_CHECK, {"problem.entry_point, program,": "problem.entry_point, prompt,"})
token_not_compared = Rewrite(_PARSE, {"seen != token or": ""})
silence_passes = Rewrite(
    _PARSE, {'JudgeMessage("error", "the judge ended without a verdict")': 'JudgeMessage("passed", "")'}
)
tuples_become_lists = Rewrite(
    "refute.engines.humaneval.sandbox.wire:_encode_container", {'return ["t", ': 'return ["l", '}
)
large_integers_rounded = Rewrite(_DECODE, {"int(text, 16)": "int(float(int(text, 16)))"})
sign_of_zero_lost = Rewrite(
    "refute.engines.humaneval.sandbox.wire:encode", {"else float(text)": "else float(text) + 0.0"}
)
