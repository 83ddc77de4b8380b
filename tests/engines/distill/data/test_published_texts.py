"""Texts as people publish them: each file of tests/assets/texts with the number of documents that is in it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from refute.engines.distill.data.shards import Manifest
from refute.engines.distill.data.tokenize import Tokenize, tokenize
from refute.engines.model.special_tokens import SpecialTokens
from refute.errors import ExperimentError, UsageError

TEXTS = Path(__file__).parents[3] / "assets" / "texts"
TURN, TURN_END = "<|im_start|>", "<|im_end|>"


@pytest.fixture(name="chat_folder", scope="module")
def _chat_folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> Path:
    """A tokenizer that knows turn markers and ends a sequence with the end of a turn, as instruction-tuned ones do."""
    folder = tmp_path_factory.mktemp("chat")
    backend = type(tiny_tokenizer.backend_tokenizer).from_str(tiny_tokenizer.backend_tokenizer.to_str())
    backend.add_special_tokens([AddedToken(token) for token in ("<|endoftext|>", TURN, TURN_END)])
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=TURN_END).save_pretrained(folder)
    return folder


def _tokenized(name: str, folder: Path, out: Path, policy: SpecialTokens = "refuse") -> tuple[Manifest, list[int]]:
    manifest = tokenize(Tokenize([TEXTS / name], folder, out, heldout_share=0.3, special_tokens=policy))
    ids = [
        number
        for split in ("train", "heldout")
        for shard in manifest.shards[split]
        for number in np.fromfile(out / shard.file, dtype="<u4").tolist()
    ]
    return manifest, ids


@pytest.mark.parametrize(
    ("name", "documents", "others"),
    [
        ("lines.json", 60, {}),
        ("array.json", 60, {}),
        ("bom.jsonl", 60, {}),
        ("stories.txt", 60, {}),
        ("nulls.jsonl", 57, {"null": 1, "empty": 2}),
    ],
)
def test_every_document_is_found_and_the_others_are_counted(
    tmp_path: Path, chat_folder: Path, name: str, documents: int, others: dict[str, int]
) -> None:
    """As many documents as were written, as many ends as documents, and no byte order mark among the ids."""
    manifest, ids = _tokenized(name, chat_folder, tmp_path / "out")
    counts = manifest.facts["documents"]
    assert isinstance(counts, dict)
    assert counts["train"] + counts["heldout"] == documents == ids.count(manifest.end_of_document)
    assert {name: count for name, count in counts.items() if count and name not in ("train", "heldout")} == others


def test_latin_1_is_named_with_its_line(tmp_path: Path, chat_folder: Path) -> None:
    """The line that an editor shows."""
    with pytest.raises(UsageError, match=r"latin1\.jsonl:31: byte 0xe9 is not utf-8"):
        _tokenized("latin1.jsonl", chat_folder, tmp_path / "out")


def test_conversations_are_refused_with_the_way_to_render_them(tmp_path: Path, chat_folder: Path) -> None:
    """They are no texts yet, and nothing of them is spelt out as JSON."""
    with pytest.raises(UsageError, match=r"messages\.jsonl:1: no text under 'text', found messages") as caught:
        _tokenized("messages.jsonl", chat_folder, tmp_path / "out")
    assert "chat template" in caught.value.hint
    assert "--special-tokens parse" in caught.value.hint


def test_rendered_chats_are_refused_until_it_is_said_what_their_markers_are(
    tmp_path: Path, chat_folder: Path, teacher_folder: Path
) -> None:
    """60 of 60 by default; parsed, each has its four markers as ids and one end that is not a turn's; literal, none."""
    refusal = r"60 of 60 documents spell special tokens, such as '<\|im_start\|>' in '<\|im_start\|>user"
    with pytest.raises(ExperimentError, match=refusal) as caught:
        _tokenized("rendered_chat.jsonl", chat_folder, tmp_path / "refused")
    assert "parse" in caught.value.hint
    assert "literal" in caught.value.hint
    assert not (tmp_path / "refused" / "manifest.json").exists()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(chat_folder)
    markers = [tokenizer.convert_tokens_to_ids(token) for token in (TURN, TURN_END)]
    parsed, ids = _tokenized("rendered_chat.jsonl", chat_folder, tmp_path / "parsed", "parse")
    assert parsed.end_of_document == tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert [ids.count(marker) for marker in (*markers, parsed.end_of_document)] == [120, 120, 60]
    literal, ids = _tokenized("rendered_chat.jsonl", chat_folder, tmp_path / "literal", "literal")
    assert literal.end_of_document == markers[1]
    assert [ids.count(marker) for marker in markers] == [0, 60]
    # Markers of another model's template are no tokens here, and are not spelt out in silence either.
    for policy, why in (("refuse", re.escape(TURN)), ("parse", "which this tokenizer does not know")):
        with pytest.raises(ExperimentError, match=rf"60 of 60 documents spell special tokens, .*{why}"):
            _tokenized("rendered_chat.jsonl", teacher_folder, tmp_path / policy, policy)  # type: ignore[arg-type]


def test_a_document_end_that_also_ends_turns_is_refused(
    tmp_path: Path, tiny_tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no other end is known, a document mask would cut each chat into its turns."""
    backend = type(tiny_tokenizer.backend_tokenizer).from_str(tiny_tokenizer.backend_tokenizer.to_str())
    backend.add_special_tokens([AddedToken(TURN), AddedToken(TURN_END)])
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=TURN_END).save_pretrained(tmp_path / "chat")
    with pytest.raises(ExperimentError, match=r"60 of 60 documents .* which also ends their turns"):
        _tokenized("rendered_chat.jsonl", tmp_path / "chat", tmp_path / "out", "parse")


def test_what_is_read_as_what_is_said_before(tmp_path: Path, chat_folder: Path) -> None:
    """One line a format with an example, one for what is passed over, all before the first id."""
    (tmp_path / "in").mkdir()
    for name in ("bom.txt", "array.json", "lines.json"):
        (tmp_path / "in" / name).write_bytes((TEXTS / name).read_bytes())
    (tmp_path / "in" / "README.md").write_text("about", encoding="utf-8")
    said: list[str] = []
    wanted = Tokenize([tmp_path / "in"], chat_folder, tmp_path / "out", heldout_share=0.3)
    counts = tokenize(wanted, announce=said.append).facts["documents"]
    assert isinstance(counts, dict)
    assert (counts["train"] + counts["heldout"], counts["duplicates"]) == (61, 60)
    assert said[0].startswith("2 read as JSON, the texts under 'text', such as array.json: 'self class return open")
    assert said[1].startswith("1 read as text, a document each")
    assert "bom.txt: 'def list class name" in said[1]
    assert said[2] == "1 passed over, which come along with a folder: README.md"
