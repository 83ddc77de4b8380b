"""Where a run is to be redone: places that entropy draws, each segment within its part of the run."""

from __future__ import annotations

import itertools

import pytest

from refute.spec.experiments.custody import positions, segment_length, segment_starts

DRAWS = [f"{number:032x}" for number in range(200)]


@pytest.mark.parametrize(("steps", "length"), [(1, 1), (2, 2), (12, 2), (50, 2), (100, 4), (500, 8), (50_000, 8)])
def test_a_segment_is_a_twenty_fifth(steps: int, length: int) -> None:
    """At least two steps where there are two, and no more than eight, over which rounding stays small."""
    assert segment_length(steps) == length


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8, 12, 50, 500, 50_000])
def test_segments_do_not_overlap(steps: int) -> None:
    """The first, one in each of four parts, the last; where a run is too short, fewer, and never more."""
    length = segment_length(steps)
    for entropy in DRAWS:
        starts = segment_starts(entropy, steps)
        assert starts[0] == 0
        assert starts[-1] == steps - length
        if steps >= 50:
            assert len(starts) == 6
            assert all(later - earlier >= length for earlier, later in itertools.pairwise(starts))


def test_every_step_may_be_drawn() -> None:
    """No step of a run is safe from being redone, and no two runs are looked at alike."""
    seen = {step for entropy in DRAWS for start in segment_starts(entropy, 50) for step in range(start + 1, start + 3)}
    assert seen == set(range(1, 51))


def test_positions_are_drawn_for_each_parameter() -> None:
    """Within it, ascending, none twice; all of a small one."""
    found = [positions(entropy, "a", 1000) for entropy in DRAWS]
    assert all(each == sorted(set(each)) and len(each) == 8 and each[-1] < 1000 for each in found)
    assert len({tuple(each) for each in found}) > 190
    assert positions(DRAWS[0], "a", 1000) != positions(DRAWS[0], "b", 1000)
    assert positions(DRAWS[0], "a", 3) == [0, 1, 2]
