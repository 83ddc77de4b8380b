"""Does the release work where strangers use it, and say there what was judged?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good, known_unusable

_FILE, _CARD, _CONFIG = "usage.json", "release/README.md", "release/config.json"
_FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BLOCKS = ("load()\n", "generate()\n")
_TOKENS = 32
# GGUF files that hold the judged numbers, up to rounding, as the folder itself does. BF16 keeps seven bits of each: all
# that there are where the folder is stored so.
_EXACT, _BF16 = frozenset({"llama.cpp F32", "llama.cpp F16"}), "llama.cpp BF16"
_WAYS = ("refute", "transformers", "older transformers", "llama.cpp F16", "llama.cpp Q8_0")
_SAID = tuple(range(_TOKENS))
_SPOILT: Mapping[str, Mapping[str, Any]] = {
    "failed": {"failed": "OSError: no such file", "ids": (), "text": ""},
    "degenerate": {"text": " "},
    "reached": {"reached": ("huggingface.co",)},
}
_MOST = 1000
_FURTHEST = 100.0  # logit: no two of a language model are further apart


def _way(path: str, /, **changed: Any) -> dict[str, Any]:
    own = {"path": path, "file": "model", "ids": _SAID, "text": "Call them all.", "reached": (), "failed": None}
    return {**own, "behind": (0.0,) * _TOKENS, **changed}


def _behind(logit: float, *, token: int = 23, of: int = _TOKENS) -> tuple[float, ...]:
    """The likeliest of `of` tokens each time but once, by `logit`."""
    return tuple(logit if place == token else 0.0 for place in range(of))


def _put(
    bench: Bench, ways: Sequence[Mapping[str, Any]], *, broken: int = 0, tried: Any = None, dtype: str = "float32"
) -> None:
    """The ways to use a folder stored as `dtype`; a card of two blocks that work, and `broken` more that nobody tried.

    One reader ended as `tried`.
    """
    snippets = [{"text": text, "reader": "transformers", "said": "Hello.", "failed": None} for text in _BLOCKS]
    bench.put("used", _FILE, {"paths": ways, "snippets": [*snippets, *([tried] if tried else [])], "not_run": {}})
    blocks = [*_BLOCKS, *(f"untried({number})\n" for number in range(broken))]
    bench.put("staged", _CONFIG, {"dtype": dtype})
    bench.put("staged", _CARD, "# A model\n" + "".join(f"\n```python\n{text}```\n" for text in blocks))


def _lay_out(
    bench: Bench,
    changed: Mapping[str, Mapping[str, Any]],
    *wrong: str,
    broken: int = 0,
    tried: Any = None,
    dtype: str = "float32",
) -> None:
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
    blocks = bench.bar("broken_snippets")
    own = int(broken > 0 or tried is not None)
    count = int((blocks.failing if own else blocks.holding)(own, low=own, high=own if tried else _MOST, whole=True))
    _put(
        bench,
        bench.choose([made], partial(_measured, exact=_exact_when(dtype)), failing=list(wrong)),
        broken=0 if tried else count,
        tried=tried,
        dtype=dtype,
    )


def every_way_works(bench: Bench) -> None:
    """Three engines, two generations, two files: one text, but for the file whose numbers are rounded."""
    _lay_out(bench, {"llama.cpp Q8_0": {"path": "llama.cpp BF16", "ids": _SAID[1:], "behind": _behind(0.7)}})


def another_text_after_a_tie(bench: Bench) -> None:
    """Rounded to 16 bits, the file takes the other one of two tokens that are alike, and goes on from there."""
    tie = bench.bar("behind").holding(0.003, low=0.0, high=_FURTHEST)
    other = {"ids": (*_SAID[:23], *range(100, 109)), "behind": _behind(tie)}
    _lay_out(bench, {"llama.cpp F16": other, "transformers": {"behind": _behind(tie)}})


def a_model_that_says_little(bench: Bench) -> None:
    """The judged folder itself repeats eight tokens and prints nothing: no file need be more varied than half."""
    little = {"ids": _SAID[:8] * 4, "text": " "}
    exact = dict.fromkeys(("refute", "transformers", "older transformers", "llama.cpp F16"), little)
    _lay_out(bench, {**exact, "llama.cpp Q8_0": {"ids": _SAID[:4] * 8}})


def half_as_varied(bench: Bench) -> None:
    """A quantised file says half as many different tokens."""
    _lay_out(bench, {"llama.cpp Q8_0": {"ids": _SAID[:16] * 2}})


def one_way_fails(bench: Bench) -> None:
    """The older transformers does not know the tokenizer's class."""
    gone = {"failed": "ValueError: Tokenizer class TokenizersBackend does not exist", "ids": (), "text": ""}
    _lay_out(bench, {"older transformers": gone}, "failed")


