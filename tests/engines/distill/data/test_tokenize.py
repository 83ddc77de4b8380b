"""`refute distill tokenize`: what goes in comes out again as ids, on one side of the split, once."""

from __future__ import annotations

import gzip
import hashlib
import json
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset
from pyarrow import parquet
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from refute.engines.distill.data import tokenize as tokenize_module
from refute.engines.distill.data.shards import Manifest, ShardWindows, verify_shards
from refute.engines.distill.data.tokenize import Tokenize, _Writer, tokenize
from refute.engines.distill.data.tokenize_progress import FILE, Progress
from refute.engines.model.tokenizer import Encoder, tokenizer_sha256
from refute.errors import ExperimentError, MissingInputsError, UsageError
from refute.job import Fact

DOCUMENTS = [f"def g{i}(x):\n    return x - {i}\n" for i in range(60)]


def _ids(folder: Path, manifest: Manifest, split: str) -> list[int]:
    """All ids of a split, straight from its files."""
    return [
        number for shard in manifest.shards[split] for number in np.fromfile(folder / shard.file, dtype="<u4").tolist()
    ]


def _documents(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> list[str]:
    """The texts between document ends; the last of them must be closed."""
    *texts, rest = "".join(tokenizer.decode(ids)).split("<|end|>")
    assert rest == ""
    return texts


def _write_jsonl(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def _write_parquet(path: Path, texts: list[str]) -> Path:
    parquet.write_table(pa.table({"text": texts}), path)
    return path


def _write_saved(path: Path, texts: list[str]) -> Path:
    Dataset.from_dict({"text": texts}).save_to_disk(path)
    return path


def _write_files(path: Path, texts: list[str]) -> Path:
    path.mkdir()
    for number, text in enumerate(texts):
        (path / f"{number:03d}.py").write_text(text, encoding="utf-8")
    return path


def _write_gzip(path: Path, texts: list[str]) -> Path:
    path.write_bytes(gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in texts).encode()))
    return path


WRITERS: dict[str, Callable[[Path, list[str]], Path]] = {
    "files": _write_files,
    "rows.jsonl": _write_jsonl,
    "rows.jsonl.gz": _write_gzip,
    "rows.parquet": _write_parquet,
    "saved": _write_saved,
}


