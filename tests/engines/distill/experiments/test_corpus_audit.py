"""The audit of a corpus finds what was built by the engine, and finds what was done to it afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedTokenizerFast

from refute.engines.distill.data.corpus import build_corpus
from refute.engines.distill.experiments.corpus_audit import audit_corpus
from refute.job import Job
from small_corpus import PROBLEM

MODEL = {"format": "hf", "path": "teacher"}


@pytest.fixture
def corpus(make_job: Callable[..., Job], sources: Path, problems: Path, teacher_folder: Path) -> Path:
    """Evidence of the real engine on `sources`."""
    asked = {
        "corpus": {"kind": "files", "path": "sources", "train_tokens": 1600, "heldout_tokens": 640},
        "path": str(sources),
        "seq_len": 32,
        "problems_path": str(problems),
        "tokenizer": {"kind": "source", "model": MODEL, "path": str(teacher_folder)},
    }
    job = make_job("corpus", asked)
    build_corpus(job)
    return job.out


@pytest.fixture
def audit(
    make_job: Callable[..., Job], corpus: Path, sources: Path, problems: Path, teacher_folder: Path
) -> Callable[[], dict[str, int]]:
    """audit() -> corpus.json."""

    def run() -> dict[str, int]:
        asked = {
            "corpus": {"kind": "files", "path": "sources", "train_tokens": 1600, "heldout_tokens": 640},
            "path": str(sources),
            "problems_path": str(problems),
            "tokenizer": {"model": MODEL, "path": str(teacher_folder)},
            "windows": 16,
        }
        job = make_job("corpus_audit", asked, {"corpus": corpus})
        audit_corpus(job)
        found: dict[str, int] = json.loads((job.out / "corpus.json").read_text(encoding="utf-8"))
        return found

    return run


Audit = Callable[[], dict[str, int]]


def manifest_of(corpus: Path) -> dict[str, list[dict[str, str]]]:
    """The files that the corpus names."""
    found: dict[str, list[dict[str, str]]] = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
    return found


def file_of(corpus: Path, sources: Path, split: str) -> Path:
    """The first file of a split."""
    return sources / next(row["path"] for row in manifest_of(corpus)["files"] if row["split"] == split)


def put_tokens(corpus: Path, split: str, tokens: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> None:
    """Other windows in the place of a split's."""
    save_file({"tokens": np.ascontiguousarray(tokens)}, corpus / f"{split}.safetensors")


def test_an_untouched_corpus_is_what_it_says(audit: Audit, corpus: Path) -> None:
    """Every window of both splits is found in its files, cut where it may be; nothing changed, nothing is tainted."""
    found = audit()
    assert found["files"] == len(manifest_of(corpus)["files"]) > 2
    assert (found["windows"], found["foreign_windows"]) == (32, 0)
    assert (found["changed_files"], found["contaminated_files"]) == (0, 0)
    assert (found["heldout_windows"], found["misplaced_windows"]) == (20, 0)


def test_what_was_planted_is_found_in_the_same_run(
    audit: Callable[[], dict[str, int]], corpus: Path, tmp_path: Path
) -> None:
    """An audit that calls everything clean calls that clean, too."""
    clean = audit()
    (file,) = tmp_path.rglob("planted.json")
    planted = json.loads(file.read_text(encoding="utf-8"))
    for count in ("foreign_windows", "changed_files", "contaminated_files"):
        assert (clean[count], planted[count]) == (0, 1)
    assert planted["misplaced_windows"] > 0
    assert (
        planted["known_windows"]
        == planted["heldout_windows"]
        == min(64, len(load_file(corpus / "train.safetensors")["tokens"]))
    )


def test_tokens_from_nowhere_are_foreign(audit: Audit, corpus: Path) -> None:
    """Random ids, of a tokenizer that knows them all, are text of no file."""
    shape = load_file(corpus / "train.safetensors")["tokens"].shape
    put_tokens(corpus, "train", np.random.default_rng(17).integers(1, 300, shape).astype(np.int32))
    assert audit()["foreign_windows"] == 16


def test_windows_of_the_other_split_are_foreign(audit: Audit, corpus: Path) -> None:
    """Text of the corpus is not enough: it must be text of its split."""
    put_tokens(corpus, "heldout", load_file(corpus / "train.safetensors")["tokens"][:20])
    assert audit()["foreign_windows"] == 16


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_windows_in_another_order_are_misplaced(audit: Audit, corpus: Path, split: str) -> None:
    """Whoever puts the windows that suit first has text of the files, in no order that anybody declared."""
    put_tokens(corpus, split, np.roll(load_file(corpus / f"{split}.safetensors")["tokens"], 1, axis=0))
    found = audit()
    assert found["foreign_windows"] == 0
    assert found["misplaced_windows"] > 0


def test_one_foreign_document_in_a_window_is_enough(
    audit: Audit, corpus: Path, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    """A window holds several documents; each must be found."""
    tokens = load_file(corpus / "heldout.safetensors")["tokens"].copy()
    strange, end = tiny_tokenizer.backend_tokenizer.encode("qqqq").ids, tiny_tokenizer.eos_token_id
    tokens[0, 8 : 10 + len(strange)] = [end, *strange, end]
    put_tokens(corpus, "heldout", tokens)
    assert audit()["foreign_windows"] == 1


def test_a_document_that_ends_before_its_file_is_foreign(audit: Audit, corpus: Path) -> None:
    """Text of a file that was cut: what is there is in the file, and the file goes on where an end was put."""
    tokens = load_file(corpus / "train.safetensors")["tokens"].copy()
    tokens[0, -1] = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))["end_of_document"]
    put_tokens(corpus, "train", tokens)
    assert audit()["foreign_windows"] == 1


def test_a_file_that_was_replaced_is_changed(audit: Audit, corpus: Path, sources: Path) -> None:
    """One byte more is another file, though every window is still found in it."""
    with file_of(corpus, sources, "train").open("a", encoding="utf-8") as file:
        file.write("\n")
    found = audit()
    assert (found["changed_files"], found["foreign_windows"]) == (1, 0)


def test_benchmark_text_in_a_file_is_found(audit: Audit, corpus: Path, sources: Path) -> None:
    """By the words of the file itself, whatever the builder's filter said of it, in other case and layout."""
    with file_of(corpus, sources, "heldout").open("a", encoding="utf-8") as file:
        file.write("# " + PROBLEM["prompt"].upper().replace(" ", "  "))
    assert audit()["contaminated_files"] == 1


def test_a_file_that_is_gone_is_an_error(audit: Audit, corpus: Path, sources: Path) -> None:
    """It is not passed over."""
    file_of(corpus, sources, "train").unlink()
    with pytest.raises(FileNotFoundError, match=r"m\d\d\.py"):
        audit()
