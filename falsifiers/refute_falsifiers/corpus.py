"""Is held-out text held out, and is the benchmark outside the corpus?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from refute import Bench, Context, Control, Measurement, falsifier, known_bad, known_good

# What can still be laid out by hand: four million tokens, 16 MiB.
_MOST_TOKENS = 2**22


def _splits(bench: Bench, **wrong: int) -> None:
    """A corpus as the bars want it, but for the measurements in `wrong`, which fail theirs."""
    counts = {"shared_windows": 0, "shared_files": 0, "benchmark_missed": 0}
    # Anything else than tokens may be wrong beside a corpus of any size.
    own = {name: value for name, value in wrong.items() if name in counts}
    found = bench.values(counts, own, low=0, high=10_000, whole=True)
    tokens, shared = bench.bar("heldout_tokens"), found["shared_windows"]
    limits: dict[str, Any] = {"low": max(1, shared), "high": _MOST_TOKENS, "whole": True}
    size = int(
        tokens.failing(wrong["heldout_tokens"], **limits)
        if "heldout_tokens" in wrong
        else tokens.holding(2048, **limits)
    )
    # Windows of 64 tokens or, where these would be too few or leave the bar's side, of a single token.
    whole = size - size % 64
    width = 64 if whole >= 64 * max(1, shared) and tokens.outcome(whole) is tokens.outcome(size) else 1
    size = whole if width == 64 else size
    heldout = np.arange(90_000, 90_000 + size, dtype=np.int32).reshape(-1, width)
    others = np.arange(64 * width, dtype=np.int32).reshape(64, width)
    bench.put_arrays("corpus", "train.safetensors", {"tokens": np.concatenate([others, heldout[:shared]])})
    bench.put_arrays("corpus", "heldout.safetensors", {"tokens": heldout})
    files = [("a.py", "train"), ("b.py", "heldout")]
    files += [(f"{n}.py", split) for n in range(found["shared_files"]) for split in ("train", "heldout")]
    problems = max(164, found["benchmark_missed"])
    manifest: dict[str, Any] = {
        "files": [{"path": name, "sha256": name, "split": split} for name, split in files],
        "benchmark_selfcheck": {"problems": problems, "rejected": problems - found["benchmark_missed"]},
    }
    bench.put("corpus", "manifest.json", manifest)


def disjoint_splits(bench: Bench) -> None:
    """Two splits without a window or file in common, and a filter that knows the benchmark."""
    _splits(bench)


def held_out_inside_training(bench: Bench) -> None:
    """Held-out windows that were trained on."""
    _splits(bench, shared_windows=32)


def one_file_in_both_splits(bench: Bench) -> None:
    """A file on both sides of the split."""
    _splits(bench, shared_files=1)


def filter_that_filters_nothing(bench: Bench) -> None:
    """A decontamination that lets the benchmark itself through."""
    _splits(bench, benchmark_missed=164)


def too_little_held_out(bench: Bench) -> None:
    """Four windows: whatever is measured on them says little."""
    _splits(bench, heldout_tokens=256)


@falsifier(
    "corpus-hygiene",
    needs=("corpus",),
    measures={
        "shared_windows": "windows",
        "shared_files": "files",
        "benchmark_missed": "problems",
        "heldout_tokens": "tokens",
    },
    controls=(
        known_good(disjoint_splits),
        known_bad(held_out_inside_training),
        known_bad(one_file_in_both_splits),
        known_bad(filter_that_filters_nothing),
        known_bad(too_little_held_out),
    ),
)
def corpus_hygiene(context: Context) -> Iterator[Measurement]:
    """Refuted when the splits share a window or file, or the filter does not reject the benchmark itself."""
    corpus = context.evidence("corpus")
    # One width of integer for both: the same ids in another type are other bytes.
    train_tokens, heldout_tokens = (
        corpus.arrays(f"{split}.safetensors")["tokens"].astype(np.int64) for split in ("train", "heldout")
    )
    train = {row.tobytes() for row in train_tokens}
    shared = sum(row.tobytes() in train for row in heldout_tokens)
    yield Measurement("shared_windows", shared, "windows", n=len(heldout_tokens))
    yield Measurement("heldout_tokens", int(heldout_tokens.size), "tokens", n=len(heldout_tokens))
    manifest = corpus.json("manifest.json")
    files = manifest["files"]
    splits = {split: {file["sha256"] for file in files if file["split"] == split} for split in ("train", "heldout")}
    yield Measurement("shared_files", len(splits["train"] & splits["heldout"]), "files", n=len(files))
    check = manifest["benchmark_selfcheck"]
    yield Measurement("benchmark_missed", check["problems"] - check["rejected"], "problems", n=check["problems"])


_PROBLEMS = 164


def _overlap(
    bench: Bench,
    wrong: Mapping[str, float],
    *,
    corpus: Sequence[str] = (),
    benchmark: Mapping[str, Any] | None = None,
    renamed: Mapping[str, Any] | None = None,
    problems: int = _PROBLEMS,
) -> None:
    """What a search for `problems` found, as the bars want it, but for the measurements in `wrong`.

    `corpus`: the problems that it may have found in the text first, by number; `benchmark`: what it found there;
    `renamed`: what it found under any names.
    """
    counts = {"contaminated_problems": 0, "benchmark_missed": 0, "searched": 100_000}
    of_names = {"renamed_problems": 0, "renamed_missed": 0}
    found = bench.values({**counts, **of_names, "ngram": 10}, wrong, low=0, whole=True)
    problems = max(problems, found["contaminated_problems"], found["benchmark_missed"])
    names = [*corpus, *(str(n) for n in range(problems) if str(n) not in corpus)][: found["contaminated_problems"]]
    known = range(problems - found["benchmark_missed"])
    whole = {"documents": problems, "ngrams": 1000 * problems, "contaminated": {str(number): 9 for number in known}}
    text = {"documents": 100, "ngrams": found["searched"], "contaminated": dict.fromkeys(names, 1)}
    report = {"problems": problems, "ngram": found["ngram"], "corpus": text, "benchmark": benchmark or whole}
    report["renamed"] = renamed or _of_names(found["renamed_problems"], found["renamed_missed"])
    bench.put("contamination", "overlap.json", report)


def _of_names(found: int, missed: int) -> dict[str, Any]:
    """A search for solutions under any names that found so many in the text, and missed so many that were renamed."""
    problems = max(125, found, missed)
    text, known = ({str(number): 1 for number in range(count)} for count in (found, problems - missed))
    return {"problems": problems, "corpus": {"contaminated": text}, "benchmark": {"contaminated": known}}


def nothing_shared(bench: Bench) -> None:
    """Much text, and none of the benchmark's; the search finds the benchmark in itself."""
    _overlap(bench, {})


