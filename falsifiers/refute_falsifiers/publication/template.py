"""Does every place of a release render a conversation alike, and does a text begin once?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

_FILE = "templates.json"
_PLACES = ("tokenizer_config.json", "chat_template.jinja", "gguf", "llama.cpp")
_RIGHT = {"differing": 0, "conversations": 7, "begins": 1}
_MOST = 1 << 16


def _put(bench: Bench, renderings: Sequence[Mapping[str, Any]]) -> None:
    bench.put("rendered", _FILE, {"file": "m.F16.gguf", "renderings": renderings, "known_bad": {}})


def _lay_out(bench: Bench, other: str | None = "other", **wrong: int) -> None:
    """Conversations as many as the bar wants, as many of them rendered otherwise in the file."""
    found = bench.values(_RIGHT, wrong, low=0, high=_MOST, whole=True)
    count = max(found["conversations"], 1)
    count = max(count, found["differing"])
    texts = [dict.fromkeys(_PLACES, "said") for _ in range(count)]
    changed = [{**each, "gguf": other} if n < found["differing"] else each for n, each in enumerate(texts)]
    made = [{"conversation": str(n), "texts": each, "begins": found["begins"]} for n, each in enumerate(changed)]
    _put(bench, bench.choose([made], _measured, failing=list(wrong)))


def alike_everywhere(bench: Bench) -> None:
    """Seven conversations, each the same text in every place."""
    _lay_out(bench)


def another_template_in_the_file(bench: Bench) -> None:
    """The file's template says one conversation otherwise."""
    _lay_out(bench, differing=1)


def no_template_in_the_file(bench: Bench) -> None:
    """The file has none: each engine makes one up."""
    _lay_out(bench, other=None, differing=1)


def a_text_that_begins_twice(bench: Bench) -> None:
    """The template begins a text, and so does the tokenizer."""
    _lay_out(bench, begins=2)


def one_text_that_begins_twice(bench: Bench) -> None:
    """One conversation alone meets the template's branch that begins a text once more."""
    count = max(bench.bar("conversations").holding(7, low=2, high=_MOST, whole=True), 2)
    begins = [bench.bar("begins").failing(2, low=2, high=_MOST, whole=True), *[1] * int(count - 1)]
    texts = dict.fromkeys(_PLACES, "said")
    _put(bench, [{"conversation": str(n), "texts": texts, "begins": each} for n, each in enumerate(begins)])


def a_template_of_no_place(bench: Bench) -> None:
    """Every place agrees, as none has a template."""
    count = int(bench.bar("differing").failing(7, low=1, high=_MOST, whole=True))
    texts = dict.fromkeys(_PLACES)
    _put(bench, [{"conversation": str(n), "texts": texts, "begins": 1} for n in range(count)])


def one_conversation(bench: Bench) -> None:
    """A single question, which most templates render alike."""
    _lay_out(bench, conversations=1)


def the_mildest_fault_of_this_run(bench: Bench) -> None:
    """Of files with a planted fault in this very template, the one that fewer conversations notice."""
    planted = bench.real["rendered"].json(_FILE)["known_bad"].values()
    _put(bench, min(planted, key=lambda each: sum(map(_differs, each))))


def no_conversations(bench: Bench) -> None:
    """Nothing was rendered."""
    _put(bench, [])


def a_place_that_was_not_asked(bench: Bench) -> None:
    """llama.cpp rendered nothing, and so nothing else."""
    texts = {place: "said" for place in _PLACES if place != "llama.cpp"}
    everywhere = dict.fromkeys(_PLACES, "said")
    asked = [everywhere, *[texts] * 6]
    _put(bench, [{"conversation": str(n), "texts": each, "begins": 1} for n, each in enumerate(asked)])


@falsifier(
    "publication-template",
    needs=("rendered",),
    measures={"differing": "conversations", "conversations": "conversations", "begins": "tokens"},
    controls=(
        known_good(alike_everywhere),
        *(known_bad(build) for build in (another_template_in_the_file, no_template_in_the_file)),
        *(known_bad(build) for build in (a_text_that_begins_twice, one_text_that_begins_twice)),
        *(known_bad(build) for build in (a_template_of_no_place, one_conversation, the_mildest_fault_of_this_run)),
        known_unusable(no_conversations, raises=ValueError),
        known_unusable(a_place_that_was_not_asked, raises=ValueError),
    ),
)
def publication_template(context: Context) -> Iterator[Measurement]:
    """Refuted when folder, file and llama.cpp do not render a conversation as one and the same text, or when a text has
    more than one token that begins it."""
    yield from _measured(context.evidence("rendered").json(_FILE)["renderings"])


def _measured(renderings: Sequence[Mapping[str, Any]]) -> Iterator[Measurement]:
    if not renderings or any(set(each["texts"]) != set(_PLACES) for each in renderings):
        raise ValueError(f"no conversation, or one that was not rendered in each of {', '.join(_PLACES)}")
    names = {each["conversation"] for each in renderings}
    yield Measurement("differing", sum(map(_differs, renderings)), "conversations", n=len(renderings))
    yield Measurement("conversations", len(names), "conversations", n=len(renderings))
    yield Measurement("begins", max(each["begins"] for each in renderings), "tokens", n=len(renderings))


def _differs(rendering: Mapping[str, Any]) -> bool:
    texts = set(rendering["texts"].values())
    return len(texts) > 1 or texts == {None}
