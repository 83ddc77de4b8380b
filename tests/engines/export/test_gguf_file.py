"""Folders of four architectures as GGUF files: the same model by two forwards, in the formats that were asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from model_workshop import KINDS, Workshop
from refute.engines.export.gguf.file import Exported, export_gguf, read_source
from refute.engines.export.gguf.writer import Writer
from refute.engines.export.proofs.conversion import compare, in_llama_cpp
from refute.engines.model.forward.gguf_weights import GgufWeights
from refute.engines.model.forward.numpy_forward import reference_logits
from refute.engines.model.forward.parity import compare_logits
from refute.engines.model.gguf import metadata, open_gguf
from refute.errors import MissingInputsError, NonFiniteError, RefuteError, UsageError
from refute.spec.publication import ExportLabel

IDS = np.array([5, 17, 250, 3, 99, 42, 7, 201, 64, 12, 31])


def silent(*_: object) -> None:
    """A report that nobody reads."""


def made(
    workshop: Workshop, kind: str, label: ExportLabel = ExportLabel.F32, *, tied: bool = True
) -> tuple[Path, Exported]:
    """A folder with a random model of `kind`, without windows, which llama.cpp has none of; and its file."""
    model = workshop.model(kind, tied=tied)
    model.config.sliding_window = None
    folder = workshop.folder(model)
    return folder, export_gguf(read_source(folder), workshop.root / "model.gguf", label, silent)


@pytest.mark.parametrize(("kind", "tied"), [*((kind, True) for kind in KINDS), ("llama", False)])
def test_the_file_is_the_folders_model(workshop: Workshop, kind: str, tied: bool) -> None:
    """The independent forward makes the same of both, permutation, biases, head norms and rotary divisors included."""
    folder, exported = made(workshop, kind, tied=tied)
    found = compare_logits(reference_logits(exported.path, IDS), reference_logits(folder, IDS))
    assert found.max_abs < 1e-5
    assert ("output.weight" in GgufWeights(exported.path).names) is not tied
    assert exported.path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_reads_the_same_model(workshop: Workshop, kind: str) -> None:
    """Somebody else's reader of the format gives every token the folder's probability after several prefixes."""
    folder, exported = made(workshop, kind)
    places = (2, 6, len(IDS) - 1)
    wanted = torch.from_numpy(reference_logits(folder, IDS)[list(places)]).log_softmax(dim=-1).numpy()
    found = in_llama_cpp(exported.path, IDS.tolist(), places, 300, threads=1)
    assert max(compare(wanted, found, places).kl) < 1e-5  # llama.cpp keeps what it has read in float16


@pytest.mark.parametrize(
    ("label", "kinds", "off"),
    [
        (ExportLabel.F16, {"F16", "F32"}, 1e-3),
        (ExportLabel.BF16, {"BF16", "F32"}, 1e-2),
        (ExportLabel.Q8_0, {"Q8_0", "F32"}, 1e-2),
        (ExportLabel.Q4_0, {"Q4_0", "Q8_0", "F32"}, 0.12),
    ],
)
def test_matrices_are_stored_as_the_label_says(
    workshop: Workshop, label: ExportLabel, kinds: set[str], off: float
) -> None:
    """Vectors stay F32, the embedding never goes below eight bits, and the numbers are those of the folder."""
    folder, exported = made(workshop, "llama", label)
    assert set(exported.tensors) == kinds
    assert exported.fallback == 0.0
    stored, folders = GgufWeights(exported.path), load_file(folder / "model.safetensors")
    wanted = folders["model.layers.1.mlp.down_proj.weight"].double().numpy()
    found = stored.get("blk.1.ffn_down.weight")
    assert 0 < np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < off
    assert np.array_equal(stored.get("blk.0.attn_norm.weight"), folders["model.layers.0.input_layernorm.weight"])
    kind = {tensor.name: tensor.tensor_type.name for tensor in open_gguf(exported.path).tensors}
    assert kind["token_embd.weight"] in {"F16", "BF16", "Q8_0"}


def test_blocks_are_those_of_gguf_itself(workshop: Workshop) -> None:
    """Cut into pieces, converted by torch: to the byte what the format's own package makes."""
    folder, _ = made(workshop, "llama")
    numbers = load_file(folder / "model.safetensors")["model.layers.0.mlp.up_proj.weight"].numpy()
    for label in (ExportLabel.F16, ExportLabel.BF16, ExportLabel.Q8_0, ExportLabel.Q4_0):
        export_gguf(read_source(folder), workshop.root / "again.gguf", label, silent)
        tensor = next(
            each for each in open_gguf(workshop.root / "again.gguf").tensors if each.name == "blk.0.ffn_up.weight"
        )
        wanted = gguf.quants.quantize(numbers, tensor.tensor_type)
        assert np.asarray(tensor.data).tobytes() == wanted.tobytes(), label


