"""The contamination experiment: which benchmark problems share a word n-gram with the tokens that were trained on."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from refute.engines.distill.data.corpus import corpus_tokenizer
from refute.engines.distill.data.decontamination import read_problems, word_grams
from refute.engines.distill.logs import write_json
from refute.engines.model.tokenizer import Encoder
from refute.job import Job
from refute.spec.experiments.distill import OverlapConfig
from refute.spec.experiments.evidence.distill import Contamination, NgramOverlap
from refute.spec.experiments.evidence_files import OVERLAP
from refute.spec.experiments.parsing import parse_config

# What decontamination of code corpora goes by (the corpus's own filter may be told another number).
NGRAM = 10
_WINDOWS_AT_ONCE = 4096


def measure_overlap(job: Job) -> None:
    """Decode the training windows of the evidence `corpus` and count, problem by problem, the n-grams found in them.

    The positive control takes the same way: the benchmark's own texts, encoded, cut into windows, decoded. Writes
    `overlap.json`: for `corpus` and for `benchmark` the documents and words read, and `contaminated`, the shared
    n-grams by the problem's place in its file. Raises MissingInputsError or ExperimentError for unreadable inputs.
    """
    config = parse_config(OverlapConfig, job)
    tokenizer = corpus_tokenizer(job, config.tokenizer)
    problems = read_problems(Path(config.problems_path))
    tokens = load_file(job.inputs["corpus"].path("train.safetensors"))["tokens"]
    manifest = json.loads(job.inputs["corpus"].path("manifest.json").read_text(encoding="utf-8"))
    end, begin = manifest["end_of_document"], manifest.get("beginning_of_sequence")
    encoder = Encoder(tokenizer, "literal")
    seq_len = tokens.shape[1]
    benchmark = list(chain.from_iterable(encoder.encode(problems)))
    windows = [benchmark[start : start + seq_len] for start in range(0, len(benchmark), seq_len)]
    trained = (
        window
        for start in range(0, len(tokens), _WINDOWS_AT_ONCE)
        for window in tokens[start : start + _WINDOWS_AT_ONCE, 0 if begin is None else 1 :].tolist()
    )
    corpus, control = (
        _overlap(_documents(stream, tokenizer, closing), problems)
        for stream, closing in ((trained, end), (windows, encoder.end_of_document))
    )
    found = Contamination(ngram=NGRAM, problems=len(problems), corpus=corpus, benchmark=control)
    write_json(job.out / OVERLAP.name, found.as_json())


def _overlap(documents: Iterable[str], problems: Sequence[str]) -> NgramOverlap:
    owners: defaultdict[str, set[int]] = defaultdict(set)
    for number, problem in enumerate(problems):
        for gram in word_grams(problem, NGRAM):
            owners[gram].add(number)
    read, grams, shared = 0, 0, Counter[int]()
    for document in documents:
        found = word_grams(document, NGRAM)
        read, grams = read + 1, grams + len(found)
        shared.update(owner for gram in found if gram in owners for owner in owners[gram])
    contaminated = {str(number): shared[number] for number in sorted(shared)}
    return NgramOverlap(documents=read, ngrams=grams, contaminated=contaminated)


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
