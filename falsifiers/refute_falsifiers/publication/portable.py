"""Do two generations of transformers make the same model of the released folder?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refute import Bench, Context, Evidence, Measurement, falsifier, known_bad, known_good, known_unusable

_NEED, _FACTS, _LOGITS = "generations", "generations.json", "logits.safetensors"
_TEXTS, _PROMPTS, _ANSWERS = 40, 3, 18
_MOST_LOUD = 30.0  # logits of a language model lie within
_ROUNDING = 1e-4  # what float32 makes of such a difference


def _logits(seed: int = 17) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0.0, 3.0, (2, 4, 32)).astype(np.float32)


def _lay_out(
    bench: Bench, wrong: Mapping[str, float], *, towards: NDArray[np.float32] | None = None, unrepeated: int = 0
) -> None:
    """What two generations said, which differ as much as the bars allow or, where in `wrong`, forbid.

    `towards`: in which direction the logits do, by default all alike. `unrepeated`: so many answers, as far as a bar
    allows it.
    """
    most = {"failed_loads": 2, "differing_texts": _TEXTS, "differing_prompts": _PROMPTS, "unrepeated": _ANSWERS}
    found = {name: _count(bench, name, int(wrong.get(name, 0)), most[name]) for name in most}
    if unrepeated:
        found["unrepeated"] = int(bench.bar("unrepeated").holding(unrepeated, low=0, high=_ANSWERS, whole=True))
    bar = bench.bar("max_difference")
    loud = wrong.get("max_difference", 0.0)
    # Logits of what could not be opened are not compared.
    most_off = 0.0 if found["failed_loads"] else _MOST_LOUD
    find = bar.failing if loud else bar.holding
    as_given = not loud and bar.satisfied_by(0.0)
    off = 0.0 if as_given else find(min(loud, most_off), low=0.0, high=most_off, within=_ROUNDING)
    away = np.ones_like(_logits()) if towards is None else towards / np.abs(towards).max()
    bench.put_arrays(_NEED, _LOGITS, {"newer": _logits(), "older": (_logits() + np.float32(off) * away)})
    facts = {
        "older": "4.57.6",
        "newer": "5.23.0",
        "errors": [f"4.57.6: ValueError {n}" for n in range(found["failed_loads"])],
        # What cannot be opened reads nothing.
        "ids": {
            "n": max(found["differing_texts"], 0 if found["failed_loads"] else _TEXTS),
            "differing": found["differing_texts"],
        },
        "rendered": {"n": _PROMPTS, "differing": found["differing_prompts"]},
        "answers": {"n": _ANSWERS, "differing": found["unrepeated"]},
    }
    bench.put(_NEED, _FACTS, facts)


def _count(bench: Bench, measurement: str, own: int, most: int) -> int:
    bar = bench.bar(measurement)
    return int((bar.failing if own else bar.holding)(own, low=own, high=most, whole=True))


def the_same_model(bench: Bench) -> None:
    """Both load it, read texts alike, and answer alike."""
    _lay_out(bench, {})


def another_rope_base(bench: Bench) -> None:
    """The older one knows no rope_parameters, and says nothing: the later a position, the further off."""
    grows = np.linspace(0.1, 1.0, 4, dtype=np.float32)[None, :, None] * _logits(18)
    _lay_out(bench, {"max_difference": 8.0}, towards=grows)


def one_logit_off(bench: Bench) -> None:
    """A single entry of a single position."""
    one = np.zeros_like(_logits())
    one[1, 2, 3] = 1.0
    _lay_out(bench, {"max_difference": 0.01}, towards=one)


def a_class_of_one_generation(bench: Bench) -> None:
    """TokenizersBackend does not exist in the older one."""
    _lay_out(bench, {"failed_loads": 1})


def other_ids(bench: Bench) -> None:
    """The class that is named splits text in its family's way, not in the file's."""
    _lay_out(bench, {"differing_texts": 7})


def another_prompt(bench: Bench) -> None:
    """One of them finds no template in the place where it looks, or another one."""
    _lay_out(bench, {"differing_prompts": 1})


def a_machine_that_slipped_once(bench: Bench) -> None:
    """One answer of eighteen was given once; what was answered mostly is the same."""
    _lay_out(bench, {}, unrepeated=1)


def another_answer_each_time(bench: Bench) -> None:
    """A layer that draws is still on: no two answers of one generation are alike."""
    _lay_out(bench, {"unrepeated": 12})


def a_faulted_folder_of_this_run(bench: Bench) -> None:
    """This very folder with another rope base in the older spelling, as the older generation answers it here."""
    real = bench.real[_NEED]
    arrays = real.arrays(_LOGITS)
    off = float(np.abs(arrays["faulted"] - arrays["newer"]).max())
    bench.bar("max_difference").failing(off, low=off, high=off)
    _lay_out(bench, {"max_difference": off})
    bench.put_arrays(_NEED, _LOGITS, {"newer": arrays["newer"], "older": arrays["faulted"]})


def logits_of_fewer_positions(bench: Bench) -> None:
    """One side answered at fewer positions: nobody can compare them."""
    bench.bar("failed_loads").holding(0.0, low=0.0, high=0.0, whole=True)  # what failed is not compared anyway
    _lay_out(bench, {})
    bench.put_arrays(_NEED, _LOGITS, {"newer": _logits(), "older": _logits()[:, :1].copy()})


def one_generation_twice(bench: Bench) -> None:
    """The same library compared with itself shows nothing."""
    _lay_out(bench, {})
    facts: dict[str, Any] = {"older": "5.23.0", "newer": "5.23.0", "errors": []}
    counts = {"n": _TEXTS, "differing": 0}
    bench.put(_NEED, _FACTS, {**facts, "ids": counts, "rendered": counts, "answers": counts})


def nothing_was_asked(bench: Bench) -> None:
    """No text was read by either."""
    _lay_out(bench, {})
    facts: dict[str, Any] = {"older": "4.57.6", "newer": "5.23.0", "errors": []}
    counts = {"n": 0, "differing": 0}
    bench.put(_NEED, _FACTS, {**facts, "ids": counts, "rendered": counts, "answers": counts})


@falsifier(
    "publication-portable",
    needs=(_NEED,),
    measures={
        "failed_loads": "loads",
        "differing_texts": "texts",
        "differing_prompts": "prompts",
        "max_difference": "logit",
        "unrepeated": "answers",
    },
    controls=(
        *(known_good(build) for build in (the_same_model, a_machine_that_slipped_once)),
        *(known_bad(build) for build in (another_rope_base, one_logit_off, a_class_of_one_generation)),
        *(known_bad(build) for build in (other_ids, another_prompt, another_answer_each_time)),
        known_bad(a_faulted_folder_of_this_run),
        known_unusable(logits_of_fewer_positions, raises=ValueError),
        known_unusable(one_generation_twice, raises=ValueError),
        known_unusable(nothing_was_asked, raises=ValueError),
    ),
)
def publication_portable(context: Context) -> Iterator[Measurement]:
    """Refuted when an older transformers cannot load the folder, reads texts or renders prompts otherwise than the
    installed one, or answers the same ids with other logits; or where one of them does not answer mostly the same."""
    seen = context.evidence(_NEED)
    facts = seen.json(_FACTS)
    if facts["older"].split(".")[0] == facts["newer"].split(".")[0]:
        raise ValueError(f"{seen.name}: transformers {facts['older']} and {facts['newer']} are of one generation")
    ids, prompts, answers = facts["ids"], facts["rendered"], facts["answers"]
    if not ids["n"] and not facts["errors"]:
        raise ValueError(f"{seen.name}: no text was read by either generation")
    # What one of them could not open was not compared, and that is counted here.
    off, texts = (0.0, 1) if facts["errors"] else _furthest(seen)
    yield Measurement("failed_loads", len(facts["errors"]), "loads", n=2)
    yield Measurement("differing_texts", ids["differing"], "texts", n=max(1, ids["n"]))
    yield Measurement("differing_prompts", prompts["differing"], "prompts", n=max(1, prompts["n"]))
    yield Measurement("max_difference", off, "logit", n=texts)
    yield Measurement("unrepeated", answers["differing"], "answers", n=max(1, answers["n"]))


def _furthest(seen: Evidence) -> tuple[float, int]:
    """The largest difference of a logit, and in how many texts it was looked for."""
    arrays = seen.arrays(_LOGITS)
    older, newer = arrays["older"], arrays["newer"]
    if older.shape != newer.shape:
        raise ValueError(f"{seen.name}: logits {older.shape} of the one and {newer.shape} of the other")
    off = np.abs(older.astype(np.float64) - newer.astype(np.float64)).max()
    return float(off), len(older)
