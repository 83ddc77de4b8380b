"""Keys on disk: modes, passphrases, and files that are never overwritten."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from refute.attest.dsse import verify_envelope
from refute.attest.keys import (
    default_key_directory,
    development_key,
    generate_key,
    load_private_key,
    require_key_folder,
)
from refute.attest.signature import key_id, load_public_key, public_pem
from refute.errors import MissingInputsError, UnwritableError, UsageError, VerificationError


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def store(path: Path, key: PrivateKeyTypes) -> Path:
    """Write a private key of any kind as its owner would."""
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return path


def test_a_new_key_is_private_and_loads(tmp_path: Path) -> None:
    """Modes are 0600 and 0644 in a folder of mode 0700 whatever the umask, and the halves belong together."""
    previous = os.umask(0)
    try:
        pair = generate_key(tmp_path / "keys", "ci.signer-1")
    finally:
        os.umask(previous)
    assert (mode(pair.private.parent), mode(pair.private), mode(pair.public)) == (0o700, 0o600, 0o644)
    assert public_pem(load_private_key(pair.private)) == pair.public.read_bytes()
    assert sorted(path.name for path in pair.private.parent.iterdir()) == [
        "ci.signer-1.key",
        "ci.signer-1.pub",
    ]


def test_an_existing_key_is_never_overwritten(tmp_path: Path) -> None:
    """A taken name is an error and both files keep their bytes."""
    pair = generate_key(tmp_path, "mine")
    before = pair.private.read_bytes(), pair.public.read_bytes()
    with pytest.raises(UsageError, match="'mine' exists already"):
        generate_key(tmp_path, "mine", passphrase=b"other")
    assert (pair.private.read_bytes(), pair.public.read_bytes()) == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_public_half_alone_is_not_adopted(tmp_path: Path) -> None:
    """A stray public file is neither overwritten nor given a private half that does not fit it."""
    stray = tmp_path / "mine.pub"
    stray.write_bytes(b"someone else's")
    with pytest.raises(UsageError, match="without its private half"):
        generate_key(tmp_path, "mine")
    assert stray.read_bytes() == b"someone else's"
    assert not (tmp_path / "mine.key").exists()


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "-rf", "x" * 65, "a\n"])
def test_names_stay_inside_the_folder(tmp_path: Path, name: str) -> None:
    """A key name cannot leave the folder, hide, or look like an option."""
    with pytest.raises(UsageError, match="cannot name a key"):
        generate_key(tmp_path / "keys", name)
    assert list(tmp_path.iterdir()) == []


def test_a_passphrase_is_needed_once_set(tmp_path: Path) -> None:
    """An encrypted key opens with its passphrase only; each other way has a message of its own."""
    path = generate_key(tmp_path, "mine", passphrase=b"correct").private
    assert public_pem(load_private_key(path, b"correct")) == path.with_suffix(".pub").read_bytes()
    with pytest.raises(UsageError, match="the passphrase does not open"):
        load_private_key(path, b"wrong")
    for none in (None, b""):
        with pytest.raises(UsageError, match="no passphrase was given"):
            load_private_key(path, none)
    with pytest.raises(UsageError, match="not an encrypted private key"):
        load_private_key(generate_key(tmp_path, "plain").private, b"correct")
    with pytest.raises(UsageError, match="the passphrase is empty"):
        generate_key(tmp_path, "empty", passphrase=b"")
    assert not (tmp_path / "empty.key").exists()


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o610, 0o644, 0o666])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, bits: int) -> None:
    """Any permission for group or others is refused with the command that mends it."""
    path = generate_key(tmp_path, "mine").private
    path.chmod(bits)
    with pytest.raises(UsageError, match=f"has mode {bits:04o}") as refusal:
        load_private_key(path)
    assert refusal.value.hint == f"chmod 600 {path}"


def test_a_read_only_key_is_accepted(tmp_path: Path) -> None:
    """Mode 0400 is stricter than needed and fine."""
    path = generate_key(tmp_path, "mine").private
    path.chmod(0o400)
    assert public_pem(load_private_key(path)) == path.with_suffix(".pub").read_bytes()


CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_ecdsa_keys_load(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    """A key that also signs `model.sig` can sign verdicts."""
    key = ec.generate_private_key(curve)
    assert public_pem(load_private_key(store(tmp_path / "ec.key", key))) == public_pem(key)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "RSA"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "ECDSA over secp256k1"),
    ],
    ids=["rsa", "secp256k1"],
)
def test_other_kinds_are_refused(tmp_path: Path, make: Callable[[], PrivateKeyTypes], kind: str) -> None:
    """A key that the verifier would refuse is not used to sign either."""
    with pytest.raises(UsageError, match=f"cannot sign here \\({kind}"):
        load_private_key(store(tmp_path / "other.key", make()))


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder, a public key and rubbish are told apart from a key."""
    with pytest.raises(MissingInputsError, match="No such file"):
        load_private_key(tmp_path / "absent.key")
    with pytest.raises(MissingInputsError, match="Is a directory"):
        load_private_key(tmp_path)
    public = generate_key(tmp_path, "mine").public
    with pytest.raises(UsageError, match=r"mine\.pub is a public key, and not the private key"):
        load_private_key(public)
    for content in (b"", b"rubbish"):
        path = tmp_path / "rubbish.key"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(UsageError, match="no PEM private key in"):
            load_private_key(path)


