"""Each fault of a folder is found by the rule that is about it, and a sound one has none."""

from __future__ import annotations

import json
import pickle  # noqa: TID251  # what must be refused has to be made
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from folder_faults import FAULTS, TOKENIZER
from model_workshop import Workshop
from refute.engines.model.tools.lint.lint import RULES, UNREADABLE, lint_model
from refute.engines.model.tools.quality import POINTS, measure_quality, quality_of
from refute.errors import UnreadableInputError
from released_model import edit, released, sound_model  # noqa: F401  # fixtures


def test_a_sound_model_has_no_fault(released: Path) -> None:  # noqa: F811  # a fixture
    """And all points."""
    assert lint_model(released) == []
    assert dict(measure_quality(released).groups) == POINTS


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_its_rule(released: Path, name: str) -> None:  # noqa: F811  # a fixture
    """With what to do; an error takes its group's points."""
    rule, plant = FAULTS[name]
    plant(released)
    found = lint_model(released)
    assert rule in {each.rule for each in found}, found
    assert all(each.fix for each in found)
    quality = quality_of("hf", found)
    for each in found:
        assert each.severity != "error" or quality.groups[each.group] == 0
    assert bool(quality.blocked) is any(each.severity == "error" for each in found)


def test_a_checkpoint_within_a_model_is_one_finding(released: Path) -> None:  # noqa: F811  # a fixture
    """A trainer's folder is named once, and its pickles each: they run code."""
    (released / "checkpoint-12").mkdir()
    for name in ("checkpoint-12/config.json", "checkpoint-12/model.safetensors", "checkpoint-12/optimizer.pt"):
        (released / name).write_bytes(b"{}")
    (released / "training_args.bin").write_bytes(b"PK\x03\x04")
    found = [(each.rule, each.found.split(" ")[0]) for each in lint_model(released) if each.severity == "error"]
    assert found == [
        ("file/runs-code", "training_args.bin"),
        ("file/unexpected", "training_args.bin"),
        ("file/unexpected", "checkpoint-12/"),
    ]


def test_every_rule_of_folders_has_a_fault_that_it_finds() -> None:
    """But for those that need a template of another shape, which the next test has."""
    tried = {rule for rule, _ in FAULTS.values()}
    rest = {
        "tokenizer/turn-end",
        "tokenizer/two-beginnings",
        "tokenizer/template-missing",
        "card/base-model",
        "card/datasets",
    }
    assert {rule.id for rule in RULES if "hf" in rule.formats} == (tried | rest) - {UNREADABLE}


@pytest.mark.parametrize(
    ("rule", "template", "settings"),
    [
        ("tokenizer/turn-end", "{{ messages }}<|im_end|>", {}),
        (
            "tokenizer/two-beginnings",
            "{{ bos_token }}{{ messages }}<|end|>",
            {"add_bos_token": True, "bos_token": "<|end|>"},
        ),
        ("tokenizer/template-missing", "", {}),
    ],
)
def test_a_template_is_held_against_the_tokenizer(
    released: Path,  # noqa: F811  # a fixture
    rule: str,
    template: str,
    settings: dict[str, Any],
) -> None:
    """Where a turn ends, nothing stops; a prompt would begin twice; nobody says how to chat."""
    (released / "chat_template.jinja").write_text(template, encoding="utf-8")
    edit(released, TOKENIZER, chat_template=template, **settings)
    assert rule in {each.rule for each in lint_model(released)}


def test_a_pickle_is_no_model_under_any_name(tmp_path: Path) -> None:
    """Not as a GGUF file, either: it is refused before anything of it is read."""
    (tmp_path / "model.gguf").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UnreadableInputError, match="is a pickle, whatever its name says"):
        lint_model(tmp_path / "model.gguf")


def test_a_gguf_file_says_what_the_config_beside_it_says(workshop: Workshop) -> None:
    """How long a text may be, and how positions turn: no logit of a short text shows it."""
    model = workshop.model("llama")
    path, folder = workshop.gguf_file(model, block_format="Q8_0"), workshop.folder(model)
    shutil.copy(folder / "config.json", path.parent / "config.json")
    about = {"max_position_embeddings": "context_length", "rms_norm_eps": "attention.layer_norm_rms_epsilon"}

    def found() -> list[str]:
        return [each.found.split(" is ")[0] for each in lint_model(path) if each.rule == "gguf/config"]

    assert found() == []
    for key, name in about.items():
        changed: dict[str, Any] = {key: 7}
        edit(path.parent, "config.json", **changed)
        assert name in found()


def test_faults_of_a_gguf_file_are_found(workshop: Workshop) -> None:
    """This one has no template, types of no use and a name without label; its blocks are dequantised and looked at."""
    path = workshop.gguf_file(workshop.model("llama"), block_format="Q8_0")
    found = {each.rule for each in lint_model(path)}
    assert {"gguf/template-missing", "gguf/label", "card/license"} <= found
    assert "weights/numbers" not in found
    data = bytearray(path.read_bytes())
    data[-64:] = b"\xff" * 64
    path.write_bytes(data)
    assert "weights/numbers" in {each.rule for each in lint_model(path)}


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"])
def test_numbers_that_nobody_looked_at_are_named(released: Path, dtype: str) -> None:  # noqa: F811  # a fixture
    """A folder of nothing else has no point for its numbers."""
    header = json.dumps({"a": {"dtype": dtype, "shape": [4, 2], "data_offsets": [0, 8]}}).encode()
    (released / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    found = lint_model(released)
    assert f"no number of 1 {dtype} tensors was looked at, such as a" in {each.found for each in found}
    assert quality_of("hf", found).groups["physics"] == 0


@pytest.mark.parametrize(("dtype", "rules"), [("int32", {"weights/unread"}), ("float64", {"weights/numbers"})])
def test_every_type_of_a_gguf_file_has_an_ending(tmp_path: Path, dtype: str, rules: set[str]) -> None:
    """Whole numbers are named as unread, and double precision is read: here a constant."""
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("blk.0.ffn_up.weight", np.ones((4, 8), dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = lint_model(tmp_path / "m.gguf")
    assert {each.rule for each in found if each.group == "physics"} == rules
