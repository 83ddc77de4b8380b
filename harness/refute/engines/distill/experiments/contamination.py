"""The contamination experiment: which benchmark problems share a word n-gram with the tokens that were trained on."""

from __future__ import annotations

import builtins
import inspect
import io
import json
import keyword
import tokenize
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Generic, TypeVar

from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from refute.engines.distill.data.corpus import corpus_tokenizer
from refute.engines.distill.data.decontamination import read_problems, read_solutions, word_grams
from refute.engines.distill.data.renamed import RUN, owners, runs
from refute.engines.distill.logs import write_json
from refute.engines.model.tokenizer import Encoder
from refute.job import Job
from refute.spec.experiments.distill import OverlapConfig
from refute.spec.experiments.evidence.distill import Contamination, NgramOverlap, RenamedOverlap
from refute.spec.experiments.evidence_files import OVERLAP
from refute.spec.experiments.parsing import parse_config

Gram = TypeVar("Gram", str, int)

# What decontamination of code corpora goes by (the corpus's own filter may be told another number).
NGRAM = 10
_WINDOWS_AT_ONCE = 4096


def measure_overlap(job: Job) -> None:
    """Decode the training windows of the evidence `corpus` and count, problem by problem, the n-grams found in them.

    The positive control takes the same way: the benchmark's own texts, encoded, cut into windows, decoded. Writes
    `overlap.json`: for `corpus` and for `benchmark` the documents and words read, and `contaminated`, the shared
    n-grams by the problem's place in its file; in `renamed` the same for runs of tokens under any names, with the
    solutions' own names exchanged for the control. Raises MissingInputsError or ExperimentError for unreadable inputs.
    """
    config = parse_config(OverlapConfig, job)
    tokenizer = corpus_tokenizer(job, config.tokenizer)
    problems = read_problems(Path(config.problems_path))
    solutions = [*read_solutions(Path(config.problems_path)), inspect.getsource(_exchanged)]
    tokens = load_file(job.inputs["corpus"].path("train.safetensors"))["tokens"]
    manifest = json.loads(job.inputs["corpus"].path("manifest.json").read_text(encoding="utf-8"))
    end, begin = manifest["end_of_document"], manifest.get("beginning_of_sequence")
    encoder = Encoder(tokenizer, "literal")
    seq_len = tokens.shape[1]

    def as_trained_on(texts: Sequence[str]) -> Iterator[str]:
        ids = list(chain.from_iterable(encoder.encode(texts)))
        windows = [ids[start : start + seq_len] for start in range(0, len(ids), seq_len)]
        return _documents(windows, tokenizer, encoder.end_of_document)

    trained = (
        window
        for start in range(0, len(tokens), _WINDOWS_AT_ONCE)
        for window in tokens[start : start + _WINDOWS_AT_ONCE, 0 if begin is None else 1 :].tolist()
    )
    words = _Search(_owners_of_words(problems), lambda text: word_grams(text, NGRAM))
    names = _Search(owners(solutions), lambda text: runs(text).tolist())
    for document in _documents(trained, tokenizer, end):
        words.read(document)
        names.read(document)
    known, disguised = words.anew(), names.anew()
    for text in as_trained_on(problems):
        known.read(text)
    for text in as_trained_on([_exchanged(each) for each in solutions]):
        disguised.read(text)
    renamed = RenamedOverlap(
        ngram=RUN,
        problems=len(set().union(*names.owners.values())),
        corpus=names.found(len(problems)),
        benchmark=disguised.found(len(solutions)),
    )
    found = Contamination(
        ngram=NGRAM,
        problems=len(problems),
        corpus=words.found(len(problems)),
        benchmark=known.found(len(problems)),
        renamed=renamed,
    )
    write_json(job.out / OVERLAP.name, found.as_json())


@dataclass(slots=True)
class _Search(Generic[Gram]):
    """Counts the grams of documents that belong to problems, by problem."""

    owners: Mapping[Gram, set[int]]
    grams_of: Callable[[str], Sequence[Gram]]
    documents: int = 0
    grams: int = 0
    shared: Counter[int] = field(default_factory=Counter)

    def anew(self) -> _Search[Gram]:
        """The same with nothing read."""
        return _Search(self.owners, self.grams_of)

    def read(self, document: str) -> None:
        """One document more."""
        found = self.grams_of(document)
        self.documents, self.grams = self.documents + 1, self.grams + len(found)
        self.shared.update(owner for gram in found if gram in self.owners for owner in self.owners[gram])

    def found(self, problems: int) -> NgramOverlap:
        """What was found of the first so many problems."""
        contaminated = {str(number): self.shared[number] for number in sorted(self.shared) if number < problems}
        return NgramOverlap(documents=self.documents, ngrams=self.grams, contaminated=contaminated)


def _owners_of_words(problems: Sequence[str]) -> Mapping[str, set[int]]:
    owners: defaultdict[str, set[int]] = defaultdict(set)
    for number, problem in enumerate(problems):
        for gram in word_grams(problem, NGRAM):
            owners[gram].add(number)
    return owners


def _exchanged(code: str) -> str:
    """Python with each of its own names exchanged for another, and every number; as it is where it is no Python."""
    names: dict[str, str] = {}
    tokens, last = list[tuple[int, str]](), ""
    try:
        for kind, text, *_ in tokenize.generate_tokens(io.StringIO(code).readline):
            own = kind == tokenize.NAME and last != "." and not keyword.iskeyword(text) and not hasattr(builtins, text)
            other = names.setdefault(text, f"other_{len(names)}") if own else text
            tokens.append((kind, "7" if kind == tokenize.NUMBER else other))
            last = text
    except (tokenize.TokenError, SyntaxError):
        return code
    return tokenize.untokenize(tokens)


def _documents(
    windows: Iterable[Sequence[int]], tokenizer: PreTrainedTokenizerFast, end_of_document: int
) -> Iterator[str]:
    """The texts between ends of documents; windows follow each other as they were cut."""
    ids: list[int] = []
    for token in chain.from_iterable(windows):
        if token != end_of_document:
            ids.append(token)
        elif ids:
            yield _decode(tokenizer, ids)
            ids = []
    if ids:
        yield _decode(tokenizer, ids)


def _decode(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
