"""Keys that are named by a URI: signed by the library's signer, verified by ours; whatever else happens is legible."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from securesystemslib.signer._signature import Signature
from securesystemslib.signer._signer import SIGNER_FOR_URI_SCHEME

from refute.attest import generate_key, key_id, load_private_key, public_pem, sign_envelope, verify_envelope
from refute.attest.kms import is_key_uri, remote_key
from refute.attest.signature import RemoteKey
from refute.errors import MissingInputsError, UsageError, VerificationError

TYPE, PAYLOAD = "application/vnd.in-toto+json", b'{"a":1}'
CURVES = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}


def nobody(name: str) -> bytes | None:
    """Has no secret."""
    return None


def make(folder: Path, kind: str) -> tuple[str, bytes]:
    """A key file's URI and its public half."""
    key = Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(CURVES[kind])
    path = folder / f"{kind}.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return f"file2:{path}", public_pem(key)


@pytest.mark.parametrize("kind", ["ed25519", *CURVES])
def test_a_remote_signature_verifies_here(tmp_path: Path, kind: str) -> None:
    """Of every kind of key that we accept: the envelope is one like any other, with the same key id."""
    uri, public = make(tmp_path, kind)
    key = remote_key(uri, public, nobody)
    envelope = sign_envelope(PAYLOAD, TYPE, [key])
    assert verify_envelope(envelope, [public]) == (TYPE, PAYLOAD)
    assert key_id(public_pem(key)) == key_id(public)


def test_the_key_file_of_a_uri_is_held_to_the_same_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library does not look; a prefix of its own environment variable is no way around."""
    uri, public = make(tmp_path, "p256")
    (tmp_path / "p256.pem").chmod(0o644)
    with pytest.raises(UsageError, match="has mode 0644"):
        remote_key(uri, public, nobody)
    monkeypatch.setenv("CRYPTO_SIGNER_PATH_PREFIX", str(tmp_path))
    with pytest.raises(UsageError, match="has mode 0644"):
        remote_key("file2:p256.pem", public, nobody)
    (tmp_path / "p256.pem").chmod(0o600)
    sign_envelope(PAYLOAD, TYPE, [remote_key("file2:p256.pem", public, nobody)])


def test_the_halves_must_belong_together(tmp_path: Path) -> None:
    """Another public half is refused by the signer, a file that is not there by us."""
    uri, _ = make(tmp_path, "p256")
    other = public_pem(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(UsageError, match="cannot sign: KeyMismatchError"):
        remote_key(uri, other, nobody)
    with pytest.raises(MissingInputsError, match="cannot read the private key"):
        remote_key(f"file2:{tmp_path}/lost.pem", other, nobody)
    with pytest.raises(VerificationError, match="private key was given where a public"):
        remote_key(uri, (tmp_path / "p256.pem").read_bytes(), nobody)


class Careless:
    """A signer that asks for a PIN, and signs with another key than it says."""

    def __init__(self, pin: str) -> None:
        self.pin = pin

    @classmethod
    def from_priv_key_uri(cls, uri: str, public_key: object, secrets_handler: Callable[[str], str]) -> Careless:
        """As the library asks every signer for it."""
        return cls(secrets_handler("pin"))

    def sign(self, payload: bytes) -> Signature:
        """A signature of a key that nobody knows."""
        if self.pin == "wrong":
            raise ConnectionError("the token is locked")
        return Signature("", ec.generate_private_key(ec.SECP256R1()).sign(payload, ec.ECDSA(SHA256())).hex())


def test_what_a_signer_returns_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature that does not fit the public key never leaves; neither does a client's own error unexplained."""
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "careless", Careless)
    public = public_pem(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(UsageError, match="no signature by the public key"):
        sign_envelope(PAYLOAD, TYPE, [remote_key("careless:1", public, lambda name: b"1234")])
    with pytest.raises(UsageError, match="careless:1 cannot sign: ConnectionError: the token is locked"):
        sign_envelope(PAYLOAD, TYPE, [remote_key("careless:1", public, lambda name: b"wrong")])
    with pytest.raises(UsageError, match="the signer of careless: wants a pin, and none was given"):
        remote_key("careless:1", public, nobody)


@pytest.mark.parametrize("uri", ["azurekms://vault/key", "hsm:2", "gcpkms:projects/p", "hv:key/1"])
def test_a_service_without_its_client_says_so(uri: str) -> None:
    """None of their clients is installed where this is tested; Amazon's is, for the store."""
    public = public_pem(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(UsageError, match=f"the key {uri} cannot sign: UnsupportedLibraryError"):
        remote_key(uri, public, lambda name: b"1234")


def test_an_unknown_scheme_lists_the_known_ones() -> None:
    """And says how a file of such a name is given."""
    with pytest.raises(UsageError, match=r"no signer for file: keys; there are awskms:, .*hsm:") as caught:
        remote_key("file:/k.pem", b"", nobody)
    assert "./NAME" in caught.value.hint


def test_without_the_library_the_extra_is_named() -> None:
    """In a process that cannot import it."""
    program = (
        "import sys; sys.modules['securesystemslib'] = None\n"
        "from refute.attest.kms import remote_key\n"
        "from refute.errors import MissingDependencyError\n"
        "try:\n    remote_key('awskms:x', b'', lambda name: None)\n"
        "except MissingDependencyError as error:\n    print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "pip install 'refute[kms]'\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("awskms:alias/x", True),
        ("hsm:", True),
        ("file2:/k.pem", True),
        ("./hsm:x", False),
        ("/keys/a:b.key", False),
        ("mine.key", False),
        ("C:/keys/mine.key", False),
        ("", False),
    ],
)
def test_a_uri_is_told_from_a_path(text: str, expected: bool) -> None:
    """By its scheme, at the very start."""
    assert is_key_uri(text) is expected


def test_a_key_on_disk_still_signs(tmp_path: Path) -> None:
    """Beside a remote one, in the same envelope."""
    local = load_private_key(generate_key(tmp_path, "mine").private)
    uri, public = make(tmp_path, "p384")
    remote = remote_key(uri, public, nobody)
    assert isinstance(remote, RemoteKey)
    both = sign_envelope(PAYLOAD, TYPE, [local, remote])
    assert verify_envelope(both, [public, public_pem(local)], threshold=2) == (TYPE, PAYLOAD)
