"""The model digest: equal to OpenSSF model signing's, and refused where that has two answers."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from model_folder import SIGNED, write_model
from refute.attest import hash_model, model_digest
from refute.errors import MissingInputsError, VerificationError

# Signed with model_signing 1.1.1 (`model_signing sign key`), read from the subject of its model.sig.
REFERENCE_DIGEST = "c95eefc211210330ba601de073b247a22666ffdb103ec4b4b0bb5848a326353d"


def test_the_root_digest_is_the_one_in_model_sig(tmp_path: Path) -> None:
    """The digest equals what the reference implementation signed for the same files."""
    assert model_digest(write_model(tmp_path / "m", SIGNED)) == REFERENCE_DIGEST


def test_the_root_digest_by_hand(tmp_path: Path) -> None:
    """SHA-256 over raw file digests in component order, whatever the order on disk."""
    order = [
        ".hidden",
        "config.json",
        "model.safetensors",
        "sub/.gitattributes",
        "tokenizer/merges.txt",
        "tokenizer/vocab.json",
    ]
    by_hand = hashlib.sha256(b"".join(hashlib.sha256(SIGNED[name]).digest() for name in order)).hexdigest()
    assert model_digest(write_model(tmp_path / "one", SIGNED)) == by_hand
    assert model_digest(write_model(tmp_path / "two", dict(reversed(SIGNED.items())))) == by_hand


def test_a_single_file_is_a_model_of_one(tmp_path: Path) -> None:
    """A lone file's root digest is the digest of its digest, as in the reference."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    plain = hashlib.sha256(b"GGUF")
    assert model_digest(str(path)) == hashlib.sha256(plain.digest()).hexdigest()


def test_every_content_and_every_file_counts(tmp_path: Path) -> None:
    """Changing any one byte, adding or removing any one file gives another root digest."""
    digests = [model_digest(write_model(tmp_path / "base", SIGNED))]
    for number, name in enumerate(SIGNED):
        digests.append(model_digest(write_model(tmp_path / f"c{number}", SIGNED | {name: SIGNED[name] + b"!"})))
        fewer = {other: content for other, content in SIGNED.items() if other != name}
        digests.append(model_digest(write_model(tmp_path / f"r{number}", fewer)))
    digests.append(model_digest(write_model(tmp_path / "added", SIGNED | {"sub/.git/x": b""})))
    assert len(set(digests)) == len(digests)


def test_a_rename_changes_the_manifest_digest(tmp_path: Path) -> None:
    """The root digest is blind to a rename that keeps the order; the manifest digest is not."""
    one = write_model(tmp_path / "one", SIGNED)
    renamed = {("configs.json" if name == "config.json" else name): data for name, data in SIGNED.items()}
    two = write_model(tmp_path / "two", renamed)
    assert model_digest(one) == model_digest(two)
    assert hash_model(one).manifest_digest != hash_model(two).manifest_digest


def test_the_manifest_digest_by_hand(tmp_path: Path) -> None:
    """The names-binding digest is SHA-256 of the RFC 8785 form of the published structure."""
    model = write_model(tmp_path, {"b": b"2", "a": b"1"})
    value = {
        "serialization": {
            "method": "files",
            "hash_type": "sha256",
            "allow_symlinks": False,
            "ignore_paths": [
                "*.sigstore.json",
                ".cache/huggingface",
                ".git",
                ".gitattributes",
                ".github",
                ".gitignore",
                "model.sig",
            ],
        },
        "resources": [
            {"name": name, "algorithm": "sha256", "digest": hashlib.sha256(data).hexdigest()}
            for name, data in (("a", b"1"), ("b", b"2"))
        ],
    }
    # All text is ASCII without numbers, so the standard library's sorted form is the canonical one.
    text = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    assert hash_model(model).manifest_digest == hashlib.sha256(text).hexdigest()


def test_git_files_and_the_signature_are_left_out_at_the_top_only(tmp_path: Path) -> None:
    """The reference's ignored paths change nothing at the top level, and count below it."""
    ignored = {".git/HEAD": b"x", ".github/w/c.yml": b"x", ".gitattributes": b"x", ".gitignore": b"x"}
    plain = model_digest(write_model(tmp_path / "plain", SIGNED))
    assert model_digest(write_model(tmp_path / "ignored", SIGNED | ignored | {"model.sig": b"x"})) == plain
    for number, name in enumerate([*ignored, "model.sig"]):
        assert model_digest(write_model(tmp_path / str(number), SIGNED | {f"sub/{name}": b"x"})) != plain


def test_a_folder_named_like_the_signature_hides_nothing(tmp_path: Path) -> None:
    """Only a file can be the signature; files in a folder `model.sig` are part of the model."""
    plain = model_digest(write_model(tmp_path / "plain", SIGNED))
    assert model_digest(write_model(tmp_path / "hidden", SIGNED | {"model.sig/weights": b"x"})) != plain


