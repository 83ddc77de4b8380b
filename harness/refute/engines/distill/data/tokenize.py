"""`refute distill tokenize`: documents -> clean documents -> token shards, train and held-out."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
from transformers import PreTrainedTokenizerFast

from refute.disk import file_sha256, writing
from refute.engines.distill.data.decontamination import Benchmark
from refute.engines.distill.data.masked import MaskedEncoder
from refute.engines.distill.data.packing import READ_ONLY
from refute.engines.distill.data.reading.conversations import ChatTemplate, Conversation
from refute.engines.distill.data.reading.preview import preview
from refute.engines.distill.data.reading.sources import find_sources
from refute.engines.distill.data.reading.texts import Reading, Unread, read_documents
from refute.engines.distill.data.shards import ID, MANIFEST, SPLITS, Manifest, Shard
from refute.engines.distill.data.tokenize_progress import DIGEST_BYTES, FILE, Counts, Progress, describe_sources
from refute.engines.model.special_tokens import SpecialTokens, Watch, text_separator
from refute.engines.model.tokenizer import Encoder, open_tokenizer, tokenizer_sha256
from refute.errors import UsageError
from refute.job import ProgressCallback
from refute.spec.release import GgufModel, HfModel, Source

_DOCUMENTS_AT_ONCE = 256
_NO_SHA256 = "0" * 64


@dataclass(frozen=True, slots=True)
class Tokenize:
    """What is asked for. A document is held out by its content's hash and `seed`, so copies are on one side.

    With `chat`, rows are conversations that are laid into windows of `seq_len` ids.
    """

    sources: Sequence[Path]
    tokenizer: Path
    out: Path
    pattern: str = "**/*"
    field: str = "text"
    heldout_share: float = 0.01
    seed: int = 17
    problems: Path | None = None
    special_tokens: SpecialTokens = "refuse"
    chat: bool = False
    seq_len: int | None = None
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

    @property
    def written(self) -> int:
        """Ids so far."""
        return sum(shard.tokens for shard in self.shards) + len(self.pending)

    def add(self, ids: Sequence[int]) -> None:
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
    tokenizer = open_tokenizer(model_at(wanted.tokenizer), wanted.tokenizer)
    template = ChatTemplate(tokenizer) if wanted.chat else None
    reading = Reading(wanted.field, text_separator(tokenizer, wanted.special_tokens), template)
    for line in preview(sources, reading):
        announce(line)
    encoder = Encoder(tokenizer, "parse" if wanted.chat else wanted.special_tokens)
    masked = _masked(wanted, tokenizer, encoder)
    watches = [encoder.watch] if masked is None else [masked.watch, encoder.watch]
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
        encoded = encoder.encode(batch) if masked is None else masked.encode(cast("list[Conversation]", batch))
        if any(watch.enough for watch in watches):
            break
        if not any(watch.found for watch in watches):  # else nothing of this is kept, and what is found is counted
            _keep(batch, encoded, wanted, writers, progress, masked)
        if sum(map(len, progress.shards.values())) > finished:
            progress.save(wanted.out, settings)
    for watch in watches:
        watch.refuse("documents" if masked is None else "messages and conversations")
    _refuse_empty_split(progress.counts)
    if masked is not None:
        for writer in writers.values():
            writer.add(masked.close(writer.written))
    manifest = Manifest(
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        end_of_document=encoder.end_of_document,
        beginning_of_sequence=encoder.beginning_of_sequence,
        largest_id=progress.largest_id,
        seq_len=wanted.seq_len,
        shards={split: writer.close() for split, writer in writers.items()},
        facts={
            "documents": asdict(progress.counts),
            "heldout_share": wanted.heldout_share,
            "seed": wanted.seed,
            "special_tokens": wanted.special_tokens,
            "chat_template_sha256": None if template is None else template.sha256,
            "decontaminated_ngram": None if benchmark is None else wanted.ngram,
        },
    )
    manifest.save(wanted.out)
    (wanted.out / FILE).unlink(missing_ok=True)
    return manifest


def _refuse_settings(wanted: Tokenize) -> None:
    if not 0 < wanted.heldout_share < 1:
        raise UsageError(f"--heldout-share must lie between 0 and 1, found {wanted.heldout_share}")
    if wanted.chat != (wanted.seq_len is not None) or (wanted.chat and wanted.special_tokens == "literal"):
        raise UsageError(
            f"--chat is {wanted.chat}, --seq-len {wanted.seq_len}, --special-tokens {wanted.special_tokens}",
            hint="conversations are laid into the windows of the run: --chat --seq-len N, with --special-tokens refuse "
            "(what people wrote spells none) or parse",
        )
    if (wanted.out / MANIFEST).exists():
        raise UsageError(f"{wanted.out} holds shards already", hint="name another folder, or delete that one")


def _benchmark(wanted: Tokenize) -> Benchmark | None:
    """What no document may share an n-gram with, once it is known to find itself."""
    if wanted.problems is None:
        return None
    benchmark = Benchmark.read(wanted.problems, wanted.ngram)
    benchmark.count_rejected()
    return benchmark


def _masked(wanted: Tokenize, tokenizer: PreTrainedTokenizerFast, encoder: Encoder) -> MaskedEncoder | None:
    if wanted.seq_len is None:
        return None
    begin = 0 if encoder.beginning_of_sequence is None else 1
    return MaskedEncoder(encoder, Watch(tokenizer, wanted.special_tokens), wanted.seq_len - begin)


def _keep(
    texts: Sequence[str],
    encoded: Sequence[list[int]],
    wanted: Tokenize,
    writers: Mapping[str, _Writer],
    progress: Progress,
    masked: MaskedEncoder | None,
) -> None:
    """Each document into the shards of its split."""
    for text, ids in zip(texts, encoded, strict=True):
        split = _split(text, wanted)
        if not ids:
            progress.counts.too_long += 1
            continue
        if masked is not None:
            writers[split].add(masked.fill(writers[split].written, ids))
        setattr(progress.counts, split, getattr(progress.counts, split) + 1)
        writers[split].add(ids)
        progress.largest_id = max(progress.largest_id, *(number & ~READ_ONLY for number in ids))


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
        "seq_len": wanted.seq_len,
        "heldout_share": wanted.heldout_share,
        "seed": wanted.seed,
        "problems": None if wanted.problems is None else file_sha256(wanted.problems),
        "ngram": wanted.ngram,
        "shard_tokens": wanted.shard_tokens,
    }


def model_at(path: Path) -> GgufModel | HfModel:
    """What lies at `path`: a file is GGUF, a folder Hugging Face's."""
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
