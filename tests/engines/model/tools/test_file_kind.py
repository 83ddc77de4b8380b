"""A file is what its bytes say: weights are weights, however their length is written, and what acts is a pickle."""

from __future__ import annotations

import json
import pickle  # noqa: TID251  # what must be refused has to be made
from pathlib import Path

import pytest

from folder_faults import old_pickle
from refute.engines.model.tools.file_kind import file_kind
from refute.engines.model.tools.stored import file_tensors


class Acting:
    """Its pickle calls something."""

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return Path, ("x",)


def kind_of(content: bytes, tmp_path: Path) -> str:
    """By way of a file."""
    (tmp_path / "file").write_bytes(content)
    return file_kind(tmp_path / "file")


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580, 0x10280])
def test_weights_are_no_pickle_by_the_length_of_their_header(tmp_path: Path, length: int) -> None:
    """Written as 80 02 to 80 05, with which pickles begin; of a damaged header nobody can say that it is none."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode().ljust(length)
    content = length.to_bytes(8, "little") + header + bytes(4)
    assert kind_of(content, tmp_path) == "safetensors"
    assert list(file_tensors(tmp_path / "file")) == ["a"]
    assert kind_of(content.replace(b"}", b" "), tmp_path) == "pickle"


@pytest.mark.parametrize("protocol", range(6))
def test_what_acts_is_a_pickle_whatever_follows_it(tmp_path: Path, protocol: int) -> None:
    """Of every protocol, without its number, behind two MiB of padding, and cut off after its call."""
    content = pickle.dumps(Acting(), protocol)
    bare = content[2:] if protocol >= 2 else content
    padded = b"S'" + b"a" * (1 << 21) + b"'\n0" + bare
    assert {kind_of(each, tmp_path) for each in (content, bare, padded, bare + b"\xff", bare[:-1])} == {"pickle"}


@pytest.mark.parametrize("end", [b"", b"and more of it", b"\xff\xff", b"X\xff\xff\xff\xff"])
def test_junk_hides_no_call(tmp_path: Path, end: bytes) -> None:
    """A reader has called before it comes to it."""
    assert kind_of(old_pickle()[:-1] + end, tmp_path) == "pickle"


def test_a_pickle_in_the_dress_of_weights_is_one(tmp_path: Path) -> None:
    """A float's eight bytes hold the beginning of a header."""
    assert kind_of(b'\x80\x02G\x00\x00\x00\x00\x00{"x' + old_pickle(), tmp_path) == "pickle"


@pytest.mark.parametrize(
    "text",
    ["cat\ndog\nbird\n", "import os\nimport sys\n", "(in short)\na text\n.", "cryptography-50\nhere\n.", "}]KR", "R."],
)
def test_texts_are_no_pickles(tmp_path: Path, text: str) -> None:
    """Most begin with some opcode."""
    assert kind_of(text.encode(), tmp_path) == "other"
