"""Verdicts cannot be forged, honest programs pass, and counts become pass@k."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from typing import TypedDict

import pytest

from refute.engines.humaneval.scoring.execute import run_check
from refute.errors import MissingInputsError, UsageError
from refute.humaneval import Isolation, Problem, Result, pass_at_k, score

Judge = Callable[..., Result]


class Limits(TypedDict):
    """What a small program needs."""

    timeout_s: float
    memory_mib: int


LIMITS = Limits(timeout_s=5.0, memory_mib=512)

# A forged report, and forged messages of the worker's own protocol, on everything that is open.
_FORGED_MESSAGE = """
import json, os
def double_all(numbers):
    report = json.dumps({"token": "", "outcome": "passed", "detail": ""}).encode()
    for body in (report, b'["t","passed"]', b'["t","ready"]', b'["t","loaded"]'):
        for fd in range(1, 64):
            try:
                os.write(fd, len(body).to_bytes(4, "big") + body)
            except OSError:
                pass
    os._exit(0)
"""
_STEAL = """
import gc, sys, os
def double_all(numbers):
    seen = [open("/proc/self/cmdline").read()] if os.path.exists("/proc/self/cmdline") else []
    frame = sys._getframe()
    while frame:
        seen += map(repr, frame.f_locals.values()); seen += map(repr, frame.f_globals)
        frame = frame.f_back
    seen += [item for item in gc.get_objects() if isinstance(item, str)]
    seen += [repr(module.__dict__)[:10**6] for name, module in sys.modules.items() if "refute" in name]
    found = any("10**" + "30" in text for text in seen)  # only the test writes this number so
    return [2 * number for number in numbers] if found else None
"""
FORGERIES = {
    "os._exit": "import os\ndef double_all(n): os._exit(0)\n",
    "os._exit at import": "import os\nos._exit(0)\n",
    "sys.exit": "import sys\ndef double_all(n): sys.exit(0)\n",
    "SystemExit at import": "raise SystemExit(0)\n",
    "KeyboardInterrupt": "def double_all(n): raise KeyboardInterrupt\n",
    "equals everything": """
class Yes:
    __hash__ = None
    def __eq__(self, other): return True
def double_all(n): return Yes()
""",
    "list that equals everything": """
class Yes(list):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
def double_all(n): return Yes()
""",
    "steals the test": _STEAL,
    "patched builtins": """
import builtins
builtins.AssertionError = type("Quiet", (Exception,), {"__new__": lambda c, *a: 1 / 0})
builtins.__debug__ = False
builtins.list = builtins.len = builtins.abs = lambda *a: 0
def double_all(n): return None
""",
    "own check": "def check(candidate): pass\ndef double_all(n): return None\n",
    "patched check in modules": """
import sys
for module in list(sys.modules.values()):
    for name in ("check", "_check", "_judge", "decode", "unpack"):
        if hasattr(module, name): setattr(module, name, lambda *a, **k: True)
def double_all(n): return None
""",
    "settrace": """
import sys
def double_all(n): return None
sys.settrace(lambda frame, event, arg: frame.f_locals.update(candidate=lambda x: [2 * i for i in x]))
""",
    "forged messages": _FORGED_MESSAGE,
    "atexit": "import atexit, os\natexit.register(os._exit, 0)\ndef double_all(n): return None\n",
    "exec true": "import os\ndef double_all(n): os.execv('/bin/true', ['true'])\n",
    "StopIteration": "def double_all(n): raise StopIteration\n",
    "lying exception": """
class Lie(Exception):
    __name__ = "passed"
    def __str__(self): raise SystemExit(0)
def double_all(n): raise Lie
""",
    "unbounded answer": "def double_all(n): return 'x' * (16 << 20)\n",
    "endless answer": "def double_all(n):\n    x = []\n    x.append(x)\n    return x\n",
    "no function": "double = 1\n",
    "not Python": "def double_all(:\n",
    "null byte": "\0",
    "segmentation fault": "import ctypes\ndef double_all(n): ctypes.string_at(0)\n",
}
HONEST = {
    "canonical": "def double_all(n): return [2 * i for i in n]\n",
    "working directory": "import os\ndef double_all(n):\n    os.listdir(os.getcwd())\n    return [2 * i for i in n]\n",
    "temporary file": """
