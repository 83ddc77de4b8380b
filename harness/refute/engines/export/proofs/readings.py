"""Texts as the folder's tokenizer reads them, and as llama.cpp does with a file."""

from __future__ import annotations

from transformers import PreTrainedTokenizerFast

from refute.engines.export.proofs.probes import PROBES, probe_texts
from refute.engines.model.probe_texts import PROBE_TEXTS
from refute.engines.model.server.llama_cpp import LlamaCpp
from refute.spec.experiments.evidence.export import Reading, Readings
from refute.spec.experiments.evidence.publication import Compared

# With what a tokenizer adds by itself: where a text begins.
_WHOLE = "The beginning of a text."


def read_in_both(file: str, tokenizer: PreTrainedTokenizerFast, server: LlamaCpp) -> Readings:
    """Every probe by the folder's `tokenizer` and by `server`, which has the file open."""
    texts = [
        Reading(
            kind=kind,
            text=text,
            folder=tuple(tokenizer.encode(text, add_special_tokens=False)),
            llama_cpp=tuple(server.tokenize(text)),
        )
        for kind, text in probe_texts(tokenizer)
    ]
    whole = Reading(
        kind="with its beginning",
        text=_WHOLE,
        folder=tuple(tokenizer.encode(_WHOLE)),
        llama_cpp=tuple(server.tokenize(_WHOLE, add_special=True)),
    )
    return Readings(file=file, texts=(*texts, whole))


def beside(tokenizer: PreTrainedTokenizerFast, base: PreTrainedTokenizerFast) -> Compared:
    """Every probe, with what a tokenizer adds by itself, by `tokenizer` and by the one that it should be."""
    texts = [*PROBES.values(), *PROBE_TEXTS, *base.get_added_vocab()]
    return Compared(n=len(texts), differing=sum(tokenizer.encode(text) != base.encode(text) for text in texts))
