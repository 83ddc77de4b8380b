"""The digest of a model folder: every file, every byte and every name counts, and nothing that is ambiguous has one."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from refute.errors import VerificationError
from refute.mutant import Rewrite
from refute_contracts.evidence import write
from refute_contracts.refusing import refuses

_NAMES = ("config.json", "model.safetensors", "tokenizer.json", ".hidden", "sub/vocab.json", "sub/.gitignore")
_IGNORED = (".gitattributes", ".git/config", "model.sig")
_SUBJECT = "refute.attest.subject:"
MODELS = st.dictionaries(st.sampled_from(_NAMES), st.binary(max_size=20), min_size=1)


def digests(files: dict[str, bytes]) -> tuple[str, str]:
    """Root and manifest digest of a folder that holds `files`."""
    from refute.attest import hash_model

    with tempfile.TemporaryDirectory() as folder:
        found = hash_model(write(Path(folder), files))
        return found.root_digest, found.manifest_digest


@given(files=MODELS)
def root_digest_is_its_definition(files: dict[str, bytes]) -> None:
    """SHA-256 over the raw digests of all files, in the order of their path components."""
    order = sorted(files, key=lambda name: name.split("/"))
    raw = b"".join(hashlib.sha256(files[name]).digest() for name in order)
    assert digests(files)[0] == hashlib.sha256(raw).hexdigest()


@given(files=MODELS, other=MODELS)
def equal_digests_are_equal_models(files: dict[str, bytes], other: dict[str, bytes]) -> None:
    """The manifest digest is one for one content under one set of names; also after a rename that keeps the order."""
    assert (digests(files)[1] == digests(other)[1]) == (files == other)
    name = sorted(files)[-1]
    renamed = {(f"{name}x" if each == name else each): data for each, data in files.items()}
    assert digests(renamed)[1] != digests(files)[1]


@given(files=MODELS, also=st.dictionaries(st.sampled_from(_IGNORED), st.binary(max_size=5)))
def what_git_and_signatures_add_does_not_count(files: dict[str, bytes], also: dict[str, bytes]) -> None:
    """At the top level only, as in OpenSSF model signing."""
    assert digests(files | also) == digests(files)


@given(files=MODELS, deep=st.booleans())
def links_are_refused(files: dict[str, bytes], deep: bool) -> None:
    """A digest of a link would say nothing about what it points to tomorrow."""
    from refute.attest import hash_model

    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile() as elsewhere:
        root = write(Path(folder), files)
        (root / "more").mkdir()
        (root / ("more/link" if deep else "link")).symlink_to(elsewhere.name)
        assert refuses(VerificationError, lambda: hash_model(root))


@given(ignored=st.sets(st.sampled_from(_IGNORED)))
def an_empty_model_is_refused(ignored: set[str]) -> None:
    """Nothing is not a model, nor is a signature alone."""
    assert refuses(VerificationError, lambda: digests(dict.fromkeys(ignored, b"x")))


order_of_the_disk = Rewrite(
    f"{_SUBJECT}hash_model",
    {
        'key=lambda name: tuple(name.split("/"))': "reverse=True",
        "_check_names(names, root)": "_check_names(sorted(names), root)",
    },
)
hexadecimal_digests_hashed = Rewrite(
    f"{_SUBJECT}ModelManifest.root_digest", {"bytes.fromhex(resource.sha256)": "resource.sha256.encode()"}
)
names_not_bound = Rewrite(f"{_SUBJECT}ModelManifest.as_json", {'"name": resource.name': '"name": ""'})
hidden_files_ignored = Rewrite(f"{_SUBJECT}_is_ignored", {"return name in _GIT_PATHS": "return name.startswith('.')"})
folders_not_entered = Rewrite(f"{_SUBJECT}_file_names", {'folders.append(f"{name}/")': "pass"})
signature_counts = Rewrite(f"{_SUBJECT}_is_ignored", {"or (name == _SIGNATURE and stat.S_ISREG(kind))": ""})
links_followed = Rewrite(
    f"{_SUBJECT}_refuse_special",
    {"if stat.S_ISLNK(kind):": "if False:", "if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):": "if False:"},
)
empty_is_fine = Rewrite(f"{_SUBJECT}_check_names", {"if not names:": "if False:"})
