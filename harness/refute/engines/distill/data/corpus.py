"""Builds the training and held-out windows: files -> clean documents -> tokens -> windows of one length."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast

from refute.engines.distill.data.decontamination import Benchmark
from refute.engines.distill.data.documents import find_documents
from refute.engines.distill.data.reading.file_format import FileFormat, file_format
from refute.engines.distill.data.reading.texts import split_documents
from refute.engines.distill.logs import write_json
from refute.engines.model.special_tokens import SpecialTokens, text_separator
from refute.engines.model.tokenizer import Encoder, open_tokenizer, tokenizer_sha256
from refute.errors import ExperimentError
from refute.job import Job
from refute.spec.experiments.distill import CorpusConfig, EvidenceTokenizer, SourceTokenizer
from refute.spec.experiments.evidence.distill import BenchmarkSelfcheck, CorpusFile, CorpusManifest, DroppedFiles
from refute.spec.experiments.evidence_files import CORPUS_MANIFEST, HELDOUT_WINDOWS, TRAIN_WINDOWS
from refute.spec.experiments.parsing import parse_config
from refute.spec.release import FileCorpus, HfModel, StdlibCorpus

_DOCUMENTS_AT_ONCE = 16
# Windows of one file are alike, and few files leave wide intervals: one file in five may be held out or, where those
# are fewer than eight, one in three.
_OF_MANY, _FEW, _OF_FEW = 5, 8, 3


@dataclass(frozen=True, slots=True)
class Document:
    """One accepted file and its ids, the id that closes each text in it included."""

    path: str
    sha256: str
    ids: list[int]


@dataclass(slots=True)
class Dropped:
    """Files that were read and not used, by reason."""

    contaminated: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    undecodable: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Split:
    """Windows of one split, the files they were cut from, and those left out because the other split has them.

    Each window begins with `begin`. Of held-out ones a file gives `of_a_file` at most, evenly spaced, and each is there
    once: windows of one file are alike, and one that counts twice narrows every interval.
    """

    name: Literal["train", "heldout"]
    begin: tuple[int, ...]
    of_a_file: int | None = None
    windows: list[NDArray[np.int32]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    files: list[CorpusFile] = field(default_factory=list)
    left_out: int = 0
    _taken: set[bytes] = field(default_factory=set)

    def take(self, windows: Sequence[NDArray[np.int32]], room: int, source: str) -> None:
        """As many `windows` of a file as there is room for."""
        if self.of_a_file is None:
            chosen = windows[:room]
        else:
            once = {found: window for window in windows if (found := window_hash(window)) not in self._taken}
            chosen = _evenly([*once.values()], min(room, self.of_a_file))
            self._taken.update(map(window_hash, chosen))
        self.windows += chosen
        self.sources += [source] * len(chosen)

    def hashes(self) -> set[bytes]:
        return {window_hash(window) for window in self.windows}

    def sort(self) -> None:
        """Windows by their hashes, and beside each its source."""
        order = sorted(range(len(self.windows)), key=lambda number: window_hash(self.windows[number]))
        self.windows = [self.windows[number] for number in order]
        self.sources = [self.sources[number] for number in order]

    def tensor(self) -> torch.Tensor:
        """Shape (windows, seq_len), int32."""
        return torch.from_numpy(np.stack(self.windows).astype(np.int32))


def build_corpus(job: Job) -> None:
    """Writes train.safetensors, heldout.safetensors (tensor `tokens`, int32, (windows, seq_len)), manifest.json.

    Held-out files come first in the seeded order, so the same windows judge runs of every training budget;
    a file is in one split only, no window is in both. Held-out windows are of as many files as they can be.
    Raises MissingInputsError when the corpus is absent or empty, ExperimentError when it is shorter than one window or
    than the budgets, holds other things than text, or spells special tokens that it may not.
    """
    config = parse_config(CorpusConfig, job)
    _refuse_short_budgets(config)
    tokenizer = corpus_tokenizer(job, config.tokenizer)
    benchmark = Benchmark.read(Path(config.problems_path), config.corpus.decontaminate_ngram)
    rejected = benchmark.count_rejected()
    root, paths = find_documents(config.corpus, Path(config.path) if config.path else None)
    dropped = Dropped()
    special_tokens = _special_tokens(config.corpus)
    encoder = Encoder(tokenizer, special_tokens)
    documents = _encode(_screen(root, paths, benchmark, dropped), encoder, text_separator(tokenizer, special_tokens))
    begin = () if encoder.beginning_of_sequence is None else (encoder.beginning_of_sequence,)
    of_a_file = heldout_of_a_file(config.corpus.heldout_tokens // config.seq_len, len(paths))
    heldout, train = Split("heldout", begin, of_a_file), Split("train", begin)
    _fill(heldout, documents, config.corpus.heldout_tokens, config.seq_len, set(), job)
    _fill(train, documents, config.corpus.train_tokens, config.seq_len, heldout.hashes(), job)
    # Evaluation looks at the first windows: they are to be of many files, too.
    heldout.sort()
    train_tokens, heldout_tokens = train.tensor(), heldout.tensor()
    save_file({"tokens": train_tokens}, job.out / TRAIN_WINDOWS.name)
    save_file({"tokens": heldout_tokens}, job.out / HELDOUT_WINDOWS.name)
    manifest = CorpusManifest(
        files=tuple(sorted(heldout.files + train.files, key=lambda file: file.path)),
        dropped=DroppedFiles(
            contaminated=tuple(dropped.contaminated),
            duplicates=tuple(dropped.duplicates),
            undecodable=tuple(dropped.undecodable),
        ),
        benchmark_selfcheck=BenchmarkSelfcheck(problems=len(benchmark.problems), rejected=rejected),
        ngram=benchmark.ngram,
        shared_windows=len(heldout.hashes() & train.hashes()),
        train_windows_left_out=train.left_out,
        seq_len=config.seq_len,
        python_version=platform.python_version(),
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        end_of_document=encoder.end_of_document,
        beginning_of_sequence=encoder.beginning_of_sequence,
        train_tokens=train_tokens.numel(),
        train_sha256=_tensor_sha256(train_tokens),
        heldout_tokens=heldout_tokens.numel(),
        heldout_sha256=_tensor_sha256(heldout_tokens),
        heldout_files=tuple(heldout.sources),
    )
    write_json(job.out / CORPUS_MANIFEST.name, manifest.as_json())


def heldout_of_a_file(windows: int, files: int) -> int:
    """How many of so many held-out windows a file gives: as few as the files that may be held out allow, at least 1."""
    heldout = max(files // _OF_MANY, min(_FEW, files // _OF_FEW), 1)
    return -(-windows // heldout)


def _evenly(windows: Sequence[NDArray[np.int32]], count: int) -> list[NDArray[np.int32]]:
    """`count` of them, the middle ones of as many equal parts; all where there are fewer."""
    wanted = min(count, len(windows))
    return [windows[(2 * number + 1) * len(windows) // (2 * wanted)] for number in range(wanted)]


def _tensor_sha256(tokens: torch.Tensor) -> str:
    return hashlib.sha256(tokens.numpy().tobytes()).hexdigest()


def window_hash(window: NDArray[np.int32]) -> bytes:
    """SHA-256 of a window's ids as little-endian int32."""
    return hashlib.sha256(window.astype("<i4").tobytes()).digest()


