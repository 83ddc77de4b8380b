"""The digest of a model folder: every file, every byte and every name counts, and nothing that is ambiguous has one."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from refute.check.contracts.rewrite import Rewrite
from refute.errors import VerificationError
from refute_contracts.evidence import write
from refute_contracts.refusing import refuses
from refute_contracts.scratch import scratch

_NAMES = ("config.json", "model.safetensors", "tokenizer.json", ".hidden", "sub/vocab.json", "sub/.gitignore")
_IGNORED = (".gitattributes", ".git/config", "model.sig")
_SUBJECT = "refute.attest.model_manifest:"
MODELS = st.dictionaries(st.sampled_from(_NAMES), st.binary(max_size=20), min_size=1)
# A folder named like the signature is not one. One file is always there, so that leaving out another shows.
ODD_MODELS = st.dictionaries(st.sampled_from([*_NAMES, "model.sig/more"]), st.binary(max_size=20)).map(
    lambda files: {"config.json": b"{}"} | files
)


def digests(files: dict[str, bytes]) -> tuple[str, str]:
    """Root and manifest digest of a folder that holds `files`."""
    from refute.attest import hash_model

    with scratch() as folder:
        found = hash_model(write(Path(folder), files))
        return found.root_digest, found.manifest_digest


@given(files=ODD_MODELS)
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


@given(files=MODELS, name=st.sampled_from(["link", "more/link", ".git", "model.sig"]))
def links_are_refused(files: dict[str, bytes], name: str) -> None:
    """A digest of a link would say nothing about what it points to tomorrow, also under a name that is left out."""
    from refute.attest import hash_model

    with scratch() as folder, tempfile.NamedTemporaryFile() as elsewhere:
        root = write(Path(folder), files)
        (root / "more").mkdir()
        (root / name).symlink_to(elsewhere.name)
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
_LEFT_OUT = f"{_SUBJECT}is_left_out"
hidden_files_ignored = Rewrite(_LEFT_OUT, {'name.partition("/")[0] in _GIT_PATHS': "name.startswith('.')"})
signature_counts = Rewrite(_LEFT_OUT, {" or name == SIGNATURE_FILE": ""})
signature_hides_a_folder = Rewrite(_LEFT_OUT, {"name == SIGNATURE_FILE": 'name.partition("/")[0] == SIGNATURE_FILE'})
folders_not_entered = Rewrite(f"{_SUBJECT}_file_names", {'folders.append(f"{name}/")': "pass"})
links_left_out = Rewrite(f"{_SUBJECT}_file_names", {"if not stat.S_ISLNK(kind) and is_left_out(": "if is_left_out("})
links_followed = Rewrite(
    f"{_SUBJECT}_refuse_special",
    {"if stat.S_ISLNK(kind):": "if False:", "if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):": "if False:"},
)
empty_is_fine = Rewrite(f"{_SUBJECT}_check_names", {"if not names:": "if False:"})