def nothing_shared_by_this_search(bench: Bench) -> None:
    """The same, with what this very search found where the benchmark itself was the corpus."""
    real = bench.real["contamination"].json("overlap.json")
    _overlap(bench, {}, benchmark=real["benchmark"], problems=real["problems"])


def benchmark_trained_on(bench: Bench) -> None:
    """What this very search found where the benchmark itself was the corpus."""
    found = list(bench.real["contamination"].json("overlap.json")["benchmark"]["contaminated"])
    _overlap(bench, {"contaminated_problems": len(found)}, corpus=found)


def every_problem_trained_on(bench: Bench) -> None:
    """The benchmark is the corpus."""
    _overlap(bench, {"contaminated_problems": _PROBLEMS})


def one_problem_trained_on(bench: Bench) -> None:
    """A single problem, by a single run of words."""
    _overlap(bench, {"contaminated_problems": 1})


def search_that_finds_nothing(bench: Bench) -> None:
    """A search that misses the benchmark in itself: its silence about the corpus means nothing."""
    _overlap(bench, {"benchmark_missed": _PROBLEMS})


def solutions_under_other_names(bench: Bench) -> None:
    """Solutions were copied with every name exchanged: they share no run of words."""
    _overlap(bench, {"renamed_problems": 3})


def renamed_solutions_of_this_search(bench: Bench) -> None:
    """What this very search found where the corpus was the benchmark with every name exchanged."""
    real = bench.real["contamination"].json("overlap.json")["renamed"]
    found = len(real["benchmark"]["contaminated"])
    bench.bar("renamed_problems").failing(found, low=found, high=found)
    _overlap(bench, {}, renamed={**real, "corpus": real["benchmark"]})


def search_that_a_new_name_escapes(bench: Bench) -> None:
    """A search that misses what it was to find once names were exchanged."""
    _overlap(bench, {"renamed_missed": 100})


def search_for_longer_runs(bench: Bench) -> None:
    """Runs of fifty words: a copied problem with one word changed would pass."""
    _overlap(bench, {"ngram": 50})


def nothing_read(bench: Bench) -> None:
    """No text was searched."""
    _overlap(bench, {"searched": 0})


@falsifier(
    "benchmark-overlap",
    needs=("contamination",),
    measures={
        "contaminated_problems": "problems",
        "benchmark_missed": "problems",
        "searched": "ngrams",
        "ngram": "words",
        "renamed_problems": "problems",
        "renamed_missed": "problems",
    },
    controls=(
        known_good(nothing_shared),
        known_good(nothing_shared_by_this_search),
        known_bad(benchmark_trained_on),
        known_bad(every_problem_trained_on),
        known_bad(one_problem_trained_on),
        known_bad(search_that_finds_nothing),
        known_bad(solutions_under_other_names),
        known_bad(renamed_solutions_of_this_search),
        known_bad(search_that_a_new_name_escapes),
        known_bad(search_for_longer_runs),
        known_bad(nothing_read),
    ),
)
def benchmark_overlap(context: Context) -> Iterator[Measurement]:
    """Refuted when the text that was trained on shares a run of words with a problem, or the search is blind.

    Solutions are also looked for under other names than their own, as far as they are long enough to be told apart.
    """
    found = context.evidence("contamination").json("overlap.json")
    problems, corpus = found["problems"], found["corpus"]
    yield Measurement("contaminated_problems", len(corpus["contaminated"]), "problems", n=problems)
    missed = problems - len(found["benchmark"]["contaminated"])
    yield Measurement("benchmark_missed", missed, "problems", n=problems)
    yield Measurement("searched", corpus["ngrams"], "ngrams", n=problems)
    yield Measurement("ngram", found["ngram"], "words", n=problems)
    renamed = found["renamed"]
    known = renamed["problems"]
    yield Measurement("renamed_problems", len(renamed["corpus"]["contaminated"]), "problems", n=known)
    yield Measurement("renamed_missed", known - len(renamed["benchmark"]["contaminated"]), "problems", n=known)


