"""Benchmark text in the tokens that are trained on is found, and the benchmark finds itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refute.engines.distill.data.corpus import build_corpus
from refute.engines.distill.data.decontamination import Benchmark, read_problems
from refute.engines.distill.experiments.contamination import measure_overlap
from refute.job import Job

PROBLEMS = [
    {
        "prompt": f"def task_{letter}(values):\n    '''the {letter} sum of all values that are larger than ten'''\n",
        "canonical_solution": "    return sum(value for value in values if value > 10)\n",
        "test": f"def check(candidate):\n    assert candidate([1, 11]) == '{letter}'\n",
    }
    for letter in "abc"
]

SOLUTION = """    largest = 0
    for value in values:
        if value > 10 and value > largest:
            largest = value
        elif largest - value < 3:
            values.append(value)
    return largest
"""
DISGUISED = """

def best_of(xs):
    # nothing to see here
    m = 7
    for x in xs:
        if x > 99 and x > m:
            m = x
        elif m - x < 1:
            xs.append(x)
    return m
"""


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    """A benchmark of three problems that share a solution."""
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(problem) + "\n" for problem in PROBLEMS), encoding="utf-8")
    return path


@pytest.fixture
def overlap(
    sources: Path, problems: Path, teacher_folder: Path, make_job: Callable[..., Job]
) -> Callable[[str], dict[str, Any]]:
    """Builds a corpus with `leak` in a training file, past a filter for longer runs, and looks for the benchmark."""
    tokenizer = {"kind": "source", "model": {"format": "hf", "path": "t"}, "path": str(teacher_folder)}

    def measure(leak: str) -> dict[str, Any]:
        for path in sources.glob("*.py"):  # in every file, so that training has it whatever the split
            path.write_text(path.read_text(encoding="utf-8") + leak, encoding="utf-8")
        corpus = {"kind": "files", "path": "s", "train_tokens": 3200, "heldout_tokens": 640, "decontaminate_ngram": 14}
        config = {
            "corpus": corpus,
            "path": str(sources),
            "seq_len": 32,
            "problems_path": str(problems),
            "tokenizer": tokenizer,
        }
        built = make_job("corpus", config)
        build_corpus(built)
        settings = {"problems_path": str(problems), "tokenizer": tokenizer}
        job = make_job("contamination", settings, {"corpus": built.out})
        measure_overlap(job)
        found: dict[str, Any] = json.loads((job.out / "overlap.json").read_text(encoding="utf-8"))
        return found

    return measure


def test_a_clean_corpus_shares_nothing_and_the_benchmark_finds_itself(
    overlap: Callable[[str], dict[str, Any]],
) -> None:
    """The positive control takes the way of the corpus: through the tokenizer, in windows, and back."""
    found = overlap("")
    assert (found["ngram"], found["problems"]) == (10, 3)
    assert found["corpus"]["contaminated"] == {}
    assert found["corpus"]["ngrams"] > 200
    assert sorted(found["benchmark"]["contaminated"]) == ["0", "1", "2"]
    # None of these is long enough to be told apart under other names; what is planted for the control is.
    assert (found["renamed"]["problems"], list(found["renamed"]["benchmark"]["contaminated"])) == (1, ["3"])
    assert found["renamed"]["corpus"]["contaminated"] == {}


def test_ten_words_of_one_problem_in_the_training_tokens_are_found(
    overlap: Callable[[str], dict[str, Any]],
) -> None:
    """In other case, spacing and punctuation; nine words are not enough, and other problems are not accused."""
    words = ["task_b", "VALUES:", "the", "b", "sum", "-", "of", "all;", "values", "that", "are"]
    assert len([word for word in words if word.strip("-:;")]) == 10
    assert list(overlap("# " + "   ".join(words) + "\n")["corpus"]["contaminated"]) == ["1"]


def test_nine_words_are_not_enough(overlap: Callable[[str], dict[str, Any]]) -> None:
    """The measure is ten in a row."""
    assert overlap("# task_b values the b sum of all values that\n")["corpus"]["contaminated"] == {}


def test_a_solution_under_other_names_is_found(
    overlap: Callable[[str], dict[str, Any]], problems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the filter lets it through, which drops it as well."""
    long = {**PROBLEMS[0], "canonical_solution": SOLUTION}
    problems.write_text(json.dumps(PROBLEMS[1]) + "\n" + json.dumps(long) + "\n", encoding="utf-8")
    assert Benchmark.read(problems, 14).found_in(DISGUISED)
    assert not Benchmark.of(read_problems(problems), 10).found_in(DISGUISED)
    monkeypatch.setattr(Benchmark, "read", lambda path, ngram: Benchmark.of(read_problems(path), ngram))
    found = overlap(DISGUISED)
    assert found["corpus"]["contaminated"] == {}
    assert list(found["renamed"]["corpus"]["contaminated"]) == ["1"]
    assert sorted(found["renamed"]["benchmark"]["contaminated"]) == ["1", "2"]
