"""`refute distill tokenize`: documents -> clean documents -> token shards, train and held-out."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from refute.disk import file_sha256, writing
from refute.engines.distill.data.decontamination import Benchmark
from refute.engines.distill.data.reading.preview import preview
from refute.engines.distill.data.reading.sources import find_sources
from refute.engines.distill.data.reading.texts import Reading, Unread, read_documents
from refute.engines.distill.data.shards import ID, MANIFEST, SPLITS, Manifest, Shard
from refute.engines.distill.data.tokenize_progress import DIGEST_BYTES, FILE, Counts, Progress, describe_sources
from refute.engines.model.special_tokens import SpecialTokens, text_separator
from refute.engines.model.tokenizer import Encoder, open_tokenizer, tokenizer_sha256
from refute.errors import UsageError
from refute.job import ProgressCallback
from refute.spec.release import GgufModel, HfModel, Source

_DOCUMENTS_AT_ONCE = 256
_NO_SHA256 = "0" * 64


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
    special_tokens: SpecialTokens = "refuse"
    ngram: int = 10
    shard_tokens: int = 2**28


@dataclass(frozen=True, slots=True)
class _Writer:
    """One split's shards."""

    folder: Path
    split: str
    limit: int
    shards: list[Shard]
    pending: array[int]

    def add(self, ids: list[int]) -> None:
        self.pending.extend(ids)
        while len(self.pending) >= self.limit:
            self._write(self.limit)

    def close(self) -> tuple[Shard, ...]:
        if self.pending:
            self._write(len(self.pending))
        return tuple(self.shards)

    def _write(self, count: int) -> None:
        data = np.array(self.pending[:count], dtype=ID).tobytes()
        name = f"{self.split}-{len(self.shards):05d}.bin"
        (self.folder / name).write_bytes(data)
        self.shards.append(Shard(name, count, hashlib.sha256(data).hexdigest()))
        del self.pending[:count]


def tokenize(
    wanted: Tokenize,
    report: ProgressCallback = lambda *_: None,
    announce: Callable[[str], object] = lambda _: None,
) -> Manifest:
    """Write the shards and their manifest below `wanted.out`, and return it.

    Before that, `announce` is told line by line what is read as what.

    A run that was killed goes on behind its last shard, and ends with the same bytes. Raises UsageError for a folder
    that holds shards already or an unfinished run of other settings, or a share outside (0, 1); MissingInputsError for
    absent sources; UsageError when a split stays empty; ExperimentError when texts spell special tokens that they may
    not.
    """
    _refuse_settings(wanted)
    sources = find_sources(wanted.sources, wanted.pattern)
    tokenizer = open_tokenizer(_model(wanted.tokenizer), wanted.tokenizer)
    reading = Reading(wanted.field, text_separator(tokenizer, wanted.special_tokens))
    for line in preview(sources, reading):
        announce(line)
    encoder = Encoder(tokenizer, wanted.special_tokens)
    benchmark = _benchmark(wanted)
    with writing(wanted.out):
        wanted.out.mkdir(parents=True, exist_ok=True)
    settings = _settings(wanted, sources.files, tokenizer)
    progress = Progress.load(wanted.out, settings)
    writers = {
        split: _Writer(wanted.out, split, wanted.shard_tokens, progress.shards[split], progress.pending[split])
        for split in SPLITS
    }
    for batch in _batches(_clean(_documents(sources.files, reading, progress, report), benchmark, progress)):
        finished = sum(map(len, progress.shards.values()))
        encoded = encoder.encode(batch)
        if encoder.watch.enough:
            break
        if not encoder.watch.found:  # else nothing of this is kept, and what else is found is counted
            _keep(batch, encoded, wanted, writers, progress)
        if sum(map(len, progress.shards.values())) > finished:
            progress.save(wanted.out, settings)
    encoder.watch.refuse("documents")
    _refuse_empty_split(progress.counts)
    manifest = Manifest(
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        end_of_document=encoder.end_of_document,
        beginning_of_sequence=encoder.beginning_of_sequence,
        largest_id=progress.largest_id,
        shards={split: writer.close() for split, writer in writers.items()},
        facts={
            "documents": asdict(progress.counts),
            "heldout_share": wanted.heldout_share,
            "seed": wanted.seed,
            "special_tokens": wanted.special_tokens,
            "decontaminated_ngram": None if benchmark is None else wanted.ngram,
        },
    )
    manifest.save(wanted.out)
    (wanted.out / FILE).unlink(missing_ok=True)
    return manifest