def _another_text(bench: Bench, path: str, least: float, *, token: int = 23, of: int = _TOKENS) -> None:
    """One way says a token that the judged folder finds at least `least` logits less likely than another one."""
    off = bench.bar("behind").failing(least, low=0.0, high=_FURTHEST)
    said = (*_SAID[:token], *range(100, 100 + _TOKENS - token))[:of]
    _lay_out(bench, {path: {"ids": said, "behind": _behind(off, token=token, of=max(of, token + 1))}}, "behind")


def another_text_in_full_precision(bench: Bench) -> None:
    """The file of full precision says something else after a while: another rope base."""
    _another_text(bench, "llama.cpp F16", 0.3)


def a_text_that_ends_early(bench: Bench) -> None:
    """One engine stops where the others go on: the end that it says is one token more, and not likely."""
    _another_text(bench, "transformers", 9.0, token=9, of=9)


def a_text_that_ends_at_once(bench: Bench) -> None:
    """One engine says nothing but an end."""
    _another_text(bench, "llama.cpp F16", 9.0, token=0, of=0)


def another_text_of_what_loses_nothing(bench: Bench) -> None:
    """The folder is stored in bfloat16, and so is the file: rounding is no excuse."""
    off = {"path": _BF16, "behind": _behind(bench.bar("behind").failing(0.3, low=0.0, high=_FURTHEST))}
    _lay_out(bench, {"llama.cpp Q8_0": off}, "behind", dtype="bfloat16")


def another_text_in_transformers(bench: Bench) -> None:
    """As varied as the judged folder's, and wrong from the first token on."""
    _another_text(bench, "older transformers", 3.0, token=0)


def another_last_token(bench: Bench) -> None:
    """Only the last of them is wrong."""
    _another_text(bench, "transformers", 0.3, token=_TOKENS - 1)


def less_than_half_as_varied(bench: Bench) -> None:
    """One different token fewer than half."""
    _lay_out(bench, {"llama.cpp Q8_0": {"ids": _SAID[:15] * 2}}, "degenerate")


def a_word_over_and_over(bench: Bench) -> None:
    """A quantised file says one word."""
    _lay_out(bench, {"llama.cpp Q8_0": {"ids": (7,) * _TOKENS}}, "degenerate")


def nothing_that_can_be_read(bench: Bench) -> None:
    """A quantised file says nothing but blanks."""
    _lay_out(bench, {"llama.cpp Q8_0": {"text": " \n\n\t"}}, "degenerate")


def a_run_with_a_network(bench: Bench) -> None:
    """A host could be reached: the missing file may have come from there."""
    _lay_out(bench, {"transformers": {"reached": ("huggingface.co",)}}, "reached")


def a_block_that_nobody_tried(bench: Bench) -> None:
    """The card prints a program that was not run."""
    _lay_out(bench, {}, broken=1)


def a_block_that_raises(bench: Bench) -> None:
    """One of two readers cannot run what the card prints."""
    raised = {"text": _BLOCKS[0], "reader": "older transformers", "said": "Hel", "failed": "KeyError: 'llama'"}
    _lay_out(bench, {}, tried=raised)


def a_block_that_prints_nothing(bench: Bench) -> None:
    """It ends well and says nothing."""
    _lay_out(bench, {}, tried={"text": _BLOCKS[1], "reader": "older transformers", "said": " \n", "failed": None})


def one_engine_alone(bench: Bench) -> None:
    """Nothing but the judge's own engine was tried."""
    count = int(bench.bar("broken_snippets").holding(0, low=0, high=_MOST, whole=True))
    alone = bench.choose([[_way("refute")]], partial(_measured, exact=_EXACT), failing=["engines"])
    _put(bench, alone, broken=count)


def a_card_without_a_program(bench: Bench) -> None:
    """Nobody is told how to use it, so nothing was tried."""
    _put(bench, [_way(path) for path in _WAYS])
    bench.put("staged", _CARD, "# A model\n")


def tokens_that_nobody_looked_at(bench: Bench) -> None:
    """The last of them may be anything."""
    _put(bench, [_way(_WAYS[0]), _way("transformers", behind=_behind(0.0, of=_TOKENS - 1))])


def a_way_of_which_nothing_is_known(bench: Bench) -> None:
    """It ended at once, and whether it should have was not looked at."""
    _put(bench, [_way(_WAYS[0]), _way("transformers", ids=(), behind=())])


def nobody_tried(bench: Bench) -> None:
    """No way was tried."""
    _put(bench, [])


def no_way_of_the_judged_folder(bench: Bench) -> None:
    """What the judged folder says is not known, so nothing can be compared with it."""
    _put(bench, [_way(path) for path in _WAYS[1:]])


