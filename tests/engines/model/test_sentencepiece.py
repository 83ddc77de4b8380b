"""A SentencePiece vocabulary in a GGUF file is read as llama.cpp reads it, and is the one of the folder it becomes."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from refute.engines.model.bos_token import beginning_of_sequence
from refute.engines.model.lineage import one_spelling, token_list
from refute.engines.model.probe_texts import PROBE_TEXTS
from refute.engines.model.server.llama_cpp import serve_in_llama_cpp
from refute.engines.model.tokenizer import open_tokenizer, tokenizer_of_gguf
from refute.engines.model.vocabulary import refuse_other_vocabulary
from refute.errors import ExperimentError
from refute.spec.release import GgufModel, HfModel, Source

GGUF = GgufModel(format="gguf", source=Source(path="model.gguf", sha256="0" * 64))
HF = HfModel(format="hf", path="hf")
NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6
PIECES = ["▁", "▁d", "de", "def", "▁def", "re", "ret", "urn", "return", "▁return", "12", "▁7", "77", "It", "'s", "(n"]


def _tokens() -> list[tuple[str, int]]:
    """Names of its own for the ends, bytes, runs of blanks and of line ends that stand whole, and pieces."""
    letters = [chr(number) for number in range(33, 127)]
    return [
        *((name, CONTROL) for name in ("<begin>", "<end>", "<pad>")),
        ("<unk>", UNKNOWN),
        *((f"<0x{number:02X}>", BYTE) for number in range(256)),
        *((" " * length, USER) for length in range(2, 6)),
        *(("\n" * length, USER) for length in range(1, 4)),
        *((piece, NORMAL) for piece in sorted(PIECES + letters, key=lambda piece: -len(piece))),
    ]


def _write(path: Path, *, prefix: bool | None) -> int:
    """A GGUF file of a random llama with that vocabulary; how many tokens it has."""
    tokens = _tokens()
    writer = gguf.GGUFWriter(path, "llama")
    sizes = (writer.add_block_count, 1), (writer.add_embedding_length, 32), (writer.add_feed_forward_length, 32)
    for add, size in (*sizes, (writer.add_head_count, 2), (writer.add_context_length, 64)):
        add(size)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([token for token, _ in tokens])
    writer.add_token_scores([-float(number) for number in range(len(tokens))])
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    if prefix is not None:
        writer.add_add_space_prefix(prefix)
    config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    torch.manual_seed(0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 1)
    for name, tensor in LlamaForCausalLM(config).state_dict().items():
        module, _, suffix = name.rpartition(".")
        writer.add_tensor(f"{names.get_name(module)}.{suffix}", tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return len(tokens)


@pytest.mark.parametrize("prefix", [None, False])
def test_ids_are_llama_cpps(tmp_path: Path, prefix: bool | None) -> None:
    """With and without a blank before each text, which transformers decides by the architecture; a tokenizer that reads
    one text otherwise is refused with it."""
    path = tmp_path / "model.gguf"
    _write(path, prefix=prefix)
    tokenizer = open_tokenizer(GGUF, path)
    with serve_in_llama_cpp(path, context=64, threads=1) as llama:
        llama.refuse_other_reading(tokenizer, path)
        assert llama.beginning() == [beginning_of_sequence(tokenizer)] == [0]
        tokenizer.backend_tokenizer.normalizer = None
        with pytest.raises(ExperimentError, match=r"llama\.cpp makes \[.* the tokenizer that transformers makes of"):
            llama.refuse_other_reading(tokenizer, path)


def test_file_and_folder_are_one_vocabulary(tmp_path: Path) -> None:
    """The file spells runs of blanks as they are, as gemma's do; the folder holds no token that the file lacks, such as
    the <s> of transformers' own LlamaTokenizer."""
    path = tmp_path / "model.gguf"
    size = _write(path, prefix=False)
    tokenizer = open_tokenizer(GGUF, path)
    tokenizer.save_pretrained(tmp_path / "hf")
    folder = open_tokenizer(HF, tmp_path / "hf")
    assert len(folder) == size
    assert (folder.bos_token, folder.eos_token) == ("<begin>", "<end>")

    refuse_other_vocabulary(size, folder, size, tokenizer)
    assert one_spelling(["  ", "▁", None]) == ["▁▁", "▁", None]
    assert one_spelling(token_list(tokenizer)) == one_spelling([token for token, _ in _tokens()])
    expected = tokenizer(list(PROBE_TEXTS), add_special_tokens=False)["input_ids"]
    assert folder(list(PROBE_TEXTS), add_special_tokens=False)["input_ids"] == expected


def test_a_file_is_read_once_and_each_reader_has_his_own(tmp_path: Path) -> None:
    """What one changes in his tokenizer is not in the next one's; another file under the same name is read."""
    path = tmp_path / "model.gguf"
    _write(path, prefix=True)
    before = tokenizer_of_gguf.cache_info().misses
    open_tokenizer(GGUF, path).backend_tokenizer.normalizer = None
    assert open_tokenizer(GGUF, path).backend_tokenizer.normalizer is not None
    assert tokenizer_of_gguf.cache_info().misses == before + 1
    _write(path, prefix=None)
    open_tokenizer(GGUF, path)
    assert tokenizer_of_gguf.cache_info().misses == before + 2
