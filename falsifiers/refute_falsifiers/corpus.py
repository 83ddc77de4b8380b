"""Is held-out text held out, and is the benchmark outside the corpus?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from refute import Bench, Context, Measurement, falsifier, known_bad, known_good


def _lay_out(
    bench: Bench,
    *,
    train_first: int = 1000,
    heldout_first: int = 90000,
    train_file: str = "a.py",
    rejected: int = 164,
    heldout_windows: int = 32,
) -> None:
    windows = np.arange(64 * 64, dtype=np.int32).reshape(64, 64)
    bench.put_arrays("corpus", "train.safetensors", {"tokens": windows + np.int32(train_first)})
    bench.put_arrays("corpus", "heldout.safetensors", {"tokens": windows[:heldout_windows] + np.int32(heldout_first)})
    manifest: dict[str, Any] = {
        "files": [
            {"path": train_file, "sha256": train_file, "split": "train"},
            {"path": "b.py", "sha256": "b.py", "split": "heldout"},
        ],
        "benchmark_selfcheck": {"problems": 164, "rejected": rejected},
    }
    bench.put("corpus", "manifest.json", manifest)


def disjoint_splits(bench: Bench) -> None:
    """Two splits without a window or file in common, and a filter that knows the benchmark."""
    _lay_out(bench)


def held_out_inside_training(bench: Bench) -> None:
    """Held-out windows that were trained on."""
    _lay_out(bench, heldout_first=1000)


def one_file_in_both_splits(bench: Bench) -> None:
    """A file on both sides of the split."""
    _lay_out(bench, train_file="b.py")


def filter_that_filters_nothing(bench: Bench) -> None:
    """A decontamination that lets the benchmark itself through."""
    _lay_out(bench, rejected=0)


def too_little_held_out(bench: Bench) -> None:
    """Four windows: whatever is measured on them says little."""
    _lay_out(bench, heldout_windows=4)


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


def _overlap(bench: Bench, corpus: dict[str, Any], benchmark: dict[str, Any] | None = None, ngram: int = 10) -> None:
    found = {"problems": _PROBLEMS, "ngram": ngram, "corpus": corpus, "benchmark": benchmark or _all_shared()}
    bench.put("contamination", "overlap.json", found)


def _all_shared() -> dict[str, Any]:
    return {**_nothing_shared(_PROBLEMS), "contaminated": {str(number): 9 for number in range(_PROBLEMS)}}


def _nothing_shared(documents: int = 100) -> dict[str, Any]:
    return {"documents": documents, "ngrams": 1000 * documents, "contaminated": {}}


def nothing_shared(bench: Bench) -> None:
    """Much text, and none of the benchmark's; the search finds the benchmark in itself."""
    _overlap(bench, _nothing_shared())


def nothing_shared_by_this_search(bench: Bench) -> None:
    """The same, with what this very search found where the benchmark itself was the corpus."""
    real = bench.real["contamination"].json("overlap.json")
    bench.put("contamination", "overlap.json", {**real, "corpus": _nothing_shared()})


def benchmark_trained_on(bench: Bench) -> None:
    """What this very search found where the benchmark itself was the corpus."""
    _overlap(bench, bench.real["contamination"].json("overlap.json")["benchmark"])


def every_problem_trained_on(bench: Bench) -> None:
    """The benchmark is the corpus."""
    _overlap(bench, _all_shared())


def one_problem_trained_on(bench: Bench) -> None:
    """A single problem, by a single run of words."""
    _overlap(bench, {**_nothing_shared(), "contaminated": {"3": 1}})


def search_that_finds_nothing(bench: Bench) -> None:
    """A search that misses the benchmark in itself: its silence about the corpus means nothing."""
    _overlap(bench, _nothing_shared(), _nothing_shared(_PROBLEMS))


def search_for_longer_runs(bench: Bench) -> None:
    """Runs of fifty words: a copied problem with one word changed would pass."""
    _overlap(bench, _nothing_shared(), ngram=50)


def nothing_read(bench: Bench) -> None:
    """No text was searched."""
    _overlap(bench, _nothing_shared(documents=0))


@falsifier(
    "benchmark-overlap",
    needs=("contamination",),
    measures={
        "contaminated_problems": "problems",
        "benchmark_missed": "problems",
        "searched": "ngrams",
        "ngram": "words",
    },
    controls=(
        known_good(nothing_shared),
        known_good(nothing_shared_by_this_search),
        known_bad(benchmark_trained_on),
        known_bad(every_problem_trained_on),
        known_bad(one_problem_trained_on),
        known_bad(search_that_finds_nothing),
        known_bad(search_for_longer_runs),
        known_bad(nothing_read),
    ),
)
def benchmark_overlap(context: Context) -> Iterator[Measurement]:
    """Refuted when the text that was trained on shares a run of words with a problem, or the search is blind."""
    found = context.evidence("contamination").json("overlap.json")
    problems, corpus = found["problems"], found["corpus"]
    yield Measurement("contaminated_problems", len(corpus["contaminated"]), "problems", n=problems)
    missed = problems - len(found["benchmark"]["contaminated"])
    yield Measurement("benchmark_missed", missed, "problems", n=problems)
    yield Measurement("searched", corpus["ngrams"], "ngrams", n=problems)
    yield Measurement("ngram", found["ngram"], "words", n=problems)


def _audited(bench: Bench, **found: int) -> None:
    counts = {"files": 20, "changed_files": 0, "contaminated_files": 0, "windows": 64, "foreign_windows": 0}
    bench.put("corpus_audit", "corpus.json", {**counts, **found})


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


@falsifier(
    "corpus-files",
    needs=("corpus_audit",),
    measures={"foreign_windows": "windows", "contaminated_files": "files", "changed_files": "files"},
    controls=(
        known_good(windows_out_of_their_files),
        known_bad(tokens_from_nowhere),
        known_bad(a_benchmark_file_let_through),
        known_bad(a_file_that_was_replaced),
    ),
)
def corpus_files(context: Context) -> Iterator[Measurement]:
    """Refuted when windows are not text of their split's files, or files changed or hold benchmark text."""
    found = context.evidence("corpus_audit").json("corpus.json")
    yield Measurement("foreign_windows", found["foreign_windows"], "windows", n=found["windows"])
    for name in ("contaminated_files", "changed_files"):
        yield Measurement(name, found[name], "files", n=found["files"])
