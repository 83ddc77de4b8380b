"""Conversations become windows in which only what the assistant says is learnt, whole, and cut at turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from refute.engines.distill.data.dataset import open_dataset
from refute.engines.distill.data.packing import IGNORED, pack
from refute.engines.distill.data.shards import Manifest, ShardWindows
from refute.engines.distill.data.tokenize import Tokenize, tokenize
from refute.errors import ExperimentError, UsageError

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content if loop.last else 'cut' }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>"]
Prepare = Callable[..., Path]


@pytest.fixture
def tokenizer_in(tmp_path: Path) -> Prepare:
    """Writes a tokenizer with ChatML's tokens into a folder; with `begins`, each text begins with <s>."""

    def make(template: str | None = CHATML, *, begins: bool = False) -> Path:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(["assistant user the the"], trainer)
        if begins:
            tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 3)])
        named = {"eos_token": SPECIAL[2], "bos_token": SPECIAL[3]}
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)
        fast.chat_template = template
        fast.save_pretrained(tmp_path / "model")
        return tmp_path / "model"

    return make


def _talk(*turns: str) -> dict[str, Any]:
    """Turns of user and assistant, one after the other."""
    roles = ("user", "assistant") * len(turns)
    return {"messages": [{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=False)]}


def _made(
    tmp_path: Path, folder: Path, rows: Sequence[object], *, seq_len: int = 64, **changes: Any
) -> tuple[Manifest, list[tuple[str, str]]]:
    """The manifest, and of each window what is read and what of it is learnt, without what fills it up."""
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    wanted = Tokenize([source], folder, tmp_path / "out", heldout_share=0.4, chat=True, seq_len=seq_len, **changes)
    manifest = tokenize(wanted)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    found = []
    for split in ("train", "heldout"):
        windows = ShardWindows(tmp_path / "out", manifest, split, seq_len)
        batch = pack(windows[range(len(windows))], manifest.end_of_document, manifest.beginning_of_sequence)
        for ids, labels in zip(batch.ids, batch.labels, strict=True):
            read = tokenizer.decode(ids[ids != manifest.end_of_document].tolist())
            found.append((str(read), str(tokenizer.decode(labels[labels != IGNORED].tolist()))))
    return manifest, found


def _pieces(windows: Sequence[tuple[str, str]], end: str) -> list[str]:
    """What is learnt, between `end`s, sorted; the last of them must be closed."""
    *pieces, rest = "".join(learnt for _, learnt in windows).split(end)
    assert rest == ""
    return sorted(pieces)


ROWS = [_talk(f"question {n}", f"the answer {n}", f"and {n}?", f"no {n}") for n in range(10)]


@pytest.mark.parametrize("begins", [False, True])
def test_what_the_assistant_says_is_learnt_and_nothing_else(
    tmp_path: Path, tokenizer_in: Prepare, begins: bool
) -> None:
    """Each turn with the token that ends it, and not the template around it; every window holds whole conversations."""
    manifest, windows = _made(tmp_path, tokenizer_in(begins=begins), ROWS, seq_len=90)
    assert sorted(learnt for _, learnt in windows) == sorted(
        f"the answer {n}<|im_end|>no {n}<|im_end|>" for n in range(10)
    )
    for read, _ in windows:
        assert read.count("<|im_start|>user") == read.count("<|im_start|>assistant") == 2
        assert read.startswith("<s><|im_start|>" if begins else "<|im_start|>")
    assert manifest.facts["chat_template_sha256"] is not None
    with pytest.raises(ExperimentError, match=r"windows of 90 ids, the run reads 32"):
        open_dataset(tmp_path / "out", seq_len=32, vocab_size=300, tokenizers={manifest.tokenizer_sha256})


def test_a_long_conversation_ends_with_a_turn(tmp_path: Path, tokenizer_in: Prepare) -> None:
    """With the last of the assistant's that fits; one whose first turn does not fit is left out and counted."""
    rows = [_talk("q" * 5, f"short {n}", "q" * 40, "late") for n in range(9)] + [_talk("q" * 90, "never")]
    manifest, windows = _made(tmp_path, tokenizer_in(), rows, seq_len=64)
    assert _pieces(windows, "<|im_end|>") == [f"short {n}" for n in range(9)]
    documents = manifest.facts["documents"]
    assert isinstance(documents, dict)
    assert (documents["too_long"], documents["train"] + documents["heldout"]) == (1, 9)


def test_a_completion_is_learnt_with_the_end_of_its_text(tmp_path: Path, tokenizer_in: Prepare) -> None:
    """Texts need no template; lists of messages learn the completion's turns alone; ShareGPT names them otherwise."""
    texts = [{"prompt": f"2+{n}=", "completion": f"{2 + n}"} for n in range(8)]
    _, windows = _made(tmp_path, tokenizer_in(None), texts, seq_len=12)
    assert _pieces(windows, "<|endoftext|>") == sorted(str(2 + n) for n in range(8))


def test_messages_of_other_tools_are_read(tmp_path: Path, tokenizer_in: Prepare) -> None:
    """`from` and `value`, prompts of several turns, and the nulls that Parquet puts where a message has no such key."""
    rows: list[Any] = [
        {"conversations": [{"from": "human", "value": f"q{n}"}, {"from": "gpt", "value": f"a{n}"}]} for n in range(4)
    ]
    rows += [
        {"prompt": _talk("x", "old", f"q{n}")["messages"], "completion": [{"role": "assistant", "content": f"b{n}"}]}
        for n in range(4)
    ]
    _, windows = _made(tmp_path, tokenizer_in(), rows, seq_len=80)
    assert _pieces(windows, "<|im_end|>") == ["a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3"]
    table = pa.table({"messages": [[*row["messages"][:1], {**row["messages"][1], "name": "x"}] for row in ROWS]})
    parquet.write_table(table, tmp_path / "rows.parquet")
    wanted = Tokenize(
        [tmp_path / "rows.parquet"], tmp_path / "model", tmp_path / "other", heldout_share=0.2, chat=True, seq_len=64
    )
    assert tokenize(wanted).tokens("train") % 64 == 0


@pytest.mark.parametrize(
    ("rows", "template", "message"),
    [
        ([_talk("say <|im_end|>", "no")], CHATML, "spell special tokens, such as '<|im_end|>'"),
        ([{"text": "no talk"}], CHATML, "no conversation, found text"),
        ([_talk("only a question")], CHATML, "no turn of the assistant"),
        ([_talk("q", "a")], None, "has no chat template"),
        (ROWS, THINKS, "renders the turn 1 otherwise once another follows"),
        ([{"messages": [{"role": "user", "content": ["an image"]}]}], CHATML, "message 0 has no role and content"),
        ([_talk("q", "a")], "{{ raise_exception('no') }}", "the chat template refuses the conversation: no"),
    ],
)
def test_what_cannot_be_masked_is_refused(
    tmp_path: Path, tokenizer_in: Prepare, rows: list[Any], template: str | None, message: str
) -> None:
    """By the row, with what to do."""
    with pytest.raises((UsageError, ExperimentError)) as caught:
        _made(tmp_path, tokenizer_in(template), rows)
    assert message in str(caught.value)
    assert caught.value.hint


def test_windows_have_a_length(tmp_path: Path, tokenizer_in: Prepare) -> None:
    """Without it conversations could not lie in them whole; and tokens that a template writes are no letters."""
    refused: tuple[dict[str, Any], ...] = ({"seq_len": None}, {"special_tokens": "literal"})
    for changes in refused:
        with pytest.raises(UsageError, match="--chat is True"):
            _made(tmp_path, tokenizer_in(), ROWS, **changes)
