"""A teacher may be wider than its student, never narrower, and must mean the same by every id."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from refute.engines.model.vocabulary import dropped_mass, refuse_other_vocabulary
from refute.errors import ExperimentError

Change = Callable[[dict[str, Any]], None]


def _changed(tokenizer: PreTrainedTokenizerFast, change: Change, end: str = "<|end|>") -> PreTrainedTokenizerFast:
    data = json.loads(tokenizer.backend_tokenizer.to_str())
    change(data)
    plain = Tokenizer.from_str(json.dumps(data))
    return PreTrainedTokenizerFast(tokenizer_object=plain, eos_token=end, pad_token=end)


def test_a_wider_teacher_over_the_same_tokens_is_accepted(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    """As in Qwen2.5, where two sizes pad their embeddings differently; the other way round is refused."""
    refuse_other_vocabulary(300, tiny_tokenizer, 320, tiny_tokenizer)
    refuse_other_vocabulary(300, tiny_tokenizer, 300, tiny_tokenizer)
    with pytest.raises(ExperimentError, match="predicts 301 tokens, its teacher only 300"):
        refuse_other_vocabulary(301, tiny_tokenizer, 300, tiny_tokenizer)


def test_tokens_of_the_teacher_beyond_the_students_are_accepted(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    """A GGUF file names its padding rows; those tokens are not the student's business."""
    padded = _changed(tiny_tokenizer, lambda data: data["model"]["vocab"].update({"[PAD300]": 300}))
    refuse_other_vocabulary(300, tiny_tokenizer, 301, padded)
    with pytest.raises(ExperimentError, match=r"1 tokens of the student have another id.*\[PAD300\]"):
        refuse_other_vocabulary(300, padded, 301, tiny_tokenizer)


def test_swapped_ids_are_refused_naming_the_tokens(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    """Two tokens that change places make a teacher of another language, though the token sets are equal."""

    def swap(data: dict[str, Any]) -> None:
        vocabulary = data["model"]["vocab"]
        vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]

    with pytest.raises(ExperimentError, match=r"2 tokens of the student have another id in its teacher.*'a', 'b'"):
        refuse_other_vocabulary(300, tiny_tokenizer, 300, _changed(tiny_tokenizer, swap))


def test_another_end_of_text_is_refused_with_both_ids(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    """The same tokens, but the teacher ends its texts with another one."""
    other = _changed(tiny_tokenizer, lambda data: None, end="a")
    message = f"ends a text with id {tiny_tokenizer.eos_token_id}, its teacher with {other.eos_token_id}"
    with pytest.raises(ExperimentError, match=message):
        refuse_other_vocabulary(300, tiny_tokenizer, 300, other)


def test_other_merges_are_refused(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    """The same tokens under the same ids, put together in another order: one text has two tokenisations."""

    def reorder(data: dict[str, Any]) -> None:
        data["model"]["merges"].reverse()

    with pytest.raises(ExperimentError, match="merge pieces into tokens by different rules"):
        refuse_other_vocabulary(300, tiny_tokenizer, 300, _changed(tiny_tokenizer, reorder))


def test_two_spellings_of_the_same_merges_are_one(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    """Older files write a merge as "a b", newer ones as ["a", "b"]."""
    data = json.loads(tiny_tokenizer.backend_tokenizer.to_str())
    assert isinstance(data["model"]["merges"][0], list)
    data["model"]["merges"] = [" ".join(merge) for merge in data["model"]["merges"]]

    class Old:
        """The same tokenizer as an older library spells it."""

        eos_token_id = tiny_tokenizer.eos_token_id
        get_vocab = tiny_tokenizer.get_vocab

        class backend_tokenizer:
            """See above."""

            to_str = staticmethod(lambda: json.dumps(data))
            encode = tiny_tokenizer.backend_tokenizer.encode

            encode_batch = tiny_tokenizer.backend_tokenizer.encode_batch

    old: Any = Old
    refuse_other_vocabulary(300, tiny_tokenizer, 300, old)
    data["model"]["merges"].pop()
    with pytest.raises(ExperimentError, match="different rules"):
        refuse_other_vocabulary(300, tiny_tokenizer, 300, old)


def test_dropped_mass_is_the_probability_of_what_is_cut_off() -> None:
    """Equal to the sum of the softmax beyond the width, in float64; zero when nothing is cut."""
    logits = 4 * torch.randn(3, 5, 40, generator=torch.Generator().manual_seed(1))
    expected = logits.double().softmax(dim=-1)[..., 30:].sum(dim=-1)
    torch.testing.assert_close(dropped_mass(logits, 30).double(), expected, atol=1e-6, rtol=1e-5)
    assert dropped_mass(logits, 40).abs().max() == 0
    logits[..., 30:] = -torch.inf
    assert dropped_mass(logits, 30).abs().max() == 0


def test_a_tiny_dropped_mass_is_not_rounded_away() -> None:
    """Ten ids, each 12 nat below ten others, weigh 6.1e-6 together: summed themselves, not as what is left of 1."""
    logits = torch.zeros(1, 20)
    logits[0, 10:] = -12
    expected = logits.double().softmax(dim=-1)[0, 10:].sum().item()
    assert dropped_mass(logits, 10).item() == pytest.approx(expected, rel=1e-5)


def test_the_padding_of_a_saved_folder_is_no_other_tokenizer(
    teacher_folder: Path, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    """A tokenizer that was saved and opened again is the same one."""
    again = PreTrainedTokenizerFast.from_pretrained(teacher_folder)
    refuse_other_vocabulary(300, again, 300, tiny_tokenizer)


def test_another_splitting_is_refused_with_both_tokens(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    """The same tokens, ids and merges, and digits one by one: what GPT-2's splitting made of SmolLM2's tokens."""

    def digits(data: dict[str, Any]) -> None:
        data["pre_tokenizer"] = {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, data["pre_tokenizer"]],
        }

    with pytest.raises(
        ExperimentError, match=r"split one text differently .* the token \d+ is '.+' to the student and '"
    ):
        refuse_other_vocabulary(300, tiny_tokenizer, 300, _changed(tiny_tokenizer, digits))
