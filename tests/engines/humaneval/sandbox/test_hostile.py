"""Programs that attack the judge itself: what they send, how long it takes, what they can find. On every tier."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from refute.humaneval import Isolation, Result

pytestmark = pytest.mark.slow

Judge = Callable[..., Result]
every_tier = pytest.mark.parametrize("contained", ["rlimits", "seccomp", "bubblewrap"], indirect=True)

# Writes one frame of its own making, body below, on whatever is open, and answers nothing.
_SEND = """
import os, time
P = 2**61 - 1  # the modulus of the hash of an integer
def double_all(n):
    body = {body}
    for descriptor in range(3, 64):
        try:
            data = memoryview(len(body).to_bytes(4, "big") + body)
            while data: data = data[os.write(descriptor, data):]
        except OSError: pass
    time.sleep(60)
"""
# Frames that keep the judge's interpreter busy in C, where no signal handler runs, or exhaust it.
FRAMES = {
    "a set whose members all have one hash": (
        """('["t","answer",["s"' + "".join(f',["i","{k * P:#x}"]' for k in range(1, 9**5)) + "]]").encode()"""
    ),
    "a million lists": """b'["t","answer",["l"' + b',["l"]' * 1390000 + b"]]" """,
    "nested without end": """b'["t","answer",' + b"[" * 4000000""",
    "a length and no body": "b''[:0] + b'x'",
}
LIES = {
    "int that is another": """
class I(int):
    __eq__ = lambda self, other: True
    __add__ = lambda self, other: 0
    __index__ = __int__ = lambda self: 7
    __hash__ = lambda self: 0
def double_all(n): return [I(99) for _ in n]
""",
    "text that is another": """
class S(str):
    __eq__ = lambda self, other: True
    __str__ = lambda self: "[]"
def double_all(n): return S("[]")
""",
    "every instance of every class": """
class M(type):
    __instancecheck__ = __subclasscheck__ = lambda *a: True
class L(list, metaclass=M):
    __class__ = property(lambda self: bool)
def double_all(n): return L()
""",
    "changed arguments": "def double_all(n):\n    n[:] = [2 * i for i in n]\n",
    "patched protocol": """
import json, sys
json.dumps = lambda *a, **k: '["t","answer",["l"]]'
for module in list(sys.modules.values()):
    for name in ("encode", "pack", "_encode_container"):
        if hasattr(module, name): setattr(module, name, lambda *a, **k: ["l"])
def double_all(n): return None
""",
    "answers that end the process as they are freed": """
class D(list):
    def __del__(self): import os; os._exit(0)
def double_all(n): return D([2 * i for i in n])
""",
    "reads its own memory for the test": """
import re
def double_all(n):
    needle, found = re.compile(rb"2 [*] 10[*][*]3[0]"), False  # the test's own text, written otherwise here
    try:
        with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
            for line in maps:
                span = re.match("([0-9a-f]+)-([0-9a-f]+) r", line)
                if span and "[v" not in line:
                    start, end = (int(part, 16) for part in span.groups())
                    memory.seek(start)
                    found |= bool(needle.search(memory.read(min(end - start, 1 << 25))))
    except OSError: pass
    return [2 * i for i in n] if found else None
""",
    "an exception of a million letters": """
E = type("A" * 10**6, (ValueError,), {})
def double_all(n): raise E("\\ud800" + "\\u202e" * 10**6)
""",
    "a pipe to the judge that says passed": """
import os
def double_all(n):
    for descriptor in range(3, 64):
        for text in (b'+', b'+{"token": "", "outcome": "passed", "detail": ""}'):
            try: os.write(descriptor, text)
            except OSError: pass
    os._exit(0)
""",
    "behind setsid": """
import os, time
try:
    if os.fork() == 0:
        os.setsid()
        for _ in range(20):
            time.sleep(0.05)
            for descriptor in range(3, 64):
                try: os.write(descriptor, b'\\x00\\x00\\x00\\x0e["t","passed"]')
                except OSError: pass
        os._exit(0)
except OSError: pass
def double_all(n): return None
""",
}


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_a_frame_that_occupies_the_judge_costs_its_own_time_only(name: str, judge: Judge, strongest: Isolation) -> None:
    """A timeout or a failure shortly after the limit: never an error, which would take the whole run with it."""
    result = judge("double_all", _SEND.format(body=FRAMES[name]), strongest, timeout_s=1.0)
    assert result.outcome in ("timeout", "failed"), result.detail
    assert result.wall_s < 6


@every_tier
@pytest.mark.parametrize("name", sorted(LIES))
def test_no_lie_passes_on_any_tier(name: str, judge: Judge, contained: Isolation) -> None:
    """Every wrong program fails, with a reason that can be printed."""
    result = judge("double_all", LIES[name], contained)
    assert (result.outcome, result.passed) == ("failed", False), result.detail
    assert result.detail.isprintable()
    assert 0 < len(result.detail) < 2000
