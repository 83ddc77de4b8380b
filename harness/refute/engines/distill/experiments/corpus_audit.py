"""Experiment: a built corpus, held against the files it says it was made of, by other means than built it.

Files are read and hashed again, the benchmark is looked for in them with a filter of its own, and windows are decoded
and looked for in the text of their split: tokens from nowhere, or from the other split, are not there.
"""

from __future__ import annotations

import hashlib
import json
import re
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from transformers import PreTrainedTokenizerFast

from refute.engines.distill.experiments.corpus_places import joints, known_windows, out_of_order, out_of_turn
from refute.engines.distill.logs import write_json
from refute.engines.model.tokenizer import open_tokenizer
from refute.job import Job
from refute.problem_rows.formats import humaneval_rows, published
from refute.spec.experiments.distill import CorpusAuditConfig
from refute.spec.experiments.evidence.distill import CorpusAudit
from refute.spec.experiments.evidence_files import CORPUS_COUNTS, PLANTED_COUNTS
from refute.spec.experiments.parsing import parse_config
from refute.spec.release import FileCorpus

# A decoded window begins and ends anywhere, so also within a character of several bytes.
_BROKEN = "\N{REPLACEMENT CHARACTER}"
# What some editors put before a text.
_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"

# Files between two lines of progress.
_EVERY = 256
# Training windows that stand for held-out ones where it is known that all of them were trained on.
_PLANTED = 64


@dataclass(slots=True)
class _Files:
    """Files that are not what the manifest says, or hold a run of words of the benchmark."""

    grams: frozenset[tuple[str, ...]]
    seen: int = 0
    changed: int = 0
    contaminated: int = 0

    def look_at(self, data: bytes, sha256: str) -> str:
        """Counts a file that should have this digest; returns its text."""
        text = data.decode("utf-8", "replace")
        self.seen += 1
        self.changed += hashlib.sha256(data).hexdigest() != sha256
        self.contaminated += _shares(text, self.grams)
        return text


def audit_corpus(job: Job) -> None:
    """Write corpus.json: counts over the files of the manifest and over `windows` evenly spaced windows a split.

    `CorpusAudit`: a file is changed when its bytes are not those of the manifest, contaminated when it shares an n-gram
    of words with a problem. A window is foreign when a document in it is not text of a file of its split, or begins or
    ends where that file does not; misplaced when it does not go on where the one before ended, or when a held-out one
    does not stand where its hash puts it, or its file was not taken in its turn; known when runs of tokens that were
    trained on cover half of it. Raises FileNotFoundError for a file that is gone.

    Beside it planted.json, by the same means, of this corpus with what does not belong there: a window read backwards,
    the benchmark in the place of a file, one training window among the held-out ones, and training windows for those.
    """
    config = parse_config(CorpusAuditConfig, job)
    corpus = job.inputs["corpus"]
    manifest = json.loads(corpus.path("manifest.json").read_text(encoding="utf-8"))
    files, end = manifest["files"], manifest["end_of_document"]
    root = Path(config.path) if config.path is not None else Path(sysconfig.get_path("stdlib"))
    problems = _problems(Path(config.problems_path))
    counts = _Files(_benchmark(problems, config.corpus.decontaminate_ngram))
    tokenizer = open_tokenizer(config.tokenizer.model, Path(config.tokenizer.path))
    tokens = {split: load_file(corpus.path(f"{split}.safetensors"))["tokens"] for split in ("train", "heldout")}
    # What each window begins with is no text of a file.
    first = 0 if manifest.get("beginning_of_sequence") is None else 1
    read = {split: found[:, first:] for split, found in tokens.items()}
    windows = {split: _texts_of(_evenly(found, config.windows), tokenizer, end) for split, found in read.items()}
    joined = _texts_of(joints(read["train"], config.windows), tokenizer, end)
    (backwards,) = _texts_of([read["train"][0][::-1]], tokenizer, end)
    sought = {split: set[_Text]().union(*texts) for split, texts in windows.items()}
    sought["train"] = sought["train"].union(backwards, *joined)
    # Where special tokens are read as such, a file may hold several documents.
    one_document = not isinstance(config.corpus, FileCorpus) or config.corpus.special_tokens != "parse"
    for done, file in enumerate(files):  # one at a time: a corpus may be larger than the memory
        if done % _EVERY == 0:
            job.progress("look for windows in their files", done, len(files))
        text = counts.look_at((root / file["path"]).read_bytes(), file["sha256"])
        left = sought[file["split"]]
        sought[file["split"]] = {each for each in left if not each.stands_in(text, one_document=one_document)}
    broken = sum(not sought["train"].isdisjoint(texts) for texts in joined)
    found = CorpusAudit(
        files=counts.seen,
        changed_files=counts.changed,
        contaminated_files=counts.contaminated,
        windows=sum(map(len, windows.values())),
        foreign_windows=sum(not sought[split].isdisjoint(texts) for split in windows for texts in windows[split]),
        heldout_windows=len(tokens["heldout"]),
        # Where a window was left out that the other split has, text does not go on.
        misplaced_windows=max(0, broken - manifest["train_windows_left_out"])
        + out_of_order(tokens["heldout"])
        + out_of_turn(files, config.corpus.seed),
        known_windows=known_windows(read["train"], read["heldout"]),
    )
    write_json(job.out / CORPUS_COUNTS.name, found.as_json())
    counts.look_at("\n".join(problems).encode("utf-8"), files[0]["sha256"])
    few = read["train"][:_PLANTED]
    planted = CorpusAudit(
        files=counts.seen,
        changed_files=counts.changed,
        contaminated_files=counts.contaminated,
        windows=found.windows + 1,
        foreign_windows=found.foreign_windows + (not sought["train"].isdisjoint(backwards)),
        heldout_windows=len(few),
        misplaced_windows=out_of_order(np.concatenate([tokens["heldout"], tokens["train"][:1], tokens["heldout"]])),
        known_windows=known_windows(few, few),
    )
    write_json(job.out / PLANTED_COUNTS.name, planted.as_json())


