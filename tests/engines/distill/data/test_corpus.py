"""The corpus is split by file, clean of the benchmark, free of duplicates, and as long as was asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerFast

from refute.engines.distill.data.corpus import build_corpus, window_hash
from refute.engines.distill.data.decontamination import Benchmark, read_problems
from refute.engines.distill.data.documents import find_documents, seeded_order
from refute.engines.model.tokenizer import Encoder
from refute.errors import ExperimentError, MissingInputsError
from refute.job import Job
from refute.spec.release import StdlibCorpus
from small_corpus import PROBLEM


def config(sources: Path, problems: Path, teacher: Path, **changes: object) -> dict[str, Any]:
    """A corpus configuration over `sources` with the tokenizer in `teacher`."""
    corpus = {"kind": "files", "path": "sources", "train_tokens": 1600, "heldout_tokens": 640, **changes}
    model = {"format": "hf", "path": "teacher"}
    return {
        "corpus": corpus,
        "path": str(sources),
        "seq_len": 32,
        "problems_path": str(problems),
        "tokenizer": {"kind": "source", "model": model, "path": str(teacher)},
    }


def test_split_is_by_file_and_digests_match(
    make_job: Callable[..., Job], sources: Path, problems: Path, teacher_folder: Path
) -> None:
    """No file is in both splits, no window either, and the manifest's digests are those of the tensors."""
    job = make_job("corpus", config(sources, problems, teacher_folder))
    build_corpus(job)
    manifest = json.loads((job.out / "manifest.json").read_text(encoding="utf-8"))
    files = {
        split: {row["path"] for row in manifest["files"] if row["split"] == split} for split in ("train", "heldout")
    }
    windows = {}
    for split, expected in (("train", 1600), ("heldout", 640)):
        tokens = load_file(job.out / f"{split}.safetensors")["tokens"]
        assert tokens.shape == (expected // 32, 32)
        assert manifest[f"{split}_tokens"] == expected
        assert manifest[f"{split}_sha256"] == hashlib.sha256(tokens.numpy().tobytes()).hexdigest()
        windows[split] = {tuple(row) for row in tokens.tolist()}
    assert files["train"]
    assert files["heldout"]
    assert not files["train"] & files["heldout"]
    assert not windows["train"] & windows["heldout"]
    assert manifest["shared_windows"] == 0
    assert manifest["benchmark_selfcheck"] == {"problems": 1, "rejected": 1}


def test_heldout_does_not_depend_on_the_training_budget(
    make_job: Callable[..., Job], sources: Path, problems: Path, teacher_folder: Path
) -> None:
    """Runs of different budgets are judged on the same windows."""
    digests = []
    for name, budget in (("small", 320), ("large", 1600)):
        job = make_job(name, config(sources, problems, teacher_folder, train_tokens=budget))
        build_corpus(job)
        digests.append(json.loads((job.out / "manifest.json").read_text(encoding="utf-8"))["heldout_sha256"])
    assert digests[0] == digests[1]


def test_planted_problem_duplicate_and_binary_are_dropped(
    make_job: Callable[..., Job], sources: Path, problems: Path, teacher_folder: Path
) -> None:
    """A file that quotes the benchmark in other spacing and case, a copy, and bytes that are no text are named."""
    (sources / "leak.py").write_text("x = 1\n" + PROBLEM["prompt"].upper().replace(" ", "\n\t "), encoding="utf-8")
    (sources / "copy.py").write_bytes((sources / "m03.py").read_bytes())
    (sources / "binary.py").write_bytes(b"\xff\xfe\x00bad")
    job = make_job("corpus", config(sources, problems, teacher_folder, train_tokens=3712))  # all there is
    build_corpus(job)
    manifest = json.loads((job.out / "manifest.json").read_text(encoding="utf-8"))
    used = {row["path"] for row in manifest["files"]}
    assert manifest["dropped"]["contaminated"] == ["leak.py"]
    assert manifest["dropped"]["undecodable"] == ["binary.py"]
    assert len({"copy.py", "m03.py"} & used) == 1
    assert len(manifest["dropped"]["duplicates"]) == 1


def test_files_that_are_no_text_of_their_own_are_refused_or_passed_over(
    make_job: Callable[..., Job], sources: Path, problems: Path, teacher_folder: Path
) -> None:
    """Hooks of git and READMEs are no corpus, rows of JSON are not one text, spelt tokens are named."""
    for name in (".git/hooks/a.py", "README.py"):
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        (sources / name).write_text("y = 1\n", encoding="utf-8")
    (sources / "marked.py").write_bytes("z = 2\n".encode("utf-8-sig"))
    job = make_job("corpus", config(sources, problems, teacher_folder))
    build_corpus(job)
    manifest = json.loads((job.out / "manifest.json").read_text(encoding="utf-8"))
    used = {row["path"] for row in manifest["files"]}
    assert not {".git/hooks/a.py", "README.py"} & used
    (sources / "spells.py").write_text("END = '<|end|>'\n", encoding="utf-8")
    everything = config(sources, problems, teacher_folder, train_tokens=9000)
    with pytest.raises(
        ExperimentError, match=r"1 of \d+ texts of the corpus spell special tokens, such as '<\|end\|>'"
    ):
        build_corpus(make_job("refused", everything))
    everything["corpus"]["special_tokens"] = "literal"
    with pytest.raises(ExperimentError, match="9000 were asked for"):
        build_corpus(make_job("literal", everything))
    (sources / "rows.py").write_text('{"text": "a"}\n', encoding="utf-8")
    with pytest.raises(ExperimentError, match=r"rows\.py holds rows of JSON"):
        build_corpus(make_job("rows", everything))


def test_windows_begin_as_the_model_reads_a_text(
    make_job: Callable[..., Job],
    sources: Path,
    problems: Path,
    tmp_path: Path,
    tiny_tokenizer: PreTrainedTokenizerFast,
) -> None:
    """A tokenizer with a beginning has it once in every window, first; one without has none."""
    backend = Tokenizer.from_str(tiny_tokenizer.backend_tokenizer.to_str())
    backend.add_special_tokens(["<s>"])
    begin = backend.token_to_id("<s>")
    assert begin is not None
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)])
    for name, tokenizer in (("with", backend), ("without", tiny_tokenizer.backend_tokenizer)):
        saved = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")  # noqa: S106 - a token of text, not of access
        saved.save_pretrained(tmp_path / name)
        job = make_job(name, config(sources, problems, tmp_path / name))
        build_corpus(job)
        manifest = json.loads((job.out / "manifest.json").read_text(encoding="utf-8"))
        windows = load_file(job.out / "train.safetensors")["tokens"]
        assert manifest["beginning_of_sequence"] == (begin if name == "with" else None)
        assert windows.shape == (50, 32)
        first = 1 if name == "with" else 0
        assert windows[:, :first].eq(begin).all()
        assert not windows[:, first:].eq(begin).any()