def _refuse_short_budgets(config: CorpusConfig) -> None:
    budgets = {"train_tokens": config.corpus.train_tokens, "heldout_tokens": config.corpus.heldout_tokens}
    for name, tokens in budgets.items():
        if tokens < config.seq_len:
            raise ExperimentError(
                f"corpus.{name} = {tokens} is shorter than one sequence of seq_len = {config.seq_len} tokens",
                hint=f"raise corpus.{name} to several times training.seq_len",
            )


def corpus_tokenizer(job: Job, chosen: EvidenceTokenizer | SourceTokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer that a corpus is made with. Raises as `open_tokenizer` does."""
    match chosen:
        case SourceTokenizer(model=model, path=path):
            return open_tokenizer(model, Path(path))
        case EvidenceTokenizer(name=name):
            folder = job.inputs[name].path("model")
            return open_tokenizer(HfModel(format="hf", path="model"), folder)


def _special_tokens(corpus: StdlibCorpus | FileCorpus) -> SpecialTokens:
    """Source code of the standard library speaks of `<filename>` and the like, and carries none."""
    return corpus.special_tokens if isinstance(corpus, FileCorpus) else "literal"


def _screen(root: Path, paths: list[str], benchmark: Benchmark, dropped: Dropped) -> Iterator[tuple[str, str, str]]:
    seen: set[str] = set()
    for path in paths:
        _refuse_rows(root / path)
        data = (root / path).read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 in seen:
            dropped.duplicates.append(path)
            continue
        seen.add(sha256)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            dropped.undecodable.append(path)
            continue
        if benchmark.found_in(text):
            dropped.contaminated.append(path)
        elif text.strip():
            yield path, sha256, text


def _refuse_rows(path: Path) -> None:
    if (found := file_format(path)) is not FileFormat.TEXT:
        raise ExperimentError(
            f"corpus: {path} holds rows of {found.value}, and each file of a release's corpus is a text",
            hint="write each document into a text file, or leave the file out with `corpus.pattern`",
        )


def _encode(
    files: Iterator[tuple[str, str, str]], encoder: Encoder, separator: re.Pattern[str] | None
) -> Iterator[Document]:
    while batch := list(islice(files, _DOCUMENTS_AT_ONCE)):
        texts = [split_documents(text, separator) for *_, text in batch]
        encoded = iter(encoder.encode(list(chain.from_iterable(texts))))
        if encoder.watch.enough:
            break
        if encoder.watch.found:  # nothing of this is kept; the others are counted
            continue
        for (path, sha256, _), parts in zip(batch, texts, strict=True):
            yield Document(path, sha256, list(chain.from_iterable(islice(encoded, len(parts)))))
    encoder.watch.refuse("texts of the corpus")


def _fill(split: Split, documents: Iterator[Document], tokens: int, seq_len: int, other: set[bytes], job: Job) -> None:
    """Packs documents end to end and cuts windows until `tokens` // `seq_len` of them are there."""
    wanted, stride, rest, read = tokens // seq_len, seq_len - len(split.begin), list[int](), 0
    while len(split.windows) < wanted:
        document = next(documents, None)
        if document is None:
            raise _too_short(split, read, tokens, seq_len)
        read += len(document.ids)
        split.files.append(
            CorpusFile(path=document.path, sha256=document.sha256, split=split.name, tokens=len(document.ids))
        )
        rest += document.ids
        whole = len(rest) // stride * stride
        cut = [
            np.array([*split.begin, *rest[start : start + stride]], dtype=np.int32) for start in range(0, whole, stride)
        ]
        fresh = [window for window in cut if window_hash(window) not in other]
        split.left_out += len(cut) - len(fresh)
        split.take(fresh, wanted - len(split.windows), document.path)
        # What is left of a held-out file is part of no other window: windows of two files have no text in common.
        rest = [] if cut and split.of_a_file else rest[whole:]
        job.progress(f"corpus {split.name}", len(split.windows) * seq_len, wanted * seq_len, files=len(split.files))


def _too_short(split: Split, read: int, tokens: int, seq_len: int) -> ExperimentError:
    if read < seq_len:
        return ExperimentError(
            f"corpus: {read} tokens are left for the {split.name} split, shorter than one sequence of {seq_len}",
            hint="name a larger corpus, or a smaller training.seq_len",
        )
    return ExperimentError(
        f"corpus: {split.name} holds {len(split.windows) * seq_len} tokens in whole windows, {tokens} were asked for",
        hint=f"lower corpus.{split.name}_tokens or name a larger corpus",
    )
