"""A tokenizer out of a GGUF file splits text as the file says, and one that cannot is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from refute.engines.model.bos_token import beginning_of_sequence
from refute.engines.model.tokenizer import read_tokenizer
from refute.errors import ExperimentError, MissingInputsError

TEXT = [f"def f{number}(n):\n    return n * {number} + {number % 7}\n" for number in range(200)]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a GGUF file that holds no weights and a byte-level vocabulary in which `12` and `123` are tokens."""

    def make(*, pre: str | None, kind: str = "gpt2", begins: bool | None = None) -> Path:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(TEXT, trainer)
        model = json.loads(tokenizer.to_str())["model"]
        writer = gguf.GGUFWriter(tmp_path / "tokens.gguf", "llama")
        writer.add_block_count(1)
        writer.add_embedding_length(64)
        writer.add_head_count(4)
        writer.add_tokenizer_model(kind)
        if pre is not None:
            writer.add_tokenizer_pre(pre)
        tokens = sorted(model["vocab"], key=model["vocab"].get)
        writer.add_token_list(tokens)
        writer.add_token_scores([0.0] * len(tokens))
        writer.add_token_types([3] + [1] * (len(tokens) - 1))
        writer.add_token_merges([" ".join(rule) for rule in model["merges"]])
        writer.add_eos_token_id(0)
        writer.add_bos_token_id(0)
        if begins is not None:
            writer.add_add_bos_token(begins)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return tmp_path / "tokens.gguf"

    return make


def pieces(path: Path, text: str) -> list[str]:
    """How the file's tokenizer spells a text."""
    found: list[str] = read_tokenizer(path, gguf=True).tokenize(text)
    return found


@pytest.mark.parametrize(
    ("pre", "expected"),
    [
        ("gpt-2", ["Ġ12", "3"]),
        ("smollm", ["Ġ", "1", "2", "3"]),
        ("starcoder", ["Ġ", "1", "2", "3"]),
        ("qwen2", ["Ġ", "1", "2", "3"]),
        ("llama-bpe", ["Ġ", "12", "3"]),
    ],
)
def test_digits_are_split_as_the_file_says(write: Write, pre: str, expected: list[str]) -> None:
    """One vocabulary, four ways: digits with the blank before them, one by one, or by threes without it."""
    assert pieces(write(pre=pre), " 123") == expected


@pytest.mark.parametrize("pre", ["of-next-year", "default", None])
def test_an_unknown_splitting_is_refused(write: Write, pre: str | None) -> None:
    """GPT-2's would do for most letters, and give other ids for numbers."""
    with pytest.raises(
        ExperimentError, match=rf"splits text as {pre!r} \(tokenizer\.ggml\.pre\), which neither"
    ) as caught:
        pieces(write(pre=pre), "1")
    assert "Hugging Face folder" in caught.value.hint


def test_sentencepiece_says_nothing_about_splitting(write: Write) -> None:
    """Its tokens carry their blanks, so the name in the file does not matter."""
    assert pieces(write(pre="default", kind="llama"), "12")


@pytest.mark.parametrize(
    ("pre", "kind", "stated", "begins"),
    [
        ("smollm", "gpt2", None, None),
        ("smollm", "gpt2", True, 0),
        ("llama-bpe", "gpt2", None, 0),
        ("llama-bpe", "gpt2", False, None),
        ("default", "llama", None, 0),
        ("default", "llama", False, None),
    ],
)
def test_a_text_begins_as_the_file_says(
    write: Write, pre: str, kind: str, stated: bool | None, begins: int | None
) -> None:
    """By add_bos_token, else as llama.cpp begins a text with such a vocabulary."""
    found = read_tokenizer(write(pre=pre, kind=kind, begins=stated), gguf=True)
    assert isinstance(found, PreTrainedTokenizerFast)
    assert beginning_of_sequence(found) == begins


def test_a_file_without_tokenizer_is_refused(tmp_path: Path) -> None:
    """Damage of any kind is a missing input that names the file."""
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\x00")
    with pytest.raises(MissingInputsError, match=r"cut\.gguf holds no usable tokenizer"):
        read_tokenizer(tmp_path / "cut.gguf", gguf=True)
    with pytest.raises(MissingInputsError, match=r"absent\.gguf does not exist"):
        read_tokenizer(tmp_path / "absent.gguf", gguf=True)
