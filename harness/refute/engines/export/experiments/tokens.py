"""Does a file make the tokens of the folder, end where it ends, and speak as it speaks?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from gguf import GGUFReader
from transformers import PreTrainedTokenizerFast

from refute.engines.export.experiments.exports import exported, reference
from refute.engines.export.gguf.file import Source, export_gguf, read_source
from refute.engines.export.proofs import known_bad
from refute.engines.export.proofs.ends import find_ends
from refute.engines.export.proofs.readings import beside, read_in_both
from refute.engines.export.proofs.renderings import render_everywhere
from refute.engines.export.proofs.small_weights import with_small_weights
from refute.engines.model.folder import load_model
from refute.engines.model.gguf import open_gguf
from refute.engines.model.server.llama_cpp import LlamaCpp, serve_in_llama_cpp
from refute.engines.model.tokenizer import open_tokenizer
from refute.job import Job
from refute.spec.experiments.evidence.export import Templates, Tokens
from refute.spec.experiments.evidence_files import INIT, MODEL, STUDENT, TEMPLATES, TOKENS
from refute.spec.experiments.export import REFERENCE, ProofConfig
from refute.spec.experiments.parsing import parse_config
from refute.spec.release import HfModel

_CONTEXT = 256
_MISREAD = (
    known_bad.without_splitting,
    known_bad.every_token_normal,
    known_bad.swapped_tokens,
    known_bad.dropped_added_token,
)
_MISSPOKEN = (known_bad.without_template, known_bad.edited_template)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file in llama.cpp and by its metadata."""

    server: LlamaCpp
    reader: GGUFReader


@contextmanager
def _open(path: Path, threads: int) -> Iterator[_Opened]:
    with serve_in_llama_cpp(path, context=_CONTEXT, threads=threads) as server:
        yield _Opened(server, open_gguf(path))


@contextmanager
def _planted(job: Job, source: Source, fault: Callable[[Source], Source], threads: int) -> Iterator[_Opened]:
    """A file with the source's vocabulary, a fault in it, and weights of no account."""
    path = job.scratch / f"{fault.__name__}.gguf"
    export_gguf(fault(with_small_weights(source)), path, REFERENCE, lambda *_: None)
    with _open(path, threads) as opened:
        yield opened
    path.unlink()


def prove_tokens(job: Job) -> None:
    """Write tokens.json: the `Tokens` of every file and of planted faults, with the init's tokenizer beside."""
    config = parse_config(ProofConfig, job)
    torch.set_num_threads(config.threads)
    folder = job.inputs[STUDENT].path(MODEL.name)
    tokenizer, source = _tokenizer(folder), read_source(folder)
    model = load_model(folder, device="cpu")
    files, made = exported(job)
    readings = []
    for done, file in enumerate(made.files, start=1):
        with _open(files / file.file, config.threads) as opened:
            readings.append(read_in_both(file.file, tokenizer, opened.server))
        job.progress("read probes", done, len(made.files))
    path, _ = reference(job)
    with _open(path, config.threads) as opened:
        ends = find_ends(folder, model, tokenizer, opened.reader, opened.server)
    bad = {}
    for fault in _MISREAD:
        with _planted(job, source, fault, config.threads) as opened:
            bad[fault.__name__] = read_in_both(fault.__name__, tokenizer, opened.server)
    with _planted(job, source, known_bad.other_end, config.threads) as opened:
        bad_ends = find_ends(folder, model, tokenizer, opened.reader, opened.server)
    found = Tokens(
        readings=tuple(readings),
        beside_init=beside(tokenizer, _tokenizer(job.inputs[INIT].path(MODEL.name))),
        known_bad=bad,
        ends=ends,
        known_bad_ends=bad_ends,
    )
    TOKENS.write(job.out, found)


def prove_templates(job: Job) -> None:
    """Write templates.json: the `Templates` of the file of full precision, and of planted faults."""
    config = parse_config(ProofConfig, job)
    folder = job.inputs[STUDENT].path(MODEL.name)
    tokenizer, source = _tokenizer(folder), read_source(folder)
    path, file = reference(job)
    with _open(path, config.threads) as opened:
        renderings = render_everywhere(folder, tokenizer, opened.reader, opened.server)
    bad = {}
    for fault in _MISSPOKEN:
        with _planted(job, source, fault, config.threads) as opened:
            bad[fault.__name__] = render_everywhere(folder, tokenizer, opened.reader, opened.server)
    found = Templates(file=file.file, renderings=renderings, known_bad=bad)
    TEMPLATES.write(job.out, found)


def _tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    return open_tokenizer(HfModel(format="hf", path=MODEL.name), folder)