def test_the_key_id_is_the_digest_of_the_der(tmp_path: Path) -> None:
    """The id is SHA-256 of the SubjectPublicKeyInfo, whatever the line ends of the PEM."""
    pair = generate_key(tmp_path, "mine")
    der = load_private_key(pair.private).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = pair.public.read_bytes()
    assert key_id(pem) == key_id(pem.replace(b"\n", b"\r\n")) == hashlib.sha256(der).hexdigest()


def test_the_development_key_is_created_once(tmp_path: Path) -> None:
    """The first call creates the key and says so; later calls return it and say that they did not."""
    path, created = development_key(tmp_path / "keys")
    before = path.read_bytes()
    assert (path, created) == (tmp_path / "keys" / "development.key", True)
    assert development_key(tmp_path / "keys") == (path, False)
    assert path.read_bytes() == before


def test_racing_callers_share_one_development_key(tmp_path: Path) -> None:
    """Of many callers at once exactly one creates the key, and all find both halves of the same one."""
    for attempt in range(5):
        barrier = Barrier(8)
        folder = tmp_path / str(attempt)

        def call(barrier: Barrier = barrier, folder: Path = folder) -> tuple[bool, bytes, bytes]:
            barrier.wait()
            path, created = development_key(folder)
            return created, path.read_bytes(), path.with_suffix(".pub").read_bytes()

        with ThreadPoolExecutor(8) as pool:
            results = [future.result() for future in [pool.submit(call) for _ in range(8)]]
        assert sum(created for created, _, _ in results) == 1
        assert len({(private, public) for _, private, public in results}) == 1


def test_an_interrupted_creation_is_completed(tmp_path: Path) -> None:
    """A development key whose public half was never written gets it, from the private half."""
    path, _ = development_key(tmp_path)
    public = path.with_suffix(".pub")
    expected = public.read_bytes()
    public.unlink()
    assert development_key(tmp_path) == (path, False)
    assert public.read_bytes() == expected


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves no half-written key behind and is reported with the path."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnwritableError, match=r"cannot write .*mine\.key: No space left"):
        generate_key(tmp_path, "mine")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_reported(tmp_path: Path) -> None:
    """A key folder that cannot be made is an error, not a key that exists already."""
    (tmp_path / "keys").write_bytes(b"")
    with pytest.raises(UsageError, match=r"cannot write .*keys: "):
        development_key(tmp_path / "keys")


def test_the_default_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """REFUTE_KEYS wins, then XDG_CONFIG_HOME if absolute, then ~/.config; empty counts as unset."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("REFUTE_KEYS", str(tmp_path / "own"))
    assert default_key_directory() == tmp_path / "own"
    monkeypatch.setenv("REFUTE_KEYS", "")
    assert default_key_directory() == tmp_path / "xdg" / "refute" / "keys"
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", unset)
        assert default_key_directory() == tmp_path / "home" / ".config" / "refute" / "keys"


# ------------------------------------------------------------------------------------------------ keys of nobody

FIELD = 2**255 - 19
FORGED = Path(__file__).parents[1] / "assets/attest/forged-sign-off-for-small-order-key.json"


def ed25519_pem(encoded: int) -> bytes:
    """A PEM around any 32 bytes, little-endian."""
    key = Ed25519PublicKey.from_public_bytes(encoded.to_bytes(32, "little"))
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def ys_of_small_order() -> set[int]:
    """Worked out from the curve -x^2 + y^2 = 1 + d x^2 y^2: y = 1 (order 1), -1 (2), 0 (4); of order 8 those whose
    double has y = 0, which is x^2 = -y^2, so d y^4 + 2 y^2 - 1 = 0."""
    d = -121665 * pow(121666, -1, FIELD) % FIELD
    root = square_root((1 + d) % FIELD)
    halves = [(-1 + sign * root) * pow(d, -1, FIELD) % FIELD for sign in (1, -1)]
    squares = [half for half in halves if pow(half, (FIELD - 1) // 2, FIELD) == 1]
    return {0, 1, FIELD - 1, *(sign * square_root(square) % FIELD for square in squares for sign in (1, -1))}


def square_root(square: int) -> int:
    """Of a square modulo 2^255 - 19, which is 5 modulo 8."""
    root = pow(square, (FIELD + 3) // 8, FIELD)
    root = root if root * root % FIELD == square else root * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
    assert root * root % FIELD == square
    return root


def test_an_ed25519_key_of_small_order_is_refused() -> None:
    """All of them, with either sign of x; and every spelling of y that is not the smallest."""
    found = ys_of_small_order()
    assert len(found) == 5
    for y in found:
        for encoded in (y, y + 2**255):
            with pytest.raises(VerificationError, match="of small order: anybody could sign for it"):
                load_public_key(ed25519_pem(encoded))
    for y in range(FIELD, 2**255):
        for encoded in (y, y + 2**255):
            with pytest.raises(VerificationError, match="not spelt in its one way"):
                load_public_key(ed25519_pem(encoded))


def test_a_signature_that_fits_such_a_key_is_worth_nothing() -> None:
    """The forgery that OpenSSL accepts: the neutral element and a zero sign any message."""
    with pytest.raises(VerificationError, match="trusted key 1: the Ed25519 public key is of small order"):
        verify_envelope(FORGED.read_bytes(), [ed25519_pem(1)])


def test_a_folder_in_which_no_key_can_be_made_is_told_before_it_is_needed(tmp_path: Path) -> None:
    """A file in its place, or above it; one that is not there yet will do, and a key that is there needs no room."""
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "keys"):
        with pytest.raises(UsageError, match="no key can be made in"):
            require_key_folder(folder)
    require_key_folder(tmp_path / "new" / "keys")
    assert not (tmp_path / "new").exists()
