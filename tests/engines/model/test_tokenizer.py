"""A folder's tokenizer is what its tokenizer.json says, whatever class the folder names, and so is its beginning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, PreTrainedTokenizerFast

from refute.engines.model.bos_token import beginning_of_sequence
from refute.engines.model.probe_texts import PROBE_TEXTS
from refute.engines.model.tokenizer import read_tokenizer
from refute.errors import ExperimentError, MissingInputsError

TEXT = [f"def f{number}(n):\n    return n * {number}  77 it's {number % 7}\n" for number in range(200)]
DIGITS = pre_tokenizers.Sequence(
    [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
BEGIN = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B:1", special_tokens=[("<s>", 1)])


def _write(folder: Path, splitting: Any, family: str, template: Any = None, **config: object) -> Tokenizer:
    """The tokenizer files of a published model, as they are written by hand."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = splitting, decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|endoftext|>", "<s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    if template is not None:
        tokenizer.post_processor = template
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"eos_token": special[0], "bos_token": special[1]}
    (folder / "tokenizer_config.json").write_text(json.dumps(names | config), encoding="utf-8")
    AutoConfig.for_model(family).save_pretrained(folder)
    model = json.loads(tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = "".join(" ".join(rule) + "\n" for rule in model["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}", encoding="utf-8")
    return tokenizer


@pytest.mark.parametrize(
    ("splitting", "family", "class_name"),
    [
        (DIGITS, "llama", "GPT2Tokenizer"),
        (BYTES, "qwen2", "Qwen2Tokenizer"),
        (BYTES, "qwen2", "PreTrainedTokenizerFast"),
        (BYTES, "gemma3_text", "GemmaTokenizerFast"),
        (DIGITS, "llama", "LlamaTokenizer"),
    ],
)
def test_ids_are_those_of_the_file_whatever_class_the_folder_names(
    tmp_path: Path, splitting: Any, family: str, class_name: str
) -> None:
    """SmolLM2's published form, an own vocabulary in a Qwen2 folder and others: hundreds of texts have the file's ids,
    and still have them in a folder that they are saved to."""
    written = _write(tmp_path / "published", splitting, family, tokenizer_class=class_name)
    found = read_tokenizer(tmp_path / "published", gguf=False)
    assert isinstance(found, PreTrainedTokenizerFast)
    found.save_pretrained(tmp_path / "saved")
    expected = [encoding.ids for encoding in written.encode_batch(list(PROBE_TEXTS), add_special_tokens=False)]
    assert found(list(PROBE_TEXTS), add_special_tokens=False)["input_ids"] == expected
    again = read_tokenizer(tmp_path / "saved", gguf=False)
    assert again(list(PROBE_TEXTS), add_special_tokens=False)["input_ids"] == expected
    if splitting is DIGITS:
        assert len(found("a  7", add_special_tokens=False)["input_ids"]) == 3
    assert (found.eos_token, found.eos_token_id) == ("<|endoftext|>", 0)


def test_lengths_that_a_file_was_saved_with_cut_and_fill_nothing(tmp_path: Path) -> None:
    """Truncation and padding of a training script that lie in tokenizer.json are no part of how a text is read."""
    written = _write(tmp_path, BYTES, "llama")
    expected = written.encode("def f7(n): return n").ids
    written.enable_truncation(4)
    written.enable_padding(length=40)
    written.save(str(tmp_path / "tokenizer.json"))
    found = read_tokenizer(tmp_path, gguf=False)
    assert found("def f7(n): return n", add_special_tokens=False)["input_ids"] == expected


def test_a_configuration_that_changes_what_the_file_reads_is_refused(tmp_path: Path) -> None:
    """A token that only tokenizer_config.json adds cuts texts that the file does not cut."""
    added = {"500": {"content": "It's", "special": False}}
    _write(tmp_path, BYTES, "llama", added_tokens_decoder=added)
    with pytest.raises(ExperimentError, match=r"transformers makes .*tokenizer\.json says") as caught:
        read_tokenizer(tmp_path, gguf=False)
    assert "contradict" in caught.value.hint


@pytest.mark.parametrize(
    ("template", "stated", "begins"),
    [
        (None, None, None),
        (BEGIN, None, 1),
        (None, True, 1),
        (BEGIN, True, 1),
        (BEGIN, False, None),
        (None, False, None),
    ],
)
def test_a_text_begins_as_the_files_say(tmp_path: Path, template: Any, stated: bool | None, begins: int | None) -> None:
    """By add_bos_token where it is said, else by tokenizer.json; a folder that it is saved to says the same."""
    config = {} if stated is None else {"add_bos_token": stated}
    _write(tmp_path / "published", BYTES, "llama", template, **config)
    found = read_tokenizer(tmp_path / "published", gguf=False)
    found.save_pretrained(tmp_path / "saved")
    for tokenizer in (found, read_tokenizer(tmp_path / "saved", gguf=False)):
        assert isinstance(tokenizer, PreTrainedTokenizerFast)
        assert beginning_of_sequence(tokenizer) == begins
        ids = tokenizer("n", add_special_tokens=True)["input_ids"]
        assert ids[:-1] == ([] if begins is None else [begins])


def test_a_text_that_begins_with_several_tokens_is_refused(tmp_path: Path) -> None:
    """Windows could not be laid out for it."""
    template = processors.TemplateProcessing(
        single="<s> <|endoftext|> $A", special_tokens=[("<s>", 1), ("<|endoftext|>", 0)]
    )
    _write(tmp_path, BYTES, "llama", template)
    found = read_tokenizer(tmp_path, gguf=False)
    assert isinstance(found, PreTrainedTokenizerFast)
    with pytest.raises(ExperimentError, match="begins each text with 2 tokens"):
        beginning_of_sequence(found)


def test_a_beginning_without_a_token_is_refused(tmp_path: Path) -> None:
    """add_bos_token of a tokenizer that names none is a contradiction, not nothing."""
    _write(tmp_path, BYTES, "llama", bos_token=None, add_bos_token=True)
    with pytest.raises(ExperimentError, match=r"add_bos_token\), and name none"):
        read_tokenizer(tmp_path, gguf=False)


def test_a_damaged_tokenizer_json_is_a_missing_input(tmp_path: Path) -> None:
    """It names the folder, and no other tokenizer is made up in its place."""
    _write(tmp_path, BYTES, "qwen2")
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(MissingInputsError, match="holds no usable tokenizer"):
        read_tokenizer(tmp_path, gguf=False)