def _refuse_settings(wanted: Tokenize) -> None:
    if not 0 < wanted.heldout_share < 1:
        raise UsageError(f"--heldout-share must lie between 0 and 1, found {wanted.heldout_share}")
    if (wanted.out / MANIFEST).exists():
        raise UsageError(f"{wanted.out} holds shards already", hint="name another folder, or delete that one")


def _benchmark(wanted: Tokenize) -> Benchmark | None:
    """What no document may share an n-gram with, once it is known to find itself."""
    if wanted.problems is None:
        return None
    benchmark = Benchmark.read(wanted.problems, wanted.ngram)
    benchmark.count_rejected()
    return benchmark


def _keep(
    texts: Sequence[str],
    encoded: Sequence[list[int]],
    wanted: Tokenize,
    writers: Mapping[str, _Writer],
    progress: Progress,
) -> None:
    """Each document into the shards of its split."""
    for text, ids in zip(texts, encoded, strict=True):
        split = _split(text, wanted)
        setattr(progress.counts, split, getattr(progress.counts, split) + 1)
        writers[split].add(ids)
        progress.largest_id = max(progress.largest_id, *ids)


def _refuse_empty_split(counts: Counts) -> None:
    if empty := [split for split in SPLITS if getattr(counts, split) == 0]:
        raise UsageError(
            f"no document is left for {' and '.join(empty)}: {counts}",
            hint="name more documents, or another --heldout-share; a document is on one side only",
        )


def _settings(wanted: Tokenize, sources: Sequence[Path], tokenizer: PreTrainedTokenizerFast) -> dict[str, object]:
    """All that decides what is in the shards."""
    return {
        "sources": describe_sources(sources),
        "tokenizer": tokenizer_sha256(tokenizer),
        "field": wanted.field,
        "special_tokens": wanted.special_tokens,
        "heldout_share": wanted.heldout_share,
        "seed": wanted.seed,
        "problems": None if wanted.problems is None else file_sha256(wanted.problems),
        "ngram": wanted.ngram,
        "shard_tokens": wanted.shard_tokens,
    }


def _model(path: Path) -> GgufModel | HfModel:
    if path.is_file():
        return GgufModel(format="gguf", source=Source(path=str(path), sha256=_NO_SHA256))
    return HfModel(format="hf", path=str(path))


def _documents(
    sources: Sequence[Path], reading: Reading, progress: Progress, report: ProgressCallback
) -> Iterator[str | Unread]:
    """From where `progress` is, which moves along."""
    for source in sources[progress.source :]:
        report("tokenize", progress.source, len(sources), {"source": source.name})
        for text in islice(read_documents(source, reading), progress.documents, None):
            progress.documents += 1
            yield text
        progress.source, progress.documents = progress.source + 1, 0
    report("tokenize", len(sources), len(sources), {})


def _clean(texts: Iterable[str | Unread], benchmark: Benchmark | None, progress: Progress) -> Iterator[str]:
    """What may be learnt from, each once; the others are counted by reason."""
    counts, seen = progress.counts, progress.seen
    for text in texts:
        if isinstance(text, Unread):
            setattr(counts, text.reason, getattr(counts, text.reason) + 1)
        elif not text.strip():
            counts.empty += 1
        elif (digest := hashlib.sha256(text.encode()).digest()[:DIGEST_BYTES]) in seen:
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