def _wanted(source: Path, tokenizer: Path, out: Path, **more: object) -> Tokenize:
    return Tokenize([source], tokenizer, out, **{"heldout_share": 0.2, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", WRITERS)
def test_every_source_gives_the_same_shards(
    tmp_path: Path, teacher_folder: Path, tiny_tokenizer: PreTrainedTokenizerFast, name: str
) -> None:
    """All documents come back, each on one side, whatever the format; digests and counts of the manifest are true."""
    source = WRITERS[name](tmp_path / name, DOCUMENTS)
    manifest = tokenize(_wanted(source, teacher_folder, tmp_path / "out"))
    texts = {split: _documents(tiny_tokenizer, _ids(tmp_path / "out", manifest, split)) for split in manifest.shards}
    assert sorted(texts["train"] + texts["heldout"]) == sorted(DOCUMENTS)
    # The order of rows is the order of documents.
    assert texts["train"] == [text for text in DOCUMENTS if text in texts["train"]]
    assert 4 < len(texts["heldout"]) < 24
    assert manifest == Manifest.load(tmp_path / "out")
    assert manifest.tokenizer_sha256 == tokenizer_sha256(tiny_tokenizer)
    assert manifest.end_of_document == tiny_tokenizer.eos_token_id
    assert manifest.largest_id == max(max(_ids(tmp_path / "out", manifest, split)) for split in manifest.shards)
    verify_shards(tmp_path / "out", manifest)
    for shard in (*manifest.shards["train"], *manifest.shards["heldout"]):
        assert shard.tokens * 4 == (tmp_path / "out" / shard.file).stat().st_size
    assert manifest.facts["documents"] == {
        "train": len(texts["train"]),
        "heldout": len(texts["heldout"]),
        "duplicates": 0,
        "contaminated": 0,
        "undecodable": 0,
        "null": 0,
        "empty": 0,
        "too_long": 0,
    }


def test_shards_are_cut_at_their_limit_and_windows_run_across(tmp_path: Path, teacher_folder: Path) -> None:
    """Small shards hold the ids of one large one, in order, so windows do not depend on the limit."""
    source = _write_jsonl(tmp_path / "rows.jsonl", DOCUMENTS)
    one = tokenize(_wanted(source, teacher_folder, tmp_path / "one"))
    many = tokenize(_wanted(source, teacher_folder, tmp_path / "many", shard_tokens=37))
    assert len(one.shards["train"]) == 1
    assert {shard.tokens for shard in many.shards["train"][:-1]} == {37}
    assert 0 < many.shards["train"][-1].tokens <= 37
    assert _ids(tmp_path / "one", one, "train") == _ids(tmp_path / "many", many, "train")
    left, right = (ShardWindows(tmp_path / name, made, "train", 16) for name, made in (("one", one), ("many", many)))
    assert len(left) == len(right) > 30
    assert left[range(len(left))].equal(right[range(len(right))])


def test_what_is_not_used_is_counted_by_reason(tmp_path: Path, teacher_folder: Path) -> None:
    """Copies, blank texts, bytes and documents that quote the benchmark are left out, and all are counted."""
    problem = {
        "prompt": "def add_all(numbers):",
        "canonical_solution": " return sum of all the numbers",
        "test": "assert add_all of one and two is three",
    }
    problems = tmp_path / "problems.jsonl"
    problems.write_text(json.dumps(problem) + "\n", encoding="utf-8")
    quoting = "see def add_all(numbers): return sum of all the numbers, assert add_all of one"
    folder = _write_files(tmp_path / "files", [*DOCUMENTS, DOCUMENTS[3], DOCUMENTS[3], " \n\t", "", quoting])
    (folder / "zzz.py").write_bytes(b"\xff\xfe\x00")
    manifest = tokenize(_wanted(folder, teacher_folder, tmp_path / "out", problems=problems))
    counts = manifest.facts["documents"]
    assert isinstance(counts, dict)
    assert counts["train"] + counts["heldout"] == len(DOCUMENTS)
    assert {name: counts[name] for name in ("duplicates", "empty", "contaminated", "undecodable")} == {
        "duplicates": 2,
        "empty": 2,
        "contaminated": 1,
        "undecodable": 1,
    }


def test_the_side_of_a_document_depends_on_its_text_and_the_seed_alone(
    tmp_path: Path, teacher_folder: Path, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    """Other order, fewer neighbours: the same documents are held out; another seed holds out others."""

    def heldout(name: str, texts: list[str], seed: int) -> set[str]:
        source = _write_jsonl(tmp_path / f"{name}.jsonl", texts)
        manifest = tokenize(_wanted(source, teacher_folder, tmp_path / name, seed=seed))
        return set(_documents(tiny_tokenizer, _ids(tmp_path / name, manifest, "heldout")))

    everything = heldout("all", DOCUMENTS, 17)
    assert heldout("reversed", DOCUMENTS[::-1], 17) == everything
    assert heldout("half", DOCUMENTS[:30], 17) == everything & set(DOCUMENTS[:30])
    assert heldout("other", DOCUMENTS, 18) != everything


def test_a_text_cannot_forge_a_document_end(
    tmp_path: Path, teacher_folder: Path, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    """The name of the end token inside a text becomes ordinary ids: there are as many ends as documents."""
    source = _write_jsonl(tmp_path / "rows.jsonl", [f"{text}<|end|>" for text in DOCUMENTS])
    manifest = tokenize(_wanted(source, teacher_folder, tmp_path / "out", special_tokens="literal"))
    ids = [number for split in manifest.shards for number in _ids(tmp_path / "out", manifest, split)]
    assert sum(number == tiny_tokenizer.eos_token_id for number in ids) == len(DOCUMENTS)


@pytest.mark.slow
def test_ids_above_two_bytes_are_kept(tmp_path: Path) -> None:
    """A vocabulary of 70,001 tokens: the id 70,000 is on disk and in a window, and bounds the manifest's ids."""
    vocabulary = {"<|end|>": 0, **{f"w{number}": number for number in range(1, 70_001)}}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="w1"))  # noqa: S106
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|end|>").save_pretrained(  # noqa: S106
        tmp_path / "tokenizer"
    )
    texts = [f"w{65_530 + number} w70000" for number in range(12)]
    source = _write_jsonl(tmp_path / "rows.jsonl", texts)
    manifest = tokenize(_wanted(source, tmp_path / "tokenizer", tmp_path / "out", heldout_share=0.3))
    assert manifest.largest_id == 70_000
    rows = [row for split in manifest.shards for row in _windows(tmp_path / "out", manifest, split)]
    assert sorted(rows) == [[65_530 + number, 70_000, 0] for number in range(12)]


def _windows(folder: Path, manifest: Manifest, split: str) -> list[list[int]]:
    windows = ShardWindows(folder, manifest, split, 3)
    rows: list[list[int]] = windows[range(len(windows))].tolist()
    return rows


def test_shards_that_exist_are_not_written_over(tmp_path: Path, teacher_folder: Path) -> None:
    """A finished folder is refused and stays as it was; one that a kill left without a manifest is begun anew."""
    source = _write_jsonl(tmp_path / "rows.jsonl", DOCUMENTS)
    wanted = _wanted(source, teacher_folder, tmp_path / "out", shard_tokens=50)
    first = tokenize(wanted)
    before = _digests(tmp_path / "out")
    with pytest.raises(UsageError, match="holds shards already"):
        tokenize(wanted)
    assert _digests(tmp_path / "out") == before
    (tmp_path / "out" / "manifest.json").unlink()
    (tmp_path / "out" / "train-00001.bin").write_bytes(b"half")
    assert tokenize(wanted) == first
    assert _digests(tmp_path / "out") == before


class KilledError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize(("kill_at", "left"), [(1, 60), (7, 28), (11, 12)])
def test_a_killed_run_goes_on_behind_its_last_shard(
    tmp_path: Path, teacher_folder: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int, left: int
) -> None:
    """Twelve files with copies across them, killed before one: the same bytes, and no finished shard is made again."""
    monkeypatch.setattr(tokenize_module, "_DOCUMENTS_AT_ONCE", 4)
    source = tmp_path / "rows"
    source.mkdir()
    for number in range(12):
        _write_jsonl(source / f"{number:02d}.jsonl", [*DOCUMENTS[number * 5 : number * 5 + 5], DOCUMENTS[number]])
    straight = tokenize(_wanted(source, teacher_folder, tmp_path / "straight", shard_tokens=150))
    assert len(straight.shards["train"]) > 5
    encoded: list[int] = []
    original = Encoder.encode

    def counted(self: Encoder, texts: Sequence[str]) -> list[list[int]]:
        encoded.append(len(texts))
        return original(self, texts)

    monkeypatch.setattr(Encoder, "encode", counted)

    def kill(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        if step == kill_at:
            raise KilledError

    wanted = _wanted(source, teacher_folder, tmp_path / "killed", shard_tokens=150)
    with pytest.raises(KilledError):
        tokenize(wanted, kill)
    encoded.clear()
    assert tokenize(wanted) == straight
    assert _digests(tmp_path / "killed") == _digests(tmp_path / "straight")
    assert sum(encoded) == left


def test_an_unfinished_run_of_other_settings_is_refused(
    tmp_path: Path, teacher_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another seed, a changed source, a shard that lost a byte, half a file: each is named."""
    monkeypatch.setattr(tokenize_module, "_DOCUMENTS_AT_ONCE", 4)
    source = _write_jsonl(tmp_path / "rows.jsonl", DOCUMENTS)

    def kill(stage: str, step: int, total: int, facts: Mapping[str, Fact]) -> None:
        if step == total:
            raise KilledError

    wanted = _wanted(source, teacher_folder, tmp_path / "out", shard_tokens=50)
    with pytest.raises(KilledError):
        tokenize(wanted, kill)
    with pytest.raises(UsageError, match="unfinished run of other settings: seed 17, now 18"):
        tokenize(replace(wanted, seed=18))
    shard, kept = tmp_path / "out" / "train-00000.bin", (tmp_path / "out" / "train-00000.bin").read_bytes()
    shard.write_bytes(kept[:-1])
    with pytest.raises(ExperimentError, match=r"train-00000\.bin should have SHA-256"):
        tokenize(wanted)
    shard.write_bytes(kept)
    progress = (tmp_path / "out" / FILE).read_bytes()
    (tmp_path / "out" / FILE).write_bytes(progress[: len(progress) // 2])
    with pytest.raises(ExperimentError, match=r"unfinished\.safetensors cannot be read"):
        tokenize(wanted)
    (tmp_path / "out" / FILE).write_bytes(progress)
    _write_jsonl(source, DOCUMENTS[:-1])
    with pytest.raises(UsageError, match="unfinished run of other settings: sources"):
        tokenize(wanted)


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_leaves_a_side_empty_is_refused(tmp_path: Path, teacher_folder: Path, share: float) -> None:
    """Both sides are needed: the share must lie between 0 and 1."""
    source = _write_jsonl(tmp_path / "rows.jsonl", DOCUMENTS)
    with pytest.raises(UsageError, match="between 0 and 1, found"):
        tokenize(_wanted(source, teacher_folder, tmp_path / "out", heldout_share=share))


def test_a_side_without_documents_leaves_no_manifest(tmp_path: Path, teacher_folder: Path) -> None:
    """One document cannot be on both sides: the error names the empty one and the counts."""
    source = _write_jsonl(tmp_path / "rows.jsonl", [DOCUMENTS[0], DOCUMENTS[0]])
    with pytest.raises(UsageError, match=r"no document is left for (train|heldout): .*duplicates=1"):
        tokenize(_wanted(source, teacher_folder, tmp_path / "out"))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_tokenizer_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The path that was given is in the message."""
    source = _write_jsonl(tmp_path / "rows.jsonl", DOCUMENTS)
    with pytest.raises(MissingInputsError, match="nowhere does not exist"):
        tokenize(_wanted(source, tmp_path / "nowhere", tmp_path / "out"))


def test_a_shard_in_the_making_takes_four_bytes_an_id(tmp_path: Path) -> None:
    """Ids wait as numbers of four bytes and not as objects: a shard of 2^28 of them is 1 GiB, not ten."""
    writer, ids = _Writer(tmp_path, "train", 2**30, [], Progress().pending["train"]), list(range(1000, 101_000))
    tracemalloc.start()
    for _ in range(5):
        writer.add(ids)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 500_000 * 6
