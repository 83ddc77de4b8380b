"""Does llama.cpp make the folder's tokens of a text, and do all places agree on what ends one?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

_FILE = "tokens.json"
_MOST = 1 << 20
_PLACES = ("tokenizer", "generation_config", "gguf")


def _text(kind: str, *, folder: Sequence[int] = (1, 2), llama_cpp: Sequence[int] = (1, 2)) -> dict[str, Any]:
    return {"kind": kind, "text": kind, "folder": folder, "llama_cpp": llama_cpp}


def _put(
    bench: Bench,
    *,
    texts: Sequence[Mapping[str, Any]] = (),
    ends: Mapping[str, Any] | None = None,
    unlike_init: int = 0,
) -> None:
    readings = [{"file": "m.F16.gguf", "texts": texts or [_text("prose")]}]
    beside = {"n": max(400, unlike_init), "differing": unlike_init}
    bench.put("tokenised", _FILE, {"readings": readings, "beside_init": beside, "ends": ends or _ends()})


def _lay_out(bench: Bench, **wrong: int) -> None:
    """As many kinds of texts as the bar wants, and as many read otherwise."""
    found = bench.values({"differing": 0, "kinds": 17, "unlike_init": 0}, wrong, low=0, high=_MOST, whole=True)
    kinds = max(found["kinds"], 1)
    texts = [_text(f"kind {number % kinds}") for number in range(max(kinds, found["differing"]))]
    for text in texts[: found["differing"]]:
        text["llama_cpp"] = (1, 3)
    others = [name for name in wrong if name != "unlike_init"]
    _put(bench, texts=bench.choose([texts], _measured_texts, failing=others), unlike_init=found["unlike_init"])


def the_same_ids(bench: Bench) -> None:
    """Texts of every kind, read alike."""
    _lay_out(bench)


def a_text_read_otherwise(bench: Bench) -> None:
    """One text becomes other ids in llama.cpp."""
    _lay_out(bench, differing=1)


def a_tokenizer_of_its_own(bench: Bench) -> None:
    """tokenizer.json was broken on the way from the init, and the file was made of what came of it."""
    _lay_out(bench, unlike_init=1)


def few_kinds_of_texts(bench: Bench) -> None:
    """Prose and digits only: most ways of splitting agree on these."""
    _lay_out(bench, kinds=2)


def the_mildest_fault_of_this_run(bench: Bench) -> None:
    """Of files with a planted fault in this very vocabulary, the one that most texts do not notice."""
    planted = bench.real["tokenised"].json(_FILE)["known_bad"].values()
    _put(bench, texts=min((each["texts"] for each in planted), key=_differing))


def one_text_cut_short(bench: Bench) -> None:
    """llama.cpp made fewer ids, and those alike."""
    kinds = int(bench.bar("kinds").holding(17, low=0, high=_MOST, whole=True))
    texts = [*(_text(f"kind {number}") for number in range(kinds)), _text("kind 0", llama_cpp=(1,))]
    _put(bench, texts=bench.choose([texts], _measured_texts, failing=["differing"]))


def _lay_out_files(bench: Bench, *files: Sequence[Mapping[str, Any]]) -> None:
    """Files by the texts that each has read; whatever else a bar wants is as it wants."""
    unlike = int(bench.bar("unlike_init").holding(0, low=0, high=_MOST, whole=True))
    readings = [{"file": f"{number}.gguf", "texts": texts} for number, texts in enumerate(files)]
    beside = {"n": max(400, unlike), "differing": unlike}
    bench.put("tokenised", _FILE, {"readings": readings, "beside_init": beside, "ends": _ends()})


def one_file_with_few_kinds(bench: Bench) -> None:
    """Every kind in one file, prose and digits in another."""
    few = int(bench.bar("kinds").failing(2, low=1, high=_MOST, whole=True))
    bench.bar("differing").holding(0, low=0, high=0, whole=True)
    files = [[_text(f"kind {number}") for number in range(count)] for count in (max(17, few), few)]
    _lay_out_files(bench, *files)


def no_texts(bench: Bench) -> None:
    """A file of which no text was read."""
    beside = {"n": 400, "differing": 0}
    readings = [{"file": "m.F16.gguf", "texts": []}]
    bench.put("tokenised", _FILE, {"readings": readings, "beside_init": beside, "ends": _ends()})


def a_file_that_was_asked_for_nothing(bench: Bench) -> None:
    """Another file read every text, and this one none."""
    _lay_out_files(bench, [_text("prose")], [])


def no_texts_beside_the_init(bench: Bench) -> None:
    """The init's tokenizer was asked for nothing."""
    readings = [{"file": "m.F16.gguf", "texts": [_text("prose")]}]
    bench.put("tokenised", _FILE, {"readings": readings, "beside_init": {"n": 0, "differing": 0}, "ends": _ends()})


