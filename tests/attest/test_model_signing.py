"""Held against OpenSSF's reference implementation: digests of every kind of layout, and the `model.sig` it writes.

The golden digests are the subjects that model_signing 1.1.1 (with pyOpenSSL beside it) gave the same files:
`Payload(hashing.Config().set_ignored_paths(paths=[…/model.sig], ignore_git_paths=True).hash(folder))`. Its code and
this one also agreed on 392 of 400 + 23 generated layouts; the other 31 are refused here: two orders, links, no files.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from model_folder import SIGNATURE, SIGNED, write_model
from model_signing import verifying
from refute.attest import (
    hash_model,
    is_left_out,
    manifest_of_digests,
    public_pem,
    read_model_signature,
    write_model_signature,
)
from refute.errors import VerificationError

Files = dict[str, bytes]
GOLDEN: dict[str, tuple[Files, str]] = {
    "flat": (
        {"config.json": b"{}", "model.safetensors": b"\0\1"},
        "aaf891731a1b91a8636463a549fbc10815d1cd3697f1ce65126108578e984809",
    ),
    "nested": (
        {"a/b/c/d.bin": b"1", "a/b/e": b"2", "z": b"3", "a0": b"4"},
        "a8f7ebff3c0594e77decb5f5464a87369af5705eba1a2849787d9aa44992018f",
    ),
    "ignored at the top, kept below": (
        {".git/HEAD": b"x", ".gitattributes": b"x", ".github/a/b": b"x", ".gitignore": b"x"}
        | {"sub/.gitignore": b"kept", "sub/.git/x": b"kept", "w": b"1"},
        "6a1584492dd1ab2769c321f6500e695c2fca7e0ba7753308cf8fadac9fb31afe",
    ),
    ".git as a file": (
        {".git": b"gitdir: ../x", "w": b"1"},
        "9c2e4d8fe97d881430de4e754b4205b9c27ce96715231cffc4337340cb110280",
    ),
    ".gitattributes as a folder": (
        {".gitattributes/x": b"y", "w": b"1"},
        "9c2e4d8fe97d881430de4e754b4205b9c27ce96715231cffc4337340cb110280",
    ),
    "empty files": (
        {"a": b"", "b": b"", "c/d": b""},
        "1a03c02fb531d7e1ce353b2f20711c79af2b66730d6de865fb130734973ccd2c",
    ),
    "names beyond ASCII": (
        {"\u00e9.txt": b"1", "e\u0301.txt": b"2", "\u6a21\u578b/\u6743\u91cd.bin": b"3"}
        | {"\U0001d4b3": b"4", "\uff5e": b"5", "\ufb00": b"6", "ff": b"7"},
        "b6de468ff3377af9404afd0eef7b26b7d8889ad37639f77290fdd52d5956bb5f",
    ),
    "awkward names": (
        {"a b": b"1", "quote'\"": b"2", "new\nline": b"3", "-dash": b"4"}
        | {"back\\slash": b"5", "tab\t": b"6", "#": b"7", "%41": b"8"},
        "84cf1d63d2a5f0a25d0520b53771c1afa67286e7c1eff40fa33559d2efb3e359",
    ),
    "names that differ in case": (
        {"A": b"1", "a": b"2", "B/x": b"3", "b/x": b"4", "Model.Sig": b"5"},
        "fad29b3994d4b5d136946ccbda0abd8f61038eb5b46989359ad03e9bc142f7eb",
    ),
    "dots first": (
        {"..a": b"1", "...": b"2", ".hidden/x": b"3"},
        "afd6ef93a654a25be00a897ca8fcdb3d74c49460e27086262040a6dbd887cac0",
    ),
    "a folder named like the signature": (
        {"model.sig/w": b"1", "v": b"2"},
        "4295f72eeb1e3507b8461e240e3b8d18c1e7bd2f1122b11fc9ec40a65894031a",
    ),
    "a signature further down": (
        {"sub/model.sig": b"1", "v": b"2"},
        "4295f72eeb1e3507b8461e240e3b8d18c1e7bd2f1122b11fc9ec40a65894031a",
    ),
    "many": (
        {f"layer{layer}/w{part}.bin": bytes([layer, part]) for layer in range(12) for part in range(3)},
        "32a081da21595ce1658efb220b4fef6b34001527e16e1e225b3d462898dd78cc",
    ),
    "orders agree beyond the slash": (
        {"a_b": b"1", "a/b": b"2"},
        "940ed9abddfb5ef28004408546bc5043cda391232b6afe07267f9f8ed2b500c9",
    ),
}


@pytest.mark.parametrize("layout", GOLDEN)
def test_root_digests_are_the_reference_implementations(tmp_path: Path, layout: str) -> None:
    """Every layout that has one digest has the digest of the reference implementation."""
    files, digest = GOLDEN[layout]
    assert hash_model(write_model(tmp_path / "m", files)).root_digest == digest


def test_a_lone_file_has_the_reference_implementations_digest(tmp_path: Path) -> None:
    """A model that is one file is hashed as a list of one."""
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    digest = "2cd284fd3cddaf8cdb01c9b4aecca5e90fb65fb742b531868491b1fc99a5d387"
    assert hash_model(tmp_path / "m.gguf").root_digest == digest


@pytest.mark.parametrize("name", ["a-b", "a b", "a.json", "a!"])
@pytest.mark.parametrize("prefix", ["", "x/"])
def test_names_that_sort_around_the_slash_are_refused(tmp_path: Path, name: str, prefix: str) -> None:
    """The reference implementation sorts by path component, its specification by code point: there is no one digest."""
    folder = write_model(tmp_path / "m", {f"{prefix}{name}": b"1", f"{prefix}a/b": b"2"})
    with pytest.raises(VerificationError, match="two root digests") as refusal:
        hash_model(folder)
    assert "rename" in refusal.value.hint


@pytest.mark.parametrize("name", [".git", "model.sig", ".gitignore"])
def test_links_under_ignored_names_are_refused(tmp_path: Path, name: str) -> None:
    """As by the reference implementation: an ignored name is no place to hide a link."""
    folder = write_model(tmp_path / "m", SIGNED)
    (folder / name).symlink_to("config.json")
    with pytest.raises(VerificationError, match="is a symbolic link"):
        hash_model(folder)


def test_what_is_left_out_is_told_by_name() -> None:
    """Git's files at the top, whatever lies in them, and the signature; nothing further down."""
    left_out = [
        ".cache/huggingface/download/w.lock",
        ".git",
        ".git/HEAD",
        ".github/x/y",
        ".gitattributes",
        ".gitignore",
        "model.sig",
    ]
    kept = [
        "sub/.cache/huggingface/x",
        ".cache/x",
        ".cache/huggingface",
        "sub/.git/x",
        "sub/model.sig",
        "model.sig/x",
        ".gitmodules",
        "model.sig.bak",
        "git",
    ]
    assert [is_left_out(name) for name in left_out + kept] == [True] * len(left_out) + [False] * len(kept)