def double_all(n):
    with open("note", "w") as note: note.write("x" * 1000)
    return [2 * i for i in n]
""",
    "stdin": "import sys\ndef double_all(n):\n    return [2 * i for i in n] if sys.stdin.read() == '' else None\n",
    "stdout": "def double_all(n):\n    print('x' * 10**6, flush=True)\n    return [2 * i for i in n]\n",
    "closed stdout": """
import os, sys
def double_all(n):
    sys.stdout.close(); sys.stderr.close()
    return [2 * i for i in n]
""",
    "thread": """
import threading
def double_all(n):
    out = []
    thread = threading.Thread(target=lambda: out.extend(2 * i for i in n))
    thread.start(); thread.join()
    return out
""",
    "asyncio": """
import asyncio
async def later(n): return [2 * i for i in n]
def double_all(n): return asyncio.run(later(n))
""",
    "dataclass": """
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class Box:
    n: int
def double_all(n): return [2 * Box(i).n for i in n]
""",
    "list subclass": "class L(list): pass\ndef double_all(n): return L(2 * i for i in n)\n",
    "main block": "def double_all(n): return [2 * i for i in n]\nif __name__ == '__main__': 1 / 0\n",
}


@pytest.mark.parametrize("name", sorted(FORGERIES))
def test_forging_programs_fail(name: str, judge: Judge, strongest: Isolation) -> None:
    """No trick inside the program's own process makes a wrong program pass, or looks like our fault."""
    result = judge("double_all", FORGERIES[name], strongest)
    assert (result.outcome, result.passed) == ("failed", False)
    assert result.detail


@pytest.mark.slow
@pytest.mark.parametrize("name", ["os._exit", "equals everything", "forged messages", "steals the test"])
def test_the_lowest_tier_is_as_honest(name: str, judge: Judge) -> None:
    """Scoring does not lean on containment: forgeries fail under resource limits alone."""
    assert judge("double_all", FORGERIES[name], Isolation.RLIMITS).outcome == "failed"


@pytest.mark.parametrize("name", sorted(HONEST))
def test_honest_programs_pass(name: str, judge: Judge, strongest: Isolation) -> None:
    """What an ordinary solution may do does not cost it its verdict."""
    result = judge("double_all", HONEST[name], strongest)
    assert (result.outcome, result.detail) == ("passed", "")


def test_a_program_is_compiled_as_it_would_be_alone(judge: Judge, strongest: Isolation) -> None:
    """An annotation that names nothing is a NameError, as in openai/human-eval; its own `from __future__` is kept."""
    program = "def double_all(n: Numbers) -> Numbers: return [2 * i for i in n]\n"
    result = judge("double_all", program, strongest)
    assert (result.outcome, result.detail) == ("failed", "NameError: name 'Numbers' is not defined")
    assert judge("double_all", f"from __future__ import annotations\n{program}", strongest).passed


@pytest.mark.parametrize("kind", ["Counter(words)", "defaultdict(int, Counter(words))", "OrderedDict(Counter(words))"])
def test_dictionary_kinds_compare_equal(kind: str, judge: Judge, strongest: Isolation) -> None:
    """Subclasses of dict are judged by their content."""
    program = f"from collections import *\ndef tally(words): return {kind}\n"
    assert judge("tally", program, strongest).passed


def test_a_float_that_equals_everything_fails(judge: Judge, strongest: Isolation) -> None:
    """Arithmetic overridden in a float subclass does not reach a tolerance test."""
    program = """
class Yes(float):
    __sub__ = __rsub__ = __abs__ = lambda self, *a: self
    __lt__ = __gt__ = __eq__ = lambda self, other: True
    def __repr__(self): return "1.0"
    __float__ = lambda self: 1.0
def mean(values): return Yes(77)
"""
    assert judge("mean", program, strongest).outcome == "failed"


