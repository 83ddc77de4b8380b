"""The token before every text that a model was trained to read, such as gemma's <bos>; many models have none.

A tokenizer keeps it in its post-processor, so a student's folder hands it on.
"""

from __future__ import annotations

import json
from pathlib import Path

from gguf import GGUFReader
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from refute.engines.model.gguf import metadata
from refute.errors import ExperimentError

# What llama.cpp (llama-vocab.cpp) does for a file that does not say: by the kind of vocabulary, and by its splitting.
_MODELS = frozenset({"llama", "bert"})
_SPLITTINGS = frozenset(
    {
        *("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"),
        "tekken",
    }
)


def beginning_of_sequence(tokenizer: PreTrainedTokenizerFast) -> int | None:
    """The id that `tokenizer` puts before a text, None where it puts nothing there.

    Raises ExperimentError for one that puts several there, for which no windows are laid out.
    """
    backend = tokenizer.backend_tokenizer
    bare, whole = (backend.encode("a", add_special_tokens=added).ids for added in (False, True))
    before = next((whole[:n] for n in range(len(whole)) if whole[n : n + len(bare)] == bare), whole)
    if len(before) > 1:
        raise ExperimentError(
            f"the tokenizer begins each text with {len(before)} tokens, {tokenizer.convert_ids_to_tokens(before)}; "
            "training windows can begin with one",
            hint="choose a model whose tokenizer.json adds at most one token before a text",
        )
    return before[0] if before else None


def begin_as_gguf_states(tokenizer: PreTrainedTokenizerFast, reader: GGUFReader) -> None:
    """Give `tokenizer`, which transformers built, the beginning that the file states or llama.cpp takes for granted."""
    stated = metadata(reader, "tokenizer.ggml.add_bos_token")
    model, splitting = (metadata(reader, f"tokenizer.ggml.{key}") for key in ("model", "pre"))
    _begin(tokenizer, wanted=bool(stated) if stated is not None else model in _MODELS or splitting in _SPLITTINGS)


def begin_as_folder_states(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Give `tokenizer` the beginning that tokenizer_config.json states (add_bos_token), else leave it its own."""
    path = folder / "tokenizer_config.json"
    stated = json.loads(path.read_text(encoding="utf-8")).get("add_bos_token") if path.is_file() else None
    if isinstance(stated, bool):
        _begin(tokenizer, wanted=stated)


def _begin(tokenizer: PreTrainedTokenizerFast, *, wanted: bool) -> None:
    if wanted == (beginning_of_sequence(tokenizer) is not None):
        return
    if not wanted:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=["$A"], pair=["$A", "$B:1"], special_tokens=[]
        )
        return
    token, number = tokenizer.bos_token, tokenizer.bos_token_id
    if not isinstance(number, int):
        raise ExperimentError(
            "the model's files say that texts begin with a token (add_bos_token), and name none",
            hint="set bos_token in tokenizer_config.json, or tokenizer.ggml.bos_token_id in the GGUF file",
        )
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=[str(token), "$A"], pair=[str(token), "$A", f"{token}:1", "$B:1"], special_tokens=[(str(token), number)]
    )
