"""Is the GGUF file of full precision the model in the folder, in the program that will run it?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

_FILE = "conversion.json"
_RIGHT = {"mean_kl": 1e-6, "largest_kl": 1e-5, "positions": 33, "furthest": 1024}
_MOST = 1 << 20


def _lay_out(bench: Bench, **wrong: float) -> None:
    """Positions as many and as far, divergences as large as the bars allow or, where in `wrong`, forbid."""
    found = {
        name: (bench.bar(name).failing if name in wrong else bench.bar(name).holding)(
            value, low=0, high=_MOST, whole=name in ("positions", "furthest"), clear=True
        )
        for name, value in {**_RIGHT, **wrong}.items()
    }
    count, furthest = max(int(found["positions"]), 1), int(found["furthest"])
    kl = [found["mean_kl"]] * count
    if "largest_kl" in wrong:  # among so many others that their mean is where it may be
        count = max(count, math.ceil(2 * found["largest_kl"] / bench.bar("mean_kl").holding(1e-3, low=0, clear=True)))
        kl = [0.0] * (count - 1) + [found["largest_kl"]]
    made = {"positions": [*range(count - 1), max(furthest, count - 1)], "kl": kl, "same_first": [True] * count}
    _put(bench, bench.choose([made], _measured, failing=list(wrong)))


def _put(bench: Bench, divergence: Mapping[str, Any]) -> None:
    bench.put("converted", _FILE, {"file": "m.F16.gguf", "divergence": divergence, "known_bad": {}})


def the_same_model(bench: Bench) -> None:
    """Rounding apart, one model."""
    _lay_out(bench)


def a_little_off_everywhere(bench: Bench) -> None:
    """Every position is a little off: a constant that another reader takes otherwise."""
    _lay_out(bench, mean_kl=5e-3)


def far_off_at_one_position(bench: Bench) -> None:
    """One position alone is off: what shows only far out, or with one token."""
    _lay_out(bench, largest_kl=2e-2)


def a_handful_of_positions(bench: Bench) -> None:
    """Too few positions to say anything."""
    _lay_out(bench, positions=8)


def nothing_far_out(bench: Bench) -> None:
    """All positions are near: rotary scaling would not show."""
    _lay_out(bench, furthest=16)


def the_mildest_fault_of_this_run(bench: Bench) -> None:
    """Of the conversions of this very student with a planted fault, the one that is nearest to it."""
    planted = bench.real["converted"].json(_FILE)["known_bad"].values()
    mildest = min(planted, key=lambda each: sum(each["kl"]) / len(each["kl"]))
    _put(bench, mildest)


def no_position(bench: Bench) -> None:
    """Nothing was compared."""
    _put(bench, {"positions": [], "kl": [], "same_first": []})


def divergences_of_other_positions(bench: Bench) -> None:
    """There are fewer divergences than positions."""
    _put(bench, {"positions": [*range(33), 1024], "kl": [0.0] * 33, "same_first": [True] * 34})


@falsifier(
    "publication-conversion",
    needs=("converted",),
    measures={"mean_kl": "nat", "largest_kl": "nat", "positions": "positions", "furthest": "positions"},
    controls=(
        known_good(the_same_model),
        *(known_bad(build) for build in (a_little_off_everywhere, far_off_at_one_position)),
        *(known_bad(build) for build in (a_handful_of_positions, nothing_far_out, the_mildest_fault_of_this_run)),
        known_unusable(no_position, raises=ValueError),
        known_unusable(divergences_of_other_positions, raises=ValueError),
    ),
)
def publication_conversion(context: Context) -> Iterator[Measurement]:
    """Refuted when llama.cpp, with the exported file, predicts other tokens than transformers with the folder."""
    yield from _measured(context.evidence("converted").json(_FILE)["divergence"])


def _measured(found: Mapping[str, Any]) -> Iterator[Measurement]:
    positions, kl = set(found["positions"]), found["kl"]
    if not kl or len(positions) != len(kl):
        raise ValueError(f"{len(kl)} divergences at {len(positions)} positions")
    yield Measurement("mean_kl", sum(kl) / len(kl), "nat", n=len(kl))
    yield Measurement("largest_kl", max(kl), "nat", n=len(kl))
    yield Measurement("positions", len(positions), "positions", n=len(kl))
    yield Measurement("furthest", max(positions), "positions", n=len(kl))
