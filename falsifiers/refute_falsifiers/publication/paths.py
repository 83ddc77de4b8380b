"""Does the release work where strangers use it, and say there what was judged?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

_FILE = "usage.json"
_TOKENS = 32
# GGUF files that hold the judged numbers, up to rounding, as the folder itself does. BF16 keeps seven bits of each.
_EXACT = frozenset({"llama.cpp F32", "llama.cpp F16"})
_WAYS = ("refute", "transformers", "older transformers", "llama.cpp F16", "llama.cpp Q8_0")
_SAID = tuple(range(_TOKENS))
_SPOILT: Mapping[str, Mapping[str, Any]] = {
    "failed": {"failed": "OSError: no such file", "ids": (), "text": ""},
    "differing": {"path": "llama.cpp F16", "ids": _SAID[1:]},
    "degenerate": {"text": " "},
    "reached": {"reached": ("huggingface.co",)},
}
_MOST = 1000


def _way(path: str, /, **changed: Any) -> dict[str, Any]:
    own = {"path": path, "file": "model", "ids": _SAID, "text": "Call them all.", "reached": (), "failed": None}
    return {**own, **changed}


def _put(bench: Bench, ways: Sequence[Mapping[str, Any]]) -> None:
    bench.put("used", _FILE, {"paths": ways, "not_run": {}})


def _lay_out(bench: Bench, changed: Mapping[str, Mapping[str, Any]], *wrong: str) -> None:
    """Five ways that agree but for what is `changed`, by path, which fails the bars of `wrong` and no other.

    As many more are added as the bars want more engines, or more that are spoilt in one way.
    """
    made = [_way(path, **changed.get(path, {})) for path in _WAYS]
    for name, spoilt in _SPOILT.items():
        own, bar = int(name in wrong), bench.bar(name)
        count = (bar.failing if own else bar.holding)(own, low=own, high=_MOST, whole=True)
        made += [{**_way("llama.cpp Q4_0"), **spoilt}] * (int(count) - own)
    engines = int(bench.bar("engines").holding(3, low=3, high=_MOST, whole=True))
    made += [_way(f"engine-{number}") for number in range(engines - 3)]
    _put(bench, bench.choose([made], _measured, failing=list(wrong)))


def every_way_works(bench: Bench) -> None:
    """Three engines, two generations, two files: one text, but for the file whose numbers are rounded."""
    _lay_out(bench, {"llama.cpp Q8_0": {"path": "llama.cpp BF16", "ids": _SAID[1:]}})


def one_way_fails(bench: Bench) -> None:
    """The older transformers does not know the tokenizer's class."""
    gone = {"failed": "ValueError: Tokenizer class TokenizersBackend does not exist", "ids": (), "text": ""}
    _lay_out(bench, {"older transformers": gone}, "failed")


def another_text_in_full_precision(bench: Bench) -> None:
    """The file of full precision says something else after a while: another rope base."""
    _lay_out(bench, {"llama.cpp F16": {"ids": (*_SAID[:23], *range(100, 109))}}, "differing")


def a_text_that_ends_early(bench: Bench) -> None:
    """One engine stops where the others go on."""
    _lay_out(bench, {"transformers": {"ids": _SAID[:9]}}, "differing")


def a_word_over_and_over(bench: Bench) -> None:
    """A quantised file says one word."""
    _lay_out(bench, {"llama.cpp Q8_0": {"ids": (7,) * _TOKENS}}, "degenerate")


def nothing_that_can_be_read(bench: Bench) -> None:
    """A quantised file says nothing but blanks."""
    _lay_out(bench, {"llama.cpp Q8_0": {"text": " \n\n\t"}}, "degenerate")


def a_run_with_a_network(bench: Bench) -> None:
    """A host could be reached: the missing file may have come from there."""
    _lay_out(bench, {"transformers": {"reached": ("huggingface.co",)}}, "reached")


def one_engine_alone(bench: Bench) -> None:
    """Nothing but the judge's own engine was tried."""
    _put(bench, bench.choose([[_way("refute")]], _measured, failing=["engines"]))


def nobody_tried(bench: Bench) -> None:
    """No way was tried."""
    _put(bench, [])


def no_way_of_the_judged_folder(bench: Bench) -> None:
    """What the judged folder says is not known, so nothing can be compared with it."""
    _put(bench, [_way(path) for path in _WAYS[1:]])


@falsifier(
    "publication-paths",
    needs=("used",),
    measures={"failed": "paths", "differing": "paths", "degenerate": "paths", "reached": "hosts", "engines": "engines"},
    controls=(
        known_good(every_way_works),
        *(known_bad(build) for build in (one_way_fails, another_text_in_full_precision, a_text_that_ends_early)),
        *(known_bad(build) for build in (a_word_over_and_over, nothing_that_can_be_read, a_run_with_a_network)),
        known_bad(one_engine_alone),
        known_unusable(nobody_tried, raises=ValueError),
        known_unusable(no_way_of_the_judged_folder, raises=ValueError),
    ),
)
def publication_paths(context: Context) -> Iterator[Measurement]:
    """Refuted when an engine cannot load or run what was released, says other tokens than the judged folder in full
    precision, babbles, or could reach a network.

    A text is degenerate that has nothing to read, or not half as many different tokens as the judged folder's own.
    """
    yield from _measured(context.evidence("used").json(_FILE)["paths"])


def _measured(ways: Sequence[Mapping[str, Any]]) -> Iterator[Measurement]:
    judged = next((each for each in ways if each["path"] == "refute" and each["failed"] is None), None)
    if judged is None:
        raise ValueError("what the judged folder itself says is not known")
    worked = [each for each in ways if each["failed"] is None]
    differing = [each for each in worked if _is_exact(each) and list(each["ids"]) != list(judged["ids"])]
    degenerate = [each for each in worked if not _is_exact(each) and _is_degenerate(each, judged)]
    engines = {each["path"].removeprefix("older ").split()[0] for each in worked}
    yield Measurement("failed", len(ways) - len(worked), "paths", n=len(ways))
    yield Measurement("differing", len(differing), "paths", n=len(worked))
    yield Measurement("degenerate", len(degenerate), "paths", n=len(worked))
    yield Measurement("reached", sum(len(each["reached"]) for each in ways), "hosts", n=len(ways))
    yield Measurement("engines", len(engines), "engines", n=len(worked))


def _is_exact(way: Mapping[str, Any]) -> bool:
    return not way["path"].startswith("llama.cpp") or way["path"] in _EXACT


def _is_degenerate(way: Mapping[str, Any], judged: Mapping[str, Any]) -> bool:
    return not way["text"].strip() or 2 * len(set(way["ids"])) < len(set(judged["ids"]))