def test_a_model_sig_says_what_was_hashed(tmp_path: Path) -> None:
    """Root digest and files in the signature of the reference implementation are those found here, in that order."""
    manifest = hash_model(write_model(tmp_path / "m", SIGNED | {"model.sig": SIGNATURE}))
    root, signed = read_model_signature(SIGNATURE)
    assert (root, signed) == (manifest.root_digest, manifest)


def ec_key() -> ec.EllipticCurvePrivateKey:
    """On P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def verify_as_others_do(folder: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """OpenSSF's own reader, told nothing but the key."""
    (folder.parent / "key.pub").write_bytes(public_pem(key))
    reader = verifying.Config().use_elliptic_key_verifier(public_key=folder.parent / "key.pub")
    reader.verify(folder, folder / "model.sig")


def test_the_reference_implementation_reads_what_is_signed_here(tmp_path: Path) -> None:
    """Beside a verdict and what a download leaves, of which it counts neither; what was changed or added it does."""
    folder, key = write_model(tmp_path / "m", SIGNED), ec_key()
    beside = {"verdict.sigstore.json": b"{}", ".cache/huggingface/download/x.metadata": b"x", ".gitattributes": b"x"}
    signature = write_model_signature(hash_model(folder), "m", ["verdict.sigstore.json"], key)
    write_model(folder, beside | {"model.sig": signature})
    verify_as_others_do(folder, key)
    assert read_model_signature(signature) == (hash_model(folder).root_digest, hash_model(folder))
    with pytest.raises(ValueError, match="signature"):
        verify_as_others_do(folder, ec_key())
    for path, content, fault in (("verdict.json", b"{}", "Extra files"), ("config.json", b"[]", "Hash mismatch")):
        before = (folder / path).read_bytes() if (folder / path).exists() else None
        (folder / path).write_bytes(content)
        with pytest.raises(ValueError, match=fault):
            verify_as_others_do(folder, key)
        (folder / path).unlink()
        if before is not None:
            (folder / path).write_bytes(before)


def test_digests_that_are_known_make_the_same_manifest(tmp_path: Path) -> None:
    """Without what is no part of a model, and in the order of its readers; two orders are refused."""
    folder = write_model(tmp_path / "m", SIGNED)
    digests = {each.name: each.sha256 for each in reversed(hash_model(folder).resources)}
    assert manifest_of_digests({**digests, "model.sig": "0" * 64}, folder) == hash_model(folder)
    with pytest.raises(VerificationError, match="two root digests"):
        manifest_of_digests({"a-b": "0" * 64, "a/b": "0" * 64}, folder)


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The signature file with its statement changed."""
    bundle = json.loads(SIGNATURE)
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    change(statement)
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps(bundle).encode()


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "dsseEnvelope is not a JSON object"),
        (b'{"dsseEnvelope": {}}', "not base64"),
        ('{"dsseEnvelope": {"payload": "é"}}'.encode(), "not base64"),
        (changed(lambda statement: statement.update(predicateType="x")), "predicateType"),
        (changed(lambda statement: statement.update(subject=[])), "exactly one subject"),
        (changed(lambda statement: statement["subject"][0].pop("digest")), "digest of its subject"),
        (changed(lambda statement: statement["predicate"].pop("resources")), "no list of resources"),
        (
            changed(lambda statement: statement["predicate"]["resources"][0].update(algorithm="blake3")),
            "by its SHA-256",
        ),
        (changed(lambda statement: statement["predicate"]["resources"][0].pop("name")), "by its SHA-256"),
    ],
)
def test_another_model_sig_is_refused_by_cause(data: bytes, cause: str) -> None:
    """What is no bundle of whole files by SHA-256 is a VerificationError that says what is missing."""
    with pytest.raises(VerificationError, match=cause):
        read_model_signature(data)