_SHARE: dict[str, Any] = {"low": 0, "high": 100, "whole": True}


def _audited(bench: Bench, *, of_real: Mapping[str, int] = MappingProxyType({}), **wrong: int) -> None:
    """Counts as the bars want them, but for the measurements in `wrong`; those `of_real` are a real audit's."""
    counts: dict[str, int] = dict.fromkeys(
        ("foreign_windows", "misplaced_windows", "contaminated_files", "changed_files"), 0
    )
    own = {name: number for name, number in wrong.items() if name in counts}
    # Of two hundred held-out windows.
    share = bench.values({"known_share": 3}, {"known_share": wrong["known_share"]} if own != wrong else {}, **_SHARE)
    found = bench.values(counts, own, low=0, whole=True)
    files = max(20, found["contaminated_files"], found["changed_files"])
    audit = {**found, "files": files, "windows": max(64, *found.values())}
    known = {"heldout_windows": 200, "known_windows": share["known_share"] * 2}
    bench.put("corpus_audit", "corpus.json", {**audit, **known, **of_real})


def windows_out_of_their_files(bench: Bench) -> None:
    """Every window is text of a clean file of its split."""
    _audited(bench)


def tokens_from_nowhere(bench: Bench) -> None:
    """Windows whose text stands in no file of their split: synthetic tokens, or text of the other split."""
    _audited(bench, foreign_windows=64)


def a_benchmark_file_let_through(bench: Bench) -> None:
    """The filter knows the benchmark, and was not applied to the files."""
    _audited(bench, contaminated_files=1)


def a_file_that_was_replaced(bench: Bench) -> None:
    """A file is no longer what the corpus was made of."""
    _audited(bench, changed_files=1)


def windows_in_another_order(bench: Bench) -> None:
    """Their text is that of the files, and they were put where somebody wanted them."""
    _audited(bench, misplaced_windows=3)


def held_out_text_that_was_trained_on(bench: Bench) -> None:
    """No window and no file is in both splits, and most of what is held out stands in training text nearly as it is."""
    _audited(bench, known_share=60)


def _planted(measurement: str, *keys: str) -> Control:
    """This very corpus with what does not belong there, as this run's audit sees it by the counts `keys` alone."""

    def build(bench: Bench) -> None:
        found = bench.real["corpus_audit"].json("planted.json")
        wrong = _share_known(found) if measurement == "known_share" else found[keys[0]]
        bench.bar(measurement).failing(wrong, low=wrong, high=wrong)
        _audited(bench, of_real={key: found[key] for key in keys})

    return known_bad(build, name=f"{measurement.replace('_', ' ')} planted into the corpus of this run")


def _share_known(found: Mapping[str, Any]) -> float:
    return float(100 * found["known_windows"] / found["heldout_windows"])


@falsifier(
    "corpus-files",
    needs=("corpus_audit",),
    measures={
        "foreign_windows": "windows",
        "misplaced_windows": "windows",
        "contaminated_files": "files",
        "changed_files": "files",
        "known_share": "%",
    },
    controls=(
        known_good(windows_out_of_their_files),
        known_bad(tokens_from_nowhere),
        known_bad(a_benchmark_file_let_through),
        known_bad(a_file_that_was_replaced),
        known_bad(windows_in_another_order),
        known_bad(held_out_text_that_was_trained_on),
        _planted("foreign_windows", "foreign_windows", "windows"),
        _planted("misplaced_windows", "misplaced_windows", "windows"),
        _planted("contaminated_files", "contaminated_files", "files"),
        _planted("changed_files", "changed_files", "files"),
        _planted("known_share", "known_windows", "heldout_windows"),
    ),
)
def corpus_files(context: Context) -> Iterator[Measurement]:
    """Refuted when windows are not text of their split's files in its order, or files changed or hold benchmark text.

    `known_share` is that of held-out windows that long runs of trained tokens cover: near twins are in no file twice.
    """
    found = context.evidence("corpus_audit").json("corpus.json")
    for name in ("foreign_windows", "misplaced_windows"):
        yield Measurement(name, found[name], "windows", n=found["windows"])
    yield Measurement("known_share", _share_known(found), "%", n=found["heldout_windows"])
    for name in ("contaminated_files", "changed_files"):
        yield Measurement(name, found[name], "files", n=found["files"])
