"""What ends a text: in each place that states it, and in each engine that is made to say it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerFast

from refute.engines.model.gguf import metadata
from refute.engines.model.server.llama_cpp import LlamaCpp
from refute.spec.experiments.evidence.export import Ends

_ANSWER = "xyzzy"  # found again in what a template makes of it
_MOST = 4  # tokens after which an engine that was to stop at the first has not stopped
_ASKED = "Hello"
_GGUF_KEYS = ("eos", "eot", "eom")


def find_ends(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, reader: GGUFReader, server: LlamaCpp
) -> Ends:
    """The ids in each place, and after how many tokens transformers and llama.cpp stop when they say the turn's end."""
    turn_end = turn_end_of(tokenizer)
    said = turn_end if turn_end is not None else tokenizer.eos_token_id
    ids = tokenizer.encode(_ASKED, add_special_tokens=False)
    stated = (metadata(reader, f"tokenizer.ggml.{key}_token_id") for key in _GGUF_KEYS)
    return Ends(
        tokenizer=_listed(tokenizer.eos_token_id),
        generation_config=_listed(_stated(folder / "generation_config.json")),
        config=_listed(_stated(folder / "config.json")),
        gguf=tuple(number for number in stated if isinstance(number, int)),
        turn_end=turn_end,
        stops={}
        if not isinstance(said, int)
        else {"transformers": _in_transformers(model, ids, said), "llama.cpp": in_llama_cpp(server, ids, said)},
    )


def turn_end_of(tokenizer: PreTrainedTokenizerFast) -> int | None:
    """The first added token after an assistant's turn in the chat template; None where there is none."""
    if tokenizer.chat_template is None:
        return None
    turns = [{"role": "user", "content": _ASKED}, {"role": "assistant", "content": _ANSWER}]
    text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    added = set(tokenizer.get_added_vocab().values())
    after = tokenizer.encode(text.rpartition(_ANSWER)[2], add_special_tokens=False)
    return next((number for number in after if number in added), None)


def in_llama_cpp(server: LlamaCpp, ids: list[int], said: int) -> int | None:
    """After how many tokens the server stops that can say nothing but `said`; None where it goes on."""
    body = {"prompt": ids, "n_predict": _MOST, "temperature": 0.0, "logit_bias": [[said, 1e4]], "cache_prompt": False}
    answer = server.ask("completion", body)
    return int(answer["tokens_predicted"]) if answer["stop_type"] == "eos" else None


class _Says(LogitsProcessor):  # type: ignore[misc]  # transformers ships no types
    """Leaves one token to choose."""

    def __init__(self, said: int) -> None:
        self._said = said

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        """Everything but the one is impossible."""
        only = torch.full_like(scores, -torch.inf)
        only[:, self._said] = 0.0
        return only


@torch.inference_mode()
def _in_transformers(model: PreTrainedModel, ids: list[int], said: int) -> int | None:
    given = torch.tensor([ids])
    engine: Any = model
    made = engine.generate(
        given,
        attention_mask=torch.ones_like(given),
        max_new_tokens=_MOST,
        do_sample=False,
        logits_processor=LogitsProcessorList([_Says(said)]),
        pad_token_id=said,
    )
    count = int(made.shape[1]) - len(ids)
    return count if count < _MOST else None


def _stated(path: Path) -> object:
    return json.loads(path.read_text(encoding="utf-8")).get("eos_token_id") if path.is_file() else None


def _listed(stated: object) -> tuple[int, ...]:
    several = stated if isinstance(stated, list) else [stated]
    return tuple(number for number in several if isinstance(number, int))