def test_empty_folders_and_modes_change_nothing(tmp_path: Path) -> None:
    """What the reference does not cover is not covered here either."""
    plain = model_digest(write_model(tmp_path, SIGNED))
    (tmp_path / "nothing" / "here").mkdir(parents=True)
    (tmp_path / "config.json").chmod(0o700)
    assert model_digest(tmp_path) == plain


@pytest.mark.parametrize("target", ["config.json", "tokenizer", "absent"])
def test_symbolic_links_are_refused(tmp_path: Path, target: str) -> None:
    """A link to a file, to a folder or to nothing is refused by name, with what to do instead."""
    write_model(tmp_path, SIGNED)
    (tmp_path / "sub" / "link").symlink_to(tmp_path / target)
    with pytest.raises(VerificationError, match="sub/link is a symbolic link") as refusal:
        model_digest(tmp_path)
    assert "cp -rL" in refusal.value.hint


def test_a_link_to_the_folder_is_refused(tmp_path: Path) -> None:
    """The model itself may not be a link, as in the reference."""
    write_model(tmp_path / "model", SIGNED)
    (tmp_path / "latest").symlink_to("model")
    with pytest.raises(VerificationError, match="latest is a symbolic link"):
        model_digest(tmp_path / "latest")


def snapshot(root: Path, files: dict[str, bytes]) -> Path:
    """A model as the hub's cache keeps it: links into blobs."""
    folder = root / "models--org--name" / "snapshots" / ("0" * 40)
    for name, content in files.items():
        blob = folder.parents[1] / "blobs" / hashlib.sha256(content).hexdigest()
        write_model(blob.parent, {blob.name: content})
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(os.path.relpath(blob, (folder / name).parent))
    return folder


def test_a_pulled_model_is_the_pushed_one(tmp_path: Path) -> None:
    """In the hub's cache it is links into blobs, in a folder of one's own there are notes beside it: one digest."""
    pushed = hash_model(write_model(tmp_path / "pushed", SIGNED))
    noted = SIGNED | {f".cache/huggingface/download/{name}.metadata": b"etag" for name in SIGNED}
    assert hash_model(write_model(tmp_path / "own", noted)) == pushed
    cached = snapshot(tmp_path, SIGNED | {".gitattributes": b"of the hub"})
    assert hash_model(cached) == pushed
    assert model_digest(cached / "model.safetensors") == model_digest(tmp_path / "pushed" / "model.safetensors")


@pytest.mark.parametrize("target", ["../../outside", "../../blobs/link", "../../blobs/folder", "../../blobs/gone"])
def test_links_of_a_snapshot_lead_to_blobs_alone(tmp_path: Path, target: str) -> None:
    """One that leaves the blobs, or ends in another link, a folder or nothing there, is refused."""
    folder = snapshot(tmp_path, SIGNED)
    blobs = folder.parents[1] / "blobs"
    (folder.parents[1] / "outside").write_bytes(b"another")
    (blobs / "link").symlink_to("../outside")
    (blobs / "folder").mkdir()
    (folder / "added").symlink_to(target)
    with pytest.raises((VerificationError, MissingInputsError), match=r"is a symbolic link|cannot read the model"):
        model_digest(folder)


def test_layouts_with_two_orders_are_refused(tmp_path: Path) -> None:
    """Where specification and reference implementation sort differently, two names are given, no digest."""
    write_model(tmp_path, {"tokenizer.json": b"1", "tokenizer/vocab.json": b"2"})
    with pytest.raises(VerificationError, match=r"'tokenizer\.json' and 'tokenizer/vocab\.json' differently"):
        model_digest(tmp_path)


@pytest.mark.parametrize("files", [{}, {".git/HEAD": b"x", "model.sig": b"x"}])
def test_a_folder_without_model_files_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    """An empty model, or one of which everything is ignored, has no digest."""
    write_model(tmp_path, files)
    (tmp_path / "empty").mkdir()
    with pytest.raises(VerificationError, match="holds no files"):
        model_digest(tmp_path)


def test_pipes_are_refused(tmp_path: Path) -> None:
    """A named pipe is refused at once instead of being waited for."""
    os.mkfifo(write_model(tmp_path, SIGNED) / "pipe")
    with pytest.raises(VerificationError, match="pipe is neither a file nor a folder"):
        model_digest(tmp_path)


def test_names_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    """A name that JSON cannot spell is refused, escaped in the message."""
    (tmp_path / os.fsdecode(b"\xff.bin")).write_bytes(b"")
    with pytest.raises(VerificationError, match=r"'\\udcff\.bin' .* is not UTF-8"):
        model_digest(tmp_path)


def test_a_missing_model_is_reported(tmp_path: Path) -> None:
    """No file and no folder at the path is a missing input, named."""
    with pytest.raises(MissingInputsError, match=r"absent: No such file"):
        model_digest(tmp_path / "absent")
