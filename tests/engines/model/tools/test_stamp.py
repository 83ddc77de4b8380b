"""What a model says of itself stands in its own files, in every format, and no weight changes a bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors import safe_open
from safetensors.numpy import load_file, save

from full_disk import room_for
from model_workshop import Workshop
from refute.engines.export.gguf.file import export_gguf, read_source
from refute.engines.model.forward.numpy_forward import reference_logits
from refute.engines.model.tools.inspect import inspect_model
from refute.engines.model.tools.stamp import front_matter, stamp_model, stated, stated_fields
from refute.engines.model.tools.stored import open_stored
from refute.errors import UnwritableError, UsageError
from refute.spec.publication import ExportLabel
from released_model import released, sound_model  # noqa: F401  # fixtures

FIELDS = {"name": "Tiny", "author": "Ann", "license": "mit", "base_model": "org/big", "datasets": "org/texts"}


def test_a_folder_is_stamped_in_config_and_weights(released: Path) -> None:  # noqa: F811  # a fixture
    """The tensors stay what they were; a card, where there is one, has the last word."""
    before = load_file(released / "model.safetensors")
    (released / "README.md").unlink()
    assert stamp_model(released, FIELDS) == FIELDS
    after = load_file(released / "model.safetensors")
    assert all(np.array_equal(before[name], after[name]) for name in before)
    with safe_open(released / "model.safetensors", framework="np") as stored:
        assert stored.metadata() == {"format": "pt", **FIELDS}
    assert inspect_model(released).license == "mit"
    (released / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    assert stated(open_stored(released), "license") == "apache-2.0"
    assert not list(released.glob(".*.part"))


def test_a_card_does_not_contradict_a_forced_stamp(released: Path) -> None:  # noqa: F811  # a fixture
    """What it states is replaced in its head; other keys and its text stay, and what it does not state is not added."""
    (released / "README.md").write_text("---\nlicense: apache-2.0\ntags: [a, b]\n---\n# Größe\n---\n", encoding="utf-8")
    assert stamp_model(released, FIELDS, force=True) == FIELDS
    assert front_matter(released) == {"license": "mit", "tags": ["a", "b"]}
    assert (released / "README.md").read_text(encoding="utf-8").endswith("\n---\n# Größe\n---\n")


def test_a_full_disk_leaves_every_shard_as_it_was(released: Path) -> None:  # noqa: F811  # a fixture
    """There was room for the first alone."""
    weights = (released / "model.safetensors").read_bytes()
    (released / "model.safetensors").unlink()
    (released / "a.safetensors").write_bytes(weights_of_one("a", 8))
    (released / "b.safetensors").write_bytes(weights)
    before = {path.name: path.read_bytes() for path in released.iterdir()}
    with room_for(len(weights) // 2), pytest.raises(UnwritableError):
        stamp_model(released, FIELDS, force=True)
    assert {path.name: path.read_bytes() for path in released.iterdir()} == before


def weights_of_one(name: str, numbers: int) -> bytes:
    """A safetensors file of one tensor."""
    return save({name: np.ones(numbers, np.float32)}, {"format": "pt"})


def test_a_gguf_file_is_stamped_where_llama_cpp_looks(workshop: Workshop) -> None:
    """Every other setting, every tensor and every answer stays; a second stamp of the same changes nothing stated."""
    path = workshop.gguf_file(workshop.model("llama"), block_format="Q8_0")
    ids = np.arange(12)
    before, answer = (
        {name: field.contents() for name, field in GGUFReader(path).fields.items()},
        reference_logits(path, ids),
    )
    assert stamp_model(path, FIELDS) == FIELDS
    assert stamp_model(path, FIELDS) == FIELDS
    after = {name: field.contents() for name, field in GGUFReader(path).fields.items()}
    added = {"general.name", "general.author", "general.license", "general.base_model.0.name", "general.dataset.0.name"}
    added |= {"general.base_model.count", "general.dataset.count"}
    assert after.keys() - before.keys() == added
    assert {name: value for name, value in after.items() if name not in added and not name.startswith("GGUF")} == {
        name: value for name, value in before.items() if not name.startswith("GGUF")
    }
    assert np.array_equal(reference_logits(path, ids), answer)


def test_a_stamp_is_kept_through_conversion(workshop: Workshop) -> None:
    """From config.json into the metadata of the file that is made of the folder."""
    folder = workshop.folder(workshop.model("llama"))
    stamp_model(folder, FIELDS)
    made = export_gguf(read_source(folder), workshop.root / "made.F32.gguf", ExportLabel.F32, lambda *_: None)
    assert stated_fields(open_stored(made.path)) == FIELDS


@pytest.mark.parametrize(
    ("fields", "told"),
    [({}, "nothing to stamp"), ({"colour": "red"}, "no such field: colour"), ({"license": "Unknown"}, "says nothing")],
)
def test_what_says_nothing_is_no_stamp(released: Path, fields: dict[str, str], told: str) -> None:  # noqa: F811
    """No field, one that nobody reads, and a licence that is none."""
    with pytest.raises(UsageError, match=told):
        stamp_model(released, fields)


def test_what_is_stated_is_not_replaced_unasked(released: Path) -> None:  # noqa: F811  # a fixture
    """The card says apache-2.0 already."""
    with pytest.raises(UsageError, match=r"states license = 'apache-2\.0' already"):
        stamp_model(released, {"license": "mit"})