@falsifier(
    "publication-tokens",
    needs=("tokenised",),
    measures={"differing": "texts", "kinds": "kinds", "unlike_init": "texts"},
    controls=(
        known_good(the_same_ids),
        known_bad(a_text_read_otherwise),
        known_bad(one_text_cut_short),
        known_bad(few_kinds_of_texts),
        known_bad(a_tokenizer_of_its_own),
        known_bad(the_mildest_fault_of_this_run),
        known_bad(one_file_with_few_kinds),
        known_unusable(no_texts, raises=ValueError),
        known_unusable(a_file_that_was_asked_for_nothing, raises=ValueError),
        known_unusable(no_texts_beside_the_init, raises=ValueError),
    ),
)
def publication_tokens(context: Context) -> Iterator[Measurement]:
    """Refuted when llama.cpp makes other ids of a text, with some exported file, than the folder's own tokenizer, or
    that one other ids than the tokenizer of the init."""
    found = context.evidence("tokenised").json(_FILE)
    yield from _measured([each["texts"] for each in found["readings"]])
    beside = found["beside_init"]
    if not beside["n"]:
        raise ValueError("no text was read by the init's tokenizer")
    yield Measurement("unlike_init", beside["differing"], "texts", n=beside["n"])


def _measured_texts(texts: Sequence[Mapping[str, Any]]) -> Iterator[Measurement]:
    return _measured([texts])


def _measured(files: Sequence[Sequence[Mapping[str, Any]]]) -> Iterator[Measurement]:
    if not files or not all(files):
        raise ValueError("a file, or all of them, was given no text to read")
    yield Measurement("differing", sum(map(_differing, files)), "texts", n=sum(map(len, files)))
    yield Measurement("kinds", min(len({text["kind"] for text in each}) for each in files), "kinds", n=len(files))


def _differing(texts: Sequence[Mapping[str, Any]]) -> int:
    return sum(list(text["folder"]) != list(text["llama_cpp"]) for text in texts)


# ---------------------------------------------------------------------------------------------------- ends


def _ends(**changed: Any) -> dict[str, Any]:
    agreed: dict[str, Any] = {**{key: [2] for key in _PLACES}, "config": [2], "turn_end": 2}
    return {**agreed, "stops": {"transformers": 1, "llama.cpp": 1}, **changed}


def _lay_out_ends(bench: Bench, changed: Mapping[str, Any], *wrong: str) -> None:
    """What `changed` makes of places that agree, where that fails the bars of `wrong` and no other."""
    _put(bench, ends=bench.choose([_ends(**changed)], _measured_ends, failing=wrong))


def ends_that_agree(bench: Bench) -> None:
    """One id everywhere, and both engines stop at it."""
    _lay_out_ends(bench, {})


def a_generation_config_without_the_turns_end(bench: Bench) -> None:
    """Only the end of a document is listed, as in published releases that never stop."""
    _lay_out_ends(bench, {"generation_config": [0]}, "missing_ends")


def a_file_with_another_end(bench: Bench) -> None:
    """The GGUF file names another token."""
    _lay_out_ends(bench, {"gguf": [0]}, "missing_ends")


def a_config_with_a_third_end(bench: Bench) -> None:
    """config.json says an id that nobody else knows as an end."""
    _lay_out_ends(bench, {"config": [7]}, "missing_ends")


def a_tokenizer_with_an_end_of_its_own(bench: Bench) -> None:
    """The tokenizer ends texts with an id at which neither engine was told to stop."""
    _lay_out_ends(bench, {"tokenizer": [9]}, "missing_ends")


def an_engine_that_runs_on(bench: Bench) -> None:
    """llama.cpp was made to say the turn's end, and went on."""
    _lay_out_ends(bench, {"stops": {"transformers": 1, "llama.cpp": None}}, "running_on")


def another_end_in_this_run(bench: Bench) -> None:
    """A file of this very vocabulary with another end."""
    _put(bench, ends=bench.real["tokenised"].json(_FILE)["known_bad_ends"])


def nothing_that_ends(bench: Bench) -> None:
    """No end is stated anywhere, so none was tried."""
    nowhere: dict[str, Any] = {key: [] for key in (*_PLACES, "config")}
    _put(bench, ends=_ends(**nowhere, turn_end=None, stops={}))


@falsifier(
    "publication-ends",
    needs=("tokenised",),
    measures={"missing_ends": "ids", "running_on": "engines"},
    controls=(
        known_good(ends_that_agree),
        *(known_bad(build) for build in (a_generation_config_without_the_turns_end, a_file_with_another_end)),
        *(known_bad(build) for build in (a_config_with_a_third_end, a_tokenizer_with_an_end_of_its_own)),
        *(known_bad(build) for build in (an_engine_that_runs_on, another_end_in_this_run)),
        known_unusable(nothing_that_ends, raises=ValueError),
    ),
)
def publication_ends(context: Context) -> Iterator[Measurement]:
    """Refuted when an id that ends a turn, or a text to the tokenizer, ends none in generation_config.json or the file,
    or when an engine that says it goes on."""
    yield from _measured_ends(context.evidence("tokenised").json(_FILE)["ends"])


def _measured_ends(ends: Mapping[str, Any]) -> Iterator[Measurement]:
    if not ends["stops"]:
        raise ValueError("no end was tried in any engine")
    wanted = {*ends["tokenizer"], ends["turn_end"]} - {None}
    missing = sum(len(wanted - set(ends[place])) for place in ("generation_config", "gguf"))
    foreign = set(ends["config"]) - wanted - set(ends["generation_config"])
    running_on = sum(stopped is None for stopped in ends["stops"].values())
    yield Measurement("missing_ends", missing + len(foreign), "ids", n=len(wanted))
    yield Measurement("running_on", running_on, "engines", n=len(ends["stops"]))