def test_repeated_windows_are_kept_out_of_training(
    make_job: Callable[..., Job], tmp_path: Path, problems: Path, teacher_folder: Path
) -> None:
    """Files that differ but contain the same windows do not carry held-out windows into training."""
    folder = tmp_path / "repeats"
    folder.mkdir()
    for i in range(8):
        text = "a" * 2000 + f" {i}\n" * 40
        (folder / f"r{i}.py").write_text(text, encoding="utf-8")
    shared = config(folder, problems, teacher_folder, train_tokens=64, heldout_tokens=320)
    job = make_job("corpus", shared)
    build_corpus(job)
    manifest = json.loads((job.out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["shared_windows"] == 0
    assert manifest["train_windows_left_out"] > 0
    heldout = load_file(job.out / "heldout.safetensors")["tokens"]
    assert len({tuple(window) for window in heldout.tolist()}) == len(heldout) > 1, "none counts twice"


def test_corpus_that_is_too_short_names_both_numbers(
    make_job: Callable[..., Job], sources: Path, problems: Path, teacher_folder: Path
) -> None:
    """Asking for more than there is never yields less silently."""
    job = make_job("corpus", config(sources, problems, teacher_folder, train_tokens=10_000_000))
    with pytest.raises(ExperimentError, match=r"train holds \d+ tokens in whole windows, 10000000 were asked for"):
        build_corpus(job)


@pytest.mark.parametrize("text", ["", "x = 1\n"])
def test_corpus_shorter_than_one_sequence(
    make_job: Callable[..., Job], tmp_path: Path, problems: Path, teacher_folder: Path, text: str
) -> None:
    """A folder with next to nothing in it is named as shorter than one sequence."""
    folder = tmp_path / "short"
    folder.mkdir()
    (folder / "a.py").write_text(text, encoding="utf-8")
    job = make_job("corpus", config(folder, problems, teacher_folder))
    with pytest.raises(ExperimentError, match="shorter than one sequence of 32"):
        build_corpus(job)


def test_budget_below_one_sequence(
    make_job: Callable[..., Job], sources: Path, problems: Path, teacher_folder: Path
) -> None:
    """A budget smaller than seq_len is refused before anything is read."""
    job = make_job("corpus", config(sources, problems, teacher_folder, heldout_tokens=31))
    with pytest.raises(ExperimentError, match=r"heldout_tokens = 31 is shorter than one sequence of seq_len = 32"):
        build_corpus(job)


def test_missing_and_empty_folders(
    make_job: Callable[..., Job], tmp_path: Path, problems: Path, teacher_folder: Path
) -> None:
    """An absent folder and one without matching files are different errors."""
    with pytest.raises(MissingInputsError, match="absent is not a folder"):
        build_corpus(make_job("absent", config(tmp_path / "absent", problems, teacher_folder)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInputsError, match="empty is empty"):
        build_corpus(make_job("empty", config(tmp_path / "empty", problems, teacher_folder)))


def test_benchmark_recognises_itself_and_nothing_without_problems(problems: Path) -> None:
    """The positive control rejects all problems; an empty reference rejects nothing, the benchmark included."""
    texts = read_problems(problems)
    assert Benchmark.of(texts, 10).count_rejected() == 1
    assert not Benchmark.of([], 10).found_in(texts[0])
    assert not Benchmark.of(texts, 10).found_in("entirely other words that no problem has ever used anywhere at all")


def test_ngram_longer_than_a_problem_fails_the_selfcheck(problems: Path) -> None:
    """A decontamination that cannot see its benchmark stops the build instead of finding nothing."""
    with pytest.raises(ExperimentError, match=r"500-grams recognise 0 of .* 1 problems"):
        Benchmark.of(read_problems(problems), 500).count_rejected()


@pytest.mark.parametrize("text", ["", "{}\n", "not json\n"])
def test_problems_file_that_is_none(tmp_path: Path, text: str) -> None:
    """A benchmark file without problems is an error: it would clear every document."""
    path = tmp_path / "bad.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MissingInputsError, match=r"bad.jsonl"):
        read_problems(path)


def test_document_text_cannot_forge_a_document_end(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    """The end token appears once, at the end, even when the text spells it."""
    encoder = Encoder(tiny_tokenizer, "literal")
    (ids,) = encoder.encode(["a<|end|>b"])
    assert ids.count(encoder.end_of_document) == 1
    assert ids[-1] == encoder.end_of_document


@pytest.mark.slow
def test_stdlib_is_found_without_tests_and_third_party_code() -> None:
    """The built-in corpus holds the interpreter's own modules only, in a seeded order."""
    corpus = StdlibCorpus(kind="python_stdlib", train_tokens=1, heldout_tokens=1)
    root, paths = find_documents(corpus, None)
    assert "argparse.py" in paths
    assert (root / paths[0]).is_file()
    assert not [path for path in paths if {"site-packages", "test", "tests"} & set(path.split("/"))]
    assert paths == seeded_order(reversed(paths), corpus.seed)
    assert paths != seeded_order(paths, corpus.seed + 1)


def test_window_hash_is_of_the_stored_bytes() -> None:
    """The hash is SHA-256 over little-endian int32, as other tools can compute it."""
    assert window_hash(np.array([1, 258], dtype=np.int32)) == hashlib.sha256(b"\x01\0\0\0\x02\x01\0\0").digest()