def the_judged_folder_that_fails(bench: Bench) -> None:
    """Refute's own forward cannot run it."""
    _put(bench, [_way("refute", failed="UsageError: another architecture", ids=()), *map(_way, _WAYS[1:])])


@falsifier(
    "publication-paths",
    needs=("used", "staged"),
    measures={
        "failed": "paths",
        "behind": "logit",
        "degenerate": "paths",
        "reached": "hosts",
        "engines": "engines",
        "broken_snippets": "snippets",
    },
    controls=(
        *(known_good(build) for build in (every_way_works, a_model_that_says_little)),
        *(known_good(build) for build in (half_as_varied, another_text_after_a_tie)),
        *(known_bad(build) for build in (one_way_fails, another_text_in_full_precision, a_text_that_ends_early)),
        *(known_bad(build) for build in (another_text_in_transformers, another_last_token)),
        known_bad(another_text_of_what_loses_nothing),
        *(known_bad(build) for build in (less_than_half_as_varied, a_text_that_ends_at_once)),
        *(known_bad(build) for build in (a_word_over_and_over, nothing_that_can_be_read, a_run_with_a_network)),
        *(known_bad(build) for build in (one_engine_alone, a_block_that_nobody_tried, a_block_that_raises)),
        known_bad(a_block_that_prints_nothing),
        known_unusable(a_card_without_a_program, raises=ValueError),
        known_unusable(nobody_tried, raises=ValueError),
        known_unusable(tokens_that_nobody_looked_at, raises=ValueError),
        known_unusable(a_way_of_which_nothing_is_known, raises=ValueError),
        known_unusable(the_judged_folder_that_fails, raises=ValueError),
        known_unusable(no_way_of_the_judged_folder, raises=ValueError),
    ),
)
def publication_paths(context: Context) -> Iterator[Measurement]:
    """Refuted when an engine cannot load or run what was released, says in full precision what the judged folder finds
    clearly less likely than another token, babbles, or could reach a network; and when the card prints a block that was
    not tried, or did not work.

    A text is degenerate that has nothing to read, or not half as many different tokens as the judged folder's own.
    """
    used, staged = context.evidence("used").json(_FILE), context.evidence("staged")
    config = staged.json(_CONFIG)
    yield from _measured(used["paths"], _exact_when(config.get("dtype", config.get("torch_dtype"))))
    blocks = _FENCED.findall(staged.path(_CARD).read_text(encoding="utf-8"))
    if not blocks:
        raise ValueError("the card prints no block of code that could be tried")
    broken = [each for each in blocks if _is_broken(each, used["snippets"])]
    yield Measurement("broken_snippets", len(broken), "snippets", n=len(blocks))


def _is_broken(block: str, tried: Sequence[Mapping[str, Any]]) -> bool:
    own = [each for each in tried if each["text"] == block]
    return not own or any(each["failed"] is not None or not each["said"].strip() for each in own)


def _exact_when(dtype: str | None) -> frozenset[str]:
    """The files that hold every number of a folder stored as `dtype`."""
    return _EXACT | {_BF16} if dtype == "bfloat16" else _EXACT


def _measured(ways: Sequence[Mapping[str, Any]], exact: frozenset[str]) -> Iterator[Measurement]:
    judged = next((each for each in ways if each["path"] == "refute" and each["failed"] is None), None)
    if judged is None:
        raise ValueError("what the judged folder itself says is not known")
    worked = [each for each in ways if each["failed"] is None]
    behind = [off for each in worked if _is_exact(each, exact) for off in _of_every_token(each)]
    degenerate = [each for each in worked if not _is_exact(each, exact) and _is_degenerate(each, judged)]
    engines = {each["path"].removeprefix("older ").split()[0] for each in worked}
    yield Measurement("failed", len(ways) - len(worked), "paths", n=len(ways))
    yield Measurement("behind", max(behind), "logit", n=len(behind))
    yield Measurement("degenerate", len(degenerate), "paths", n=len(worked))
    yield Measurement("reached", sum(len(each["reached"]) for each in ways), "hosts", n=len(ways))
    yield Measurement("engines", len(engines), "engines", n=len(worked))


def _is_exact(way: Mapping[str, Any], exact: frozenset[str]) -> bool:
    return not way["path"].startswith("llama.cpp") or way["path"] in exact


def _of_every_token(way: Mapping[str, Any]) -> Sequence[float]:
    """What is known of each token that was said; an end may be one more."""
    if len(way["behind"]) < max(1, len(way["ids"])):
        raise ValueError(f"{way['path']}: {len(way['behind'])} of {len(way['ids'])} tokens were looked at")
    off: Sequence[float] = way["behind"]
    return off


def _is_degenerate(way: Mapping[str, Any], judged: Mapping[str, Any]) -> bool:
    return not way["text"].strip() or 2 * len(set(way["ids"])) < len(set(judged["ids"]))