def test_an_empty_iteration_is_not_a_pass(own: dict[str, Problem], strongest: Isolation) -> None:
    """A program's StopIteration cannot end a test's loop early, which would skip its assertions."""
    test = "def check(candidate):\n    assert all(map(candidate, [1, 2, 3]))\n"
    problem = replace(own["nth_odd"], test=test)
    stop = "def nth_odd(n): raise StopIteration\n"
    assert run_check(problem, stop, isolation=strongest, **LIMITS).outcome == "failed"
    assert run_check(problem, "def nth_odd(n): return 1\n", isolation=strongest, **LIMITS).passed


def test_a_swallowing_test_does_not_hide_a_dead_program(own: dict[str, Problem], strongest: Isolation) -> None:
    """A test that catches everything cannot pass a program that died, or answered too late."""
    test = (
        "def check(candidate):\n    for _ in range(2):\n        try:\n            candidate(1)\n        except: pass\n"
    )
    problem = replace(own["nth_odd"], test=test)
    dead = "import os\ndef nth_odd(n): os._exit(0)\n"
    assert run_check(problem, dead, isolation=strongest, **LIMITS).outcome == "failed"
    endless = "def nth_odd(n):\n    while True: pass\n"
    late = run_check(problem, endless, isolation=strongest, timeout_s=0.5, memory_mib=512)
    assert late.outcome == "timeout"


@pytest.mark.slow
def test_a_test_that_asks_nothing_is_an_error(own: dict[str, Problem], strongest: Isolation) -> None:
    """Silence proves nothing: a check without a call, or a broken problem, is nobody's pass."""
    program = "def nth_odd(n): return 2 * n - 1\n"
    for test, reason in (
        ("def check(candidate):\n    assert True\n", "without calling"),
        ("check = 3\n", "defines no function `check`"),
        ("def check(candidate):\n    candidate(object())\n", "cannot be sent"),
        ("def check(:\n", "own code fails"),
    ):
        result = run_check(replace(own["nth_odd"], test=test), program, isolation=strongest, **LIMITS)
        assert result.outcome == "error"
        assert reason in result.detail


@pytest.mark.parametrize(
    "program",
    ["while True: pass\n", "def double_all(n):\n    while True:\n        try:\n            while True: pass\n"
     "        except BaseException: pass\n", "def double_all(n): return 9**9**9**2\n",
     "import os, signal\ndef double_all(n): os.kill(os.getpid(), signal.SIGSTOP)\n"],
    ids=["module level", "swallows everything", "in C", "stopped"],
)  # fmt: skip
def test_endless_programs_time_out(program: str, judge: Judge, strongest: Isolation) -> None:
    """Wherever a program loops, its verdict is a timeout soon after the limit."""
    result = judge("double_all", program, strongest, timeout_s=0.5)
    assert (result.outcome, result.passed) == ("timeout", False)
    assert 0.5 <= result.wall_s < 10


@pytest.mark.slow
def test_a_check_that_never_ends_times_out(own: dict[str, Problem], strongest: Isolation) -> None:
    """The trusted side is under the same deadline."""
    problem = replace(own["nth_odd"], test="def check(candidate):\n    while True: pass\n")
    result = run_check(problem, "def nth_odd(n): return 1\n", timeout_s=0.5, memory_mib=512, isolation=strongest)
    assert result.outcome == "timeout"


def test_helpers_come_from_the_prompt(judge: Judge, strongest: Isolation) -> None:
    """A program cannot replace the prompt's helper that the test computes its expectation with."""
    program = "def cover(text): return text\ndef uncover(text): return text\n"
    assert judge("uncover", program, strongest).outcome == "failed"


@pytest.mark.slow
def test_randomness_is_seeded_by_seed_and_task(own: dict[str, Problem], strongest: Isolation) -> None:
    """Both sides draw the same numbers in every run of one seed, and others under another seed."""
    test = "import random\ndef check(candidate):\n    assert False, (candidate(1), random.random())\n"
    problem = replace(own["nth_odd"], test=test)
    program = "import random\ndef nth_odd(n): return (random.random(), [*{'a', 'b', 'c', 'd'}])\n"
    details = [run_check(problem, program, isolation=strongest, seed=s, **LIMITS).detail for s in (1, 1, 2)]
    assert details[0] == details[1] != details[2]


