"""`refute distill tokenize`: documents -> clean documents -> token shards, train and held-out."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from refute.distill.decontamination import Benchmark, read_problems
from refute.distill.shards import ID, MANIFEST, SPLITS, Manifest, Shard
from refute.distill.texts import find_sources, read_documents
from refute.distill.tokenizer import Encoder, open_tokenizer, tokenizer_sha256
from refute.errors import ExperimentError, UsageError
from refute.release import GgufModel, HfModel, Source

_DOCUMENTS_AT_ONCE = 256
_NO_SHA256 = "0" * 64

Report = Callable[[str, int, int, dict[str, float | int | str]], None]


@dataclass(frozen=True, slots=True)
class Tokenize:
    """What is asked for. A document is held out by its content's hash and `seed`, so copies are on one side."""

    sources: Sequence[Path]
    tokenizer: Path
    out: Path
    pattern: str = "**/*"
    field: str = "text"
    heldout_share: float = 0.01
    seed: int = 17
    problems: Path | None = None
    ngram: int = 10
    shard_tokens: int = 2**28


@dataclass(slots=True)
class Counts:
    """Documents by what became of them."""

    train: int = 0
    heldout: int = 0
    duplicates: int = 0
    contaminated: int = 0
    undecodable: int = 0
    empty: int = 0


@dataclass(slots=True)
class _Writer:
    """One split's shards."""

    folder: Path
    split: str
    limit: int
    shards: list[Shard] = field(default_factory=list)
    # Four bytes an id: a list of them would take ten times as much, 10 GB before the first shard is written.
    _ids: array[int] = field(default_factory=lambda: array("I"))

    def add(self, ids: list[int]) -> None:
        self._ids.extend(ids)
        while len(self._ids) >= self.limit:
            self._write(self._ids[: self.limit])
            self._ids = self._ids[self.limit :]

    def close(self) -> tuple[Shard, ...]:
        if self._ids:
            self._write(self._ids)
        return tuple(self.shards)

    def _write(self, ids: array[int]) -> None:
        data = np.array(ids, dtype=ID).tobytes()
        name = f"{self.split}-{len(self.shards):05d}.bin"
        (self.folder / name).write_bytes(data)
        self.shards.append(Shard(name, len(ids), hashlib.sha256(data).hexdigest()))


def tokenize(wanted: Tokenize, report: Report = lambda *_: None) -> Manifest:
    """Write the shards and their manifest below `wanted.out`, and return it.

    Raises UsageError for a folder that holds shards already or a share outside (0, 1), MissingInputsError for absent
    sources, ExperimentError when a split stays empty.
    """
    if not 0 < wanted.heldout_share < 1:
        raise UsageError(f"--heldout-share must lie between 0 and 1, found {wanted.heldout_share}")
    if (wanted.out / MANIFEST).exists():
        raise UsageError(f"{wanted.out} holds shards already", hint="name another folder, or delete that one")
    sources = find_sources(wanted.sources, wanted.pattern)
    tokenizer = open_tokenizer(_model(wanted.tokenizer), wanted.tokenizer)
    encoder, counts = Encoder(tokenizer), Counts()
    benchmark = None
    if wanted.problems is not None:
        benchmark = Benchmark.of(read_problems(wanted.problems), wanted.ngram)
        benchmark.count_rejected()
    wanted.out.mkdir(parents=True, exist_ok=True)
    writers = {split: _Writer(wanted.out, split, wanted.shard_tokens) for split in SPLITS}
    largest = 0
    texts = _clean(_documents(sources, wanted, report), benchmark, counts)
    for batch in _batches(texts):
        for text, ids in zip(batch, encoder.encode(batch), strict=True):
            split = _split(text, wanted)
            setattr(counts, split, getattr(counts, split) + 1)
            writers[split].add(ids)
            largest = max(largest, *ids)
    empty = [split for split in SPLITS if getattr(counts, split) == 0]
    if empty:
        raise ExperimentError(
            f"no document is left for {' and '.join(empty)}: {counts}",
            hint="name more documents, or another --heldout-share; a document is on one side only",
        )
    manifest = Manifest(
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        end_of_document=encoder.end_of_document,
        largest_id=largest,
        shards={split: writer.close() for split, writer in writers.items()},
        facts={
            "documents": {name: getattr(counts, name) for name in Counts.__slots__},
            "heldout_share": wanted.heldout_share,
            "seed": wanted.seed,
            "decontaminated_ngram": None if benchmark is None else wanted.ngram,
        },
    )
    manifest.save(wanted.out)
    return manifest


def _model(path: Path) -> GgufModel | HfModel:
    if path.is_file():
        return GgufModel(format="gguf", source=Source(path=str(path), sha256=_NO_SHA256))
    return HfModel(format="hf", path=str(path))


def _documents(sources: Sequence[Path], wanted: Tokenize, report: Report) -> Iterator[str | None]:
    for done, source in enumerate(sources):
        report("tokenize", done, len(sources), {"source": source.name})
        yield from read_documents(source, wanted.field)
    report("tokenize", len(sources), len(sources), {})


def _clean(texts: Iterable[str | None], benchmark: Benchmark | None, counts: Counts) -> Iterator[str]:
    """What may be learnt from, each once; the others are counted by reason."""
    seen: set[bytes] = set()
    for text in texts:
        if text is None:
            counts.undecodable += 1
        elif not text.strip():
            counts.empty += 1
        elif (digest := hashlib.sha256(text.encode()).digest()[:16]) in seen:
            counts.duplicates += 1
        elif benchmark is not None and benchmark.found_in(text):
            counts.contaminated += 1
        else:
            seen.add(digest)
            yield text


def _split(text: str, wanted: Tokenize) -> str:
    digest = hashlib.sha256(f"{wanted.seed}\0{text}".encode()).digest()
    return "heldout" if int.from_bytes(digest[:8], "big") / 2**64 < wanted.heldout_share else "train"


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(texts, _DOCUMENTS_AT_ONCE)):
        yield batch
