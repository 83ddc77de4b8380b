"""Whether two models mean the same token by the same id, and what a narrower student cannot be taught."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from refute.engines.model.bos_token import beginning_of_sequence
from refute.engines.model.probe_texts import PROBE_TEXTS
from refute.engines.model.text_splitting import BLANK
from refute.errors import ExperimentError


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What ids of a model mean: its rows, and the digest of every token by id with the merges that lead to them."""

    size: int
    sha256: str

    @classmethod
    def of(cls, size: int, tokenizer: PreTrainedTokenizerFast) -> Vocabulary:
        """The same for tokenizers that spell one vocabulary in two ways."""
        meant = json.dumps([sorted(_tokens(tokenizer).items()), _merges(tokenizer)])
        return cls(size, hashlib.sha256(meant.encode()).hexdigest())


def refuse_other_vocabulary(
    student_rows: int, student: PreTrainedTokenizerFast, teacher_rows: int, teacher: PreTrainedTokenizerFast
) -> None:
    """Raise ExperimentError unless the teacher can be cut to the student's rows and means the same by each.

    Rows may differ, as where a family pads its embeddings to different sizes (Qwen2.5: 152,064 and 151,936 rows over
    the same 151,665 tokens); tokens, special ids, merges and how a text is split before them may not. A student is
    never resized.
    """
    if student_rows > teacher_rows:
        raise ExperimentError(
            f"the student predicts {student_rows} tokens, its teacher only {teacher_rows}: "
            "the student must not be wider than its teacher's vocabulary",
            hint="choose a teacher and an init of one model family",
        )
    known, meant = _tokens(teacher), _tokens(student)
    differing = sorted(token for number, token in meant.items() if known.get(number) != token)
    if differing:
        raise ExperimentError(
            f"{len(differing)} tokens of the student have another id in its teacher, such as {differing[:3]}",
            hint="choose a teacher and an init that share one tokenizer: a divergence compares probabilities of the "
            "same tokens, and there is none here between those of two",
        )
    if student.eos_token_id != teacher.eos_token_id:
        raise ExperimentError(
            f"the student ends a text with id {student.eos_token_id}, its teacher with {teacher.eos_token_id}",
            hint="choose a teacher and an init that share one tokenizer, or correct eos_token in tokenizer_config.json",
        )
    if _merges(student) != _merges(teacher):
        raise ExperimentError(
            "student and teacher merge pieces into tokens by different rules: one text has two tokenisations",
            hint="choose a teacher and an init that share one tokenizer",
        )
    _refuse_other_splitting(student, teacher)
    begun = [beginning_of_sequence(each) for each in (student, teacher)]
    if begun[0] != begun[1]:
        raise ExperimentError(
            f"the student begins a text with {_named(student, begun[0])}, its teacher with {_named(teacher, begun[1])}",
            hint="set add_bos_token in the student's tokenizer_config.json to what its teacher reads",
        )


def _tokens(tokenizer: PreTrainedTokenizerFast) -> dict[int, str]:
    """Every token by its id, in one spelling of blanks."""
    return {number: token.replace(" ", BLANK) for token, number in tokenizer.get_vocab().items()}


def _refuse_other_splitting(student: PreTrainedTokenizerFast, teacher: PreTrainedTokenizerFast) -> None:
    texts = list(PROBE_TEXTS)
    found = [each.backend_tokenizer.encode_batch(texts, add_special_tokens=False) for each in (student, teacher)]
    for text, *both in zip(texts, *found, strict=True):
        ids = [each.ids for each in both]
        if ids[0] == ids[1]:
            continue
        place = next(n for n, (one, other) in enumerate(zip_longest(*ids)) if one != other)
        raise ExperimentError(
            f"student and teacher split one text differently before they merge: of {text!r} the token {place} is "
            f"{_spelt(student, ids[0], place)} to the student and {_spelt(teacher, ids[1], place)} to its teacher",
            hint="choose a teacher and an init with one normalizer and one pre_tokenizer in their tokenizer.json",
        )


def _named(tokenizer: PreTrainedTokenizerFast, number: int | None) -> str:
    return "no token" if number is None else repr(tokenizer.convert_ids_to_tokens(number))


def dropped_mass(logits: Tensor, width: int) -> Tensor:
    """The teacher's probability (T = 1) beyond the first `width` entries, at each position of logits (..., >=V).

    Float32, shape (...). The cut-off entries are summed themselves: what is left of 1 without the kept ones has lost
    3 % of a mass of 6e-6 on some processors.
    """
    if width >= logits.shape[-1]:
        return torch.zeros(logits.shape[:-1], device=logits.device)
    numbers = logits.float()
    return (numbers[..., width:].logsumexp(dim=-1) - numbers.logsumexp(dim=-1)).exp()


def _spelt(tokenizer: PreTrainedTokenizerFast, ids: list[int], place: int) -> str:
    return repr(tokenizer.convert_ids_to_tokens(ids[place])) if place < len(ids) else "missing"


def _merges(tokenizer: PreTrainedTokenizerFast) -> list[Any]:
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"].get("merges", [])
    found = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in merges]
    return [[piece.replace(" ", BLANK) for piece in merge] for merge in found]