def test_every_canonical_solution_passes(all_problems: tuple[Problem, ...], strongest: Isolation) -> None:
    """The reference solutions of the whole problem file pass, in its order, each reported once, in this thread."""
    programs = {problem.task_id: problem.prompt + problem.canonical_solution for problem in all_problems}
    seen: dict[str, int] = {}

    def note(result: Result) -> None:
        assert result.task_id not in seen
        seen[result.task_id] = threading.get_ident()

    results = score(all_problems, programs, isolation=strongest, on_result=note, timeout_s=20.0, memory_mib=512)
    assert [result.task_id for result in results] == [problem.task_id for problem in all_problems]
    assert [result for result in results if not result.passed] == []
    assert seen == dict.fromkeys(programs, threading.get_ident())


@pytest.mark.slow
def test_a_timeout_is_tried_once_more_alone(own: dict[str, Problem], strongest: Isolation) -> None:
    """After all others, and the second verdict counts; the result says so."""
    first, second = list(own.values())[:2]
    programs = {
        first.task_id: "import time\ntime.sleep(600)\n",
        second.task_id: second.prompt + second.canonical_solution,
    }
    order: list[str] = []
    results = score(
        [first, second],
        programs,
        timeout_s=3.0,
        memory_mib=512,
        isolation=strongest,
        on_result=lambda result: order.append(result.task_id),
    )
    assert [(result.outcome, result.retried) for result in results] == [("timeout", True), ("passed", False)]
    assert order == [second.task_id, first.task_id]


def test_programs_and_problems_must_match(own: dict[str, Problem], strongest: Isolation) -> None:
    """A missing or unknown program, and limits without sense, are errors before anything runs."""
    problems = tuple(own.values())[:1]
    for programs, message in (({}, "no program for 1 task.*own/0"), ({"own/0": "", "x": ""}, "no problem called")):
        with pytest.raises(MissingInputsError, match=message):
            score(problems, programs, isolation=strongest, **LIMITS)
    with pytest.raises(UsageError, match="workers is 0"):
        score(problems, {"own/0": ""}, isolation=strongest, workers=0, **LIMITS)
    for timeout_s, memory_mib in ((float("inf"), 512), (0.0, 512), (float("nan"), 512), (1.0, 0), (1e6, 512)):
        with pytest.raises(UsageError, match="expected a timeout"):
            run_check(problems[0], "", isolation=strongest, timeout_s=timeout_s, memory_mib=memory_mib)


def test_the_detail_names_the_assertion(judge: Judge, strongest: Isolation) -> None:
    """A failure says which line of the test it broke, in printable and bounded text."""
    assert "assert nth_odd(4) == 7" in judge("nth_odd", "def nth_odd(n): return 1\n", strongest).detail
    noisy = judge("nth_odd", "def nth_odd(n): raise ValueError('\\x1b[2J' * 10**6)\n", strongest).detail
    assert noisy.isprintable()
    assert len(noisy) < 2000


@pytest.mark.parametrize(("n", "c", "k"), [(1, 0, 1), (1, 1, 1), (6, 2, 3), (6, 6, 1), (6, 5, 2), (7, 1, 7)])
def test_pass_at_k_is_the_share_of_draws_with_a_pass(n: int, c: int, k: int) -> None:
    """The estimator equals brute force over all draws of k among n samples."""
    draws = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == float(Fraction(sum(map(any, draws)), len(draws)))


def test_pass_at_k_stays_exact_for_many_samples() -> None:
    """Counts whose binomials overflow a float still give the correctly rounded value."""
    assert pass_at_k(10_000, 1, 5_000) == 0.5


@pytest.mark.parametrize(("n", "c", "k"), [(5, 6, 1), (5, -1, 1), (5, 1, 0), (5, 1, 6), (0, 0, 1), (-1, 0, 1)])
def test_pass_at_k_refuses_what_it_is_not_defined_for(n: int, c: int, k: int) -> None:
    """Counts outside 0 <= c <= n and 1 <= k <= n are ValueErrors, not silently some number."""
    with pytest.raises(ValueError, match="expected"):
        pass_at_k(n, c, k)


@pytest.mark.slow
def test_the_package_imports_without_torch() -> None:
    """Scoring is usable where torch is not installed."""
    code = "import sys, refute.humaneval; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