class _Text(NamedTuple):
    """Text of one document in a window; `begins` and `ends` say whether its first and last words are in it."""

    text: str
    begins: bool
    ends: bool

    def stands_in(self, file: str, *, one_document: bool) -> bool:
        """Whether it is text of that file and, where that is `one_document`, at its beginning and end."""
        begins, ends = (one_document and each for each in (self.begins, self.ends))
        # White space around a document may be lost on the way to tokens and back.
        return (
            self.text in file
            and (not begins or file.removeprefix(_MARK).lstrip().startswith(self.text.lstrip()))
            and (not ends or file.rstrip().endswith(self.text.rstrip()))
        )


def _texts_of(windows: Sequence[NDArray[np.int32]], tokenizer: PreTrainedTokenizerFast, end: int) -> list[set[_Text]]:
    """The texts of the documents in each window."""
    return [{each for each in _documents(ids, tokenizer, end) if each.text} for ids in windows]


def _evenly(tokens: NDArray[np.int32], count: int) -> list[NDArray[np.int32]]:
    wanted = min(count, len(tokens))
    return [tokens[number * len(tokens) // wanted] for number in range(wanted)]


def _documents(window: NDArray[np.int32], tokenizer: PreTrainedTokenizerFast, end: int) -> Iterator[_Text]:
    parts = np.split(window, np.flatnonzero(window == end))
    for number, part in enumerate(parts):
        ids = [int(token) for token in part if token != end]
        text = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False)).strip(_BROKEN)
        yield _Text(text, number > 0, number < len(parts) - 1)


def _problems(path: Path) -> list[str]:
    return ["\n".join(published(row)) for row in humaneval_rows(path.read_bytes())]


def _benchmark(problems: Sequence[str], ngram: int) -> frozenset[tuple[str, ...]]:
    return frozenset(gram for problem in problems for gram in _grams(problem, ngram))


def _grams(text: str, ngram: int) -> Iterator[tuple[str, ...]]:
    words: Sequence[str] = re.findall(r"\w+", text.lower())
    return zip(*(words[start:] for start in range(ngram)), strict=False)


def _shares(text: str, grams: frozenset[tuple[str, ...]]) -> bool:
    """Whether the text holds a run of words of the benchmark."""
    size = len(next(iter(grams), ()))
    return any(gram in grams for gram in _grams(text, size)) if size else False
