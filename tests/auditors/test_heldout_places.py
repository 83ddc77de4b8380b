"""Held-out files are cut again, and a window that is not of the file it is said to be of is found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from distill_world import problems, sources  # noqa: F401 - fixtures
from refute.auditors.heldout_places import place_heldout
from refute.engines.distill.data.corpus import build_corpus, window_hash
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.evidence.redo import HeldoutPlace
from refute.spec.experiments.evidence_files import PLACES, PLANTED_PLACES

Build = Callable[..., Path]
Place = Callable[[Path], tuple[HeldoutPlace, ...]]


@pytest.fixture
def config(sources: Path, problems: Path, teacher_folder: Path) -> dict[str, Any]:  # noqa: F811
    """Of an audit of a corpus over `sources`."""
    return {
        "corpus": {"kind": "files", "path": "sources", "train_tokens": 640, "heldout_tokens": 640},
        "path": str(sources),
        "problems_path": str(problems),
        "tokenizer": {"model": {"format": "hf", "path": "teacher"}, "path": str(teacher_folder)},
    }


@pytest.fixture
def build(make_job: Callable[..., Job], config: dict[str, Any]) -> Build:
    """build(**changes of the corpus) -> evidence of the real engine."""

    def run(**changes: Any) -> Path:
        config["corpus"] |= changes
        tokenizer = {"kind": "source", **config["tokenizer"]}
        job = make_job("corpus", config | {"tokenizer": tokenizer, "seq_len": 32})
        build_corpus(job)
        return job.out

    return run


@pytest.fixture
def place(make_job: Callable[..., Job], config: dict[str, Any]) -> Place:
    """place(corpus) -> the rows of an audit."""

    def run(corpus: Path) -> tuple[HeldoutPlace, ...]:
        job = make_job("places", config, {"corpus": corpus})
        place_heldout(job)
        planted = PLANTED_PLACES.read(job.out, "heldout_places")
        assert planted[0].file is None
        assert planted[1].file not in (None, planted[1].stated)
        return PLACES.read(job.out, "heldout_places")

    return run


def windows_of(corpus: Path) -> np.ndarray[Any, np.dtype[np.int32]]:
    """The held-out ones."""
    return load_file(corpus / "heldout.safetensors")["tokens"]


def put(corpus: Path, windows: np.ndarray[Any, np.dtype[np.int32]], names: list[str]) -> None:
    """Others in their place, in the order of their hashes, as somebody would put them who knows it."""
    order = sorted(range(len(windows)), key=lambda number: window_hash(windows[number]))
    save_file({"tokens": np.ascontiguousarray(windows[order])}, corpus / "heldout.safetensors")
    manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
    manifest["heldout_files"] = [names[number] for number in order]
    (corpus / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def names_of(corpus: Path) -> list[str]:
    """The file that each window is said to be of."""
    found: list[str] = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))["heldout_files"]
    return found


@pytest.mark.parametrize("special_tokens", ["refuse", "literal", "parse"])
def test_every_window_of_the_engine_is_found_in_its_file(build: Build, place: Place, special_tokens: str) -> None:
    """Of as many files as may be held out, each with its share."""
    corpus = build(special_tokens=special_tokens)
    rows = place(corpus)
    assert [row.file for row in rows] == [row.stated for row in rows] == names_of(corpus)
    assert [*Counter(names_of(corpus)).values()] == [5] * 4, "a third of twelve files, twenty windows"


def test_files_shorter_than_a_window_go_on_in_the_next(build: Build, place: Place, sources: Path) -> None:  # noqa: F811
    """And no file is in two windows then, so that windows have no text in common."""
    for number in range(60):
        text = f"x = {number}\n" + "".join(f"y_{n} = {number * n}\n" for n in range(number % 9))
        (sources / f"short{number}.py").write_text(text, encoding="utf-8")
    corpus = build()
    rows = place(corpus)
    assert [row.file for row in rows] == [row.stated for row in rows]
    assert max(Counter(names_of(corpus)).values()) == 2, "72 files, 14 of them for twenty windows"


def test_several_texts_in_a_file(build: Build, place: Place, sources: Path) -> None:  # noqa: F811
    """Texts between separators are closed one by one, and the file is one source."""
    for path in sources.iterdir():
        path.write_text(
            path.read_text(encoding="utf-8").replace("\n    # ", "\n<|endoftext|>\n    # "), encoding="utf-8"
        )
    assert all(row.file == row.stated for row in place(build()))


def test_windows_that_overlap_by_a_token_are_of_no_file(build: Build, place: Place) -> None:
    """One text that counts twice, in the right order, under its right name."""
    corpus = build()
    windows, names = windows_of(corpus).copy(), names_of(corpus)
    windows[1] = np.concatenate([windows[0][1:], windows[1][:1]])
    put(corpus, windows, [names[0], names[0], *names[2:]])
    assert sum(row.file is None for row in place(corpus)) >= 1


def test_a_window_that_counts_twice_is_found_once(build: Build, place: Place) -> None:
    """Its second place is of no file."""
    corpus = build()
    windows, names = windows_of(corpus).copy(), names_of(corpus)
    windows[1] = windows[0]
    put(corpus, windows, [names[0], names[0], *names[2:]])
    assert sum(row.file is None for row in place(corpus)) >= 1


def test_windows_of_one_file_under_many_names_are_found_out(build: Build, place: Place) -> None:
    """Whoever says that each is of a file of its own names files that do not give it."""
    corpus = build()
    windows, names = windows_of(corpus), names_of(corpus)
    known = sorted(set(names))
    put(corpus, windows, [known[known.index(name) - 1] for name in names])
    rows = place(corpus)
    assert all(row.file not in (None, row.stated) for row in rows)


def test_windows_that_suit_are_not_those_that_a_file_gives(build: Build, place: Place) -> None:
    """Text of the file, cut where it may be, and chosen by somebody."""
    other = build(heldout_tokens=960)
    more = [*zip(windows_of(other), names_of(other), strict=True)]
    corpus = build(heldout_tokens=640)
    windows, names = windows_of(corpus).copy(), names_of(corpus)
    known = {window.tobytes() for window in windows}
    windows[0] = next(window for window, name in more if name == names[0] and window.tobytes() not in known)
    put(corpus, windows, names)
    assert any(row.file is None for row in place(corpus))


def test_a_corpus_that_names_too_few_files_is_refused(build: Build, place: Place) -> None:
    """What it does not say of a window cannot be held against it."""
    corpus = build()
    manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
    manifest["heldout_files"].pop()
    (corpus / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ExperimentError, match="names the files of 19 held-out windows and holds 20"):
        place(corpus)