@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_the_metadata_is_that_of_gguf_itself(workshop: Workshop, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists in one piece, to the byte what the format's own package writes item by item."""
    folder = workshop.folder(workshop.model(kind))
    written = []
    for writer in (Writer, gguf.GGUFWriter):
        monkeypatch.setattr("refute.engines.export.gguf.file.Writer", writer)
        export_gguf(read_source(folder), workshop.root / "model.gguf", ExportLabel.F16, silent)
        written.append((workshop.root / "model.gguf").read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize(
    "items",
    [["a", "", "\u00e9\n"], [1, -2, 1 << 31], [0, -(1 << 31)], [True, False], [1.5, 2.0], (b"x", b"y"), [[1], [2]]],
)
def test_a_list_is_packed_as_gguf_does(items: list[Any], tmp_path: Path) -> None:
    """Whatever is in it."""
    own, theirs = (kind(tmp_path / "x.gguf", "llama") for kind in (Writer, gguf.GGUFWriter))
    wanted = (gguf.GGUFValueType.ARRAY, True)
    try:
        packed = theirs._pack_val(items, *wanted)
    except Exception as error:  # noqa: BLE001  # whatever it refuses
        with pytest.raises(type(error)):
            own._pack_val(items, *wanted)
    else:
        assert own._pack_val(items, *wanted) == packed


def test_the_vocabulary_is_told_whole(workshop: Workshop) -> None:
    """Tokens with what they are, rows without a token, how texts begin and end, the template: all that logits hide."""
    model = workshop.model("llama")
    model.resize_token_embeddings(320)
    workshop.tokenizer.chat_template = "{{ messages[0].content }}"
    folder = workshop.folder(model)
    workshop.tokenizer.chat_template = None
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 0]}), encoding="utf-8")
    export_gguf(read_source(folder), workshop.root / "model.gguf", ExportLabel.F16, silent)
    reader = open_gguf(workshop.root / "model.gguf")

    def told(key: str) -> Any:
        return metadata(reader, f"tokenizer.{key}")

    assert (told("ggml.model"), told("ggml.pre"), told("chat_template")) == (
        "gpt2",
        "gpt-2",
        "{{ messages[0].content }}",
    )
    assert told("ggml.tokens")[0] == "<|end|>"
    assert told("ggml.tokens")[300:] == [f"[PAD{number}]" for number in range(300, 320)]
    assert told("ggml.token_type") == [3, *[1] * 299, *[5] * 20]
    assert (told("ggml.eos_token_id"), told("ggml.eot_token_id")) == (0, 7)
    assert (told("ggml.add_bos_token"), told("ggml.add_eos_token")) == (False, False)


def test_a_window_ends_the_context(workshop: Workshop) -> None:
    """llama.cpp has no windows for mistral: beyond one it would see what the model never saw."""
    folder = workshop.folder(workshop.model("mistral"))
    export_gguf(read_source(folder), workshop.root / "model.gguf", ExportLabel.F32, silent)
    assert metadata(open_gguf(workshop.root / "model.gguf"), "llama.context_length") == 4


def config(folder: Path, **changed: object) -> None:
    """Change what config.json says."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changed), encoding="utf-8")


def planted(name: str, number: float) -> Any:
    """Puts one number into one tensor."""

    def plant(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        weights[name].view(-1)[3] = number
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return plant


def tokenizer(change: Any) -> Any:
    """Changes tokenizer.json."""

    def plant(folder: Path) -> None:
        changed = Tokenizer.from_file(str(folder / "tokenizer.json"))
        change(changed)
        changed.save(str(folder / "tokenizer.json"))

    return plant


def split_by_digits_of_three(changed: Tokenizer) -> None:
    """A way of splitting that has no name."""
    changed.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(False)])


def lower_case(changed: Tokenizer) -> None:
    """A normalizer that llama.cpp has not."""
    changed.normalizer = normalizers.Lowercase()


REFUSED: dict[str, tuple[Any, ExportLabel, type[RefuteError], str]] = {
    "architecture": (lambda f: config(f, model_type="gpt_neox"), ExportLabel.F16, UsageError, "this is 'gpt_neox'"),
    "rope": (
        lambda f: config(f, rope_parameters={"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}),
        ExportLabel.F16,
        UsageError,
        "rope type 'yarn'",
    ),
    "nan": (
        planted("model.norm.weight", float("nan")),
        ExportLabel.F32,
        NonFiniteError,
        "output_norm.weight holds NaN",
    ),
    "infinity": (
        planted("model.layers.0.mlp.up_proj.weight", float("-inf")),
        ExportLabel.Q8_0,
        NonFiniteError,
        "blk.0.ffn_up",
    ),
    "too large": (
        planted("model.embed_tokens.weight", 7e4),
        ExportLabel.F16,
        NonFiniteError,
        "70000, and F16 ends at 65504",
    ),
    "tokens": (tokenizer(lambda t: t.add_tokens(["<one>", "<more>"])), ExportLabel.F16, UsageError, "ids up to 301"),
    "splitting": (tokenizer(split_by_digits_of_three), ExportLabel.F16, UsageError, "splits text by"),
    "normalizer": (tokenizer(lower_case), ExportLabel.F16, UsageError, "Lowercase"),
    "label": (lambda _: None, ExportLabel.Q4_K_M, UsageError, "100% of its weights"),
    "cut": (
        lambda f: (f / "model.safetensors").write_bytes(b"\x08"),
        ExportLabel.F16,
        MissingInputsError,
        "safetensors",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_converted_is_refused_by_name(workshop: Workshop, case: str) -> None:
    """Nothing appears, and what was there stays."""
    change, label, kind, words = REFUSED[case]
    folder = workshop.folder(workshop.model("llama"))
    change(folder)
    target = workshop.root / "model.gguf"
    target.write_bytes(b"before")
    with pytest.raises(kind, match=words):
        export_gguf(read_source(folder), target, label, silent)
    assert target.read_bytes() == b"before"
    assert [path.name for path in workshop.root.iterdir() if path.suffix == ".part"] == []


def test_bfloat16_folders_are_read(workshop: Workshop) -> None:
    """What is stored in bfloat16 is the same numbers in a file of float32."""
    model: Any = workshop.model("qwen2")
    folder = workshop.folder(model.to(torch.bfloat16))
    export_gguf(read_source(folder), workshop.root / "model.gguf", ExportLabel.F32, silent)
    found = compare_logits(reference_logits(workshop.root / "model.gguf", IDS), reference_logits(folder, IDS))
    assert found.max_abs < 1e-5
