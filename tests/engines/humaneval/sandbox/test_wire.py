"""Only plain data crosses between a program and its judge."""

from __future__ import annotations

import enum
import itertools
import json
import math
import os
from collections import Counter, OrderedDict, namedtuple
from decimal import Decimal
from fractions import Fraction

import pytest

from refute.engines.humaneval.sandbox.wire import (
    MAX_FRAME_BYTES,
    Channel,
    ClosedError,
    WireError,
    pack,
    take_over,
    unpack,
)


def test_unusual_numbers_survive() -> None:
    """Infinities, NaN and integers beyond Python's limit on decimal text travel."""
    back = unpack(pack([math.inf, -math.inf, math.nan, 7**9000])[4:])
    assert isinstance(back, list)
    assert back[:2] == [math.inf, -math.inf]
    assert math.isnan(back[2])
    assert back[3] == 7**9000


class Liar(float):
    """A float that claims to equal everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "1.0"

    __hash__ = float.__hash__


class Colour(enum.IntEnum):
    """Some integer with a name."""

    RED = 3


def test_subclasses_arrive_as_their_builtin_base() -> None:
    """Honest subclasses keep their content, dishonest ones lose their methods."""
    point = namedtuple("point", "x y")
    sent = [Counter("aab"), OrderedDict(b=1), point(1, 2), Colour.RED, Liar(2.5)]
    back = unpack(pack(sent)[4:])
    assert isinstance(back, list)
    assert [type(item) for item in back] == [dict, dict, tuple, int, float]
    assert repr(back) == "[{'a': 2, 'b': 1}, {'b': 1}, (1, 2), 3, 2.5]"


def test_exact_numbers_ranges_and_iterators_survive() -> None:
    """As what they are: an iterator can be run through once, and a fraction is no float."""
    sent = [Decimal("0.10"), Fraction(1, 3), range(5, 0, -2), bytearray(b"x"), Fraction(7**200, 2)]
    back = unpack(pack([*sent, (n * n for n in range(3)), map(str, [1])])[4:])
    assert isinstance(back, list)
    assert back[:5] == sent
    assert [type(item) for item in back[:5]] == [type(item) for item in sent]
    assert (list(back[5]), list(back[5]), next(back[6])) == ([0, 1, 4], [], "1")


def test_what_is_not_plain_data_is_refused() -> None:
    """Objects, cycles and data beyond the frame limit cannot be sent."""
    cycle: list[object] = []
    cycle.append(cycle)
    for value in (object(), itertools.count(), {}.keys(), cycle, "x" * (MAX_FRAME_BYTES + 1)):
        with pytest.raises(WireError):
            pack(value)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"[1]", b'["?"]', b"NaN", b'["f","NaN"]', b'["i","zz"]', b'["b","0"]', b'["c",1,2]',
        b'["d",1]', b'["s",["l"]]', b'["d",["l"],1]', b"\xff", b'["l",{}]', b"1" * 5000, b"[" * 100_000,
        b'["r",1.5]', b'["r",1,2,0]', b'["F",1,0]', b'["F","1/2",2]', b'["D","x"]', b'["y","0"]',
        json.dumps(["l"] * 1).encode() * 2, b'["l",' * 200 + b"1" + b"]" * 200,
    ],
)  # fmt: skip
def test_malformed_messages_are_refused(body: bytes) -> None:
    """Anything that `pack` would not write is a WireError, never another exception and never a value."""
    with pytest.raises(WireError):
        unpack(body)


def test_a_channel_refuses_oversized_and_broken_frames() -> None:
    """A frame that announces too much is refused before it is read; a cut-off one is the end."""
    for frame, kind in ((b"\xff\xff\xff\xff", WireError), (b"\x00\x00\x00\x09[", ClosedError), (b"", ClosedError)):
        reader, writer = os.pipe()
        os.write(writer, frame)
        os.close(writer)
        with pytest.raises(kind):
            Channel(reader).receive()
        os.close(reader)


def test_what_was_changed_is_changed_in_place() -> None:
    """Whoever holds a part sees it, too; what cannot be changed is replaced, and another type changes nothing."""
    inner, outer = [1], {"a": ([1], bytearray(b"x")), "gone": {1}}
    outer["a"] = (inner, bytearray(b"x"))
    assert take_over(outer, {"a": ([1, 2], bytearray(b"yz")), "new": {3}}) is outer
    assert (outer, inner) == ({"a": ([1, 2], bytearray(b"yz")), "new": {3}}, [1, 2])
    members = {1}
    assert take_over([members, 5], [{2}, 6, 7]) == [{2}, 6, 7]
    assert members == {2}
    assert (take_over(inner, 3), inner) == (3, [1, 2])
