"""Keys on disk: made once, never overwritten, and not used while others could read them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from refute.attest.signature import ACCEPTED_KEYS, PrivateKey, describe_key, is_accepted, public_pem
from refute.disk import create_file, open_regular, read_regular, writing
from refute.errors import UnreadableInputError, UsageError

DEVELOPMENT_KEY = "development"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PRIVATE_MODE, _PUBLIC_MODE = 0o600, 0o644
_OPEN_TO_OTHERS = 0o077
_OWN_FOLDER = "make room, or name a folder of your own: --directory, or $REFUTE_KEYS"
_MAX_SECRET_BYTES = 64 * 1024
Passphrase = bytes | Callable[[], bytes | None] | None


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Where the two halves of a key lie: `<name>.key` (PKCS #8) and `<name>.pub` (SubjectPublicKeyInfo)."""

    private: Path
    public: Path


def default_key_directory() -> Path:
    """$REFUTE_KEYS, else $XDG_CONFIG_HOME/refute/keys, else ~/.config/refute/keys.

    Raises UsageError where there is no home folder, as for a user id without an entry while HOME is unset.
    """
    own = os.environ.get("REFUTE_KEYS")
    if own:
        return Path(own)
    configuration = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    # The XDG base directory specification says that a relative path is to be ignored.
    try:
        base = configuration if configuration.is_absolute() else Path.home() / ".config"
    except RuntimeError as error:
        raise UsageError(
            f"there is no folder for keys: user {os.getuid()} has no home folder, and HOME is not set",
            hint="set REFUTE_KEYS to a folder for keys, or name the key that signs",
        ) from error
    return base / "refute" / "keys"


def private_keys() -> tuple[Path, ...]:
    """The files of the default folder that nobody but their owner should read, sorted; none without that folder."""
    try:
        folder = default_key_directory()
    except UsageError:
        return ()
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return tuple(path for path in found if path.is_file() and path.suffix != ".pub")


def generate_key(directory: Path, name: str, *, passphrase: bytes | None = None) -> KeyPair:
    """A new Ed25519 key pair `name` in `directory`, its private half encrypted under `passphrase` if given.

    Files appear whole or not at all, with modes 0600 and 0644. Raises UsageError if the name is taken
    (nothing is ever overwritten) or unfit for a file, if the passphrase is empty, or if the folder is none;
    UnwritableError if it cannot be written.
    """
    pair = _pair(directory, name)
    if not _create(pair, passphrase):
        raise UsageError(f"key {name!r} exists already in {directory}", hint="choose another name; keys are kept")
    return pair


def development_key(directory: Path) -> tuple[Path, bool]:
    """The private key file of the key `development`, and whether this call created it.

    Callers that race get one key, and one of them is told that it created it. Raises as `generate_key` does.
    """
    pair = _pair(directory, DEVELOPMENT_KEY)
    if _create(pair, None):
        return pair.private, True
    if not pair.public.exists():
        _publish_public(pair, load_private_key(pair.private))
    return pair.private, False


def require_key_folder(directory: Path) -> None:
    """Raises UsageError where the key `development` is not in `directory`, and could not be made there."""
    if _pair(directory, DEVELOPMENT_KEY).private.exists():
        return
    nearest = next(folder for folder in (directory, *directory.parents) if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"no key can be made in {directory}: {nearest} is no folder to write in", hint=_OWN_FOLDER)


def load_private_key(path: Path, passphrase: Passphrase = None) -> PrivateKey:
    """The private key in the PEM file `path`. A function as `passphrase` is called only if the key is encrypted.

    Raises UnreadableInputError if it cannot be read; UsageError if group or others may read it, if the
    passphrase is wrong, missing or superfluous, if it is no private key, or one of a kind that cannot sign
    here.
    """
    return _decode_private_key(read_secret(path, "private key", hint="refute keygen makes one"), path, passphrase)


def read_secret(path: Path, what: str, *, hint: str = "") -> bytes:
    """The bytes of a file that only its owner may read, at most 64 KiB.

    Raises UnreadableInputError, with `hint`, if it cannot be read; UsageError if group or others may read it, or if it
    is a public key.
    """
    try:
        with open_regular(path) as handle:
            mode = os.fstat(handle.fileno()).st_mode
            data = handle.read(_MAX_SECRET_BYTES)
    except OSError as error:
        raise UnreadableInputError(f"cannot read the {what} {path}: {error.strerror}", hint=hint) from error
    if data.startswith(b"-----BEGIN PUBLIC KEY-----"):
        raise UsageError(f"{path} is a public key, and not the {what}", hint="give the .key file that was made with it")
    if mode & _OPEN_TO_OTHERS:
        raise UsageError(
            f"the {what} {path} has mode {mode & 0o777:04o}: others on this machine may use it",
            hint=f"chmod 600 {path}",
        )
    return data


def _decode_private_key(pem: bytes, path: Path, given: Passphrase) -> PrivateKey:
    encrypted = b"ENCRYPTED" in pem
    passphrase = (given() if encrypted else None) if callable(given) else given
    if encrypted and not passphrase:
        raise UsageError(
            f"the private key {path} is encrypted, and no passphrase was given",
            hint="set REFUTE_KEY_PASSPHRASE, or, where the command takes them, use --passphrase-file or a terminal",
        )
    if passphrase is not None and not encrypted:
        raise UsageError(f"a passphrase was given, but {path} is not an encrypted private key")
    try:
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        cause = "the passphrase does not open" if encrypted else "no PEM private key in"
        raise UsageError(f"{cause} {path}: {error}") from error
    if not is_accepted(key):
        raise UsageError(f"{path} holds a key that cannot sign here ({describe_key(key)}); expected {ACCEPTED_KEYS}")
    return key


def _pair(directory: Path, name: str) -> KeyPair:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a key: expected letters, digits, '.', '_' and '-', at most 64")
    return KeyPair(directory / f"{name}.key", directory / f"{name}.pub")


def _create(pair: KeyPair, passphrase: bytes | None) -> bool:
    """Make the pair unless its private half exists; return whether it was made."""
    # The private half appears first, so a public half alone is a stranger. Asked in this order, a racing
    # creator cannot be mistaken for one.
    if pair.public.exists() and not pair.private.exists():
        raise UsageError(f"{pair.public} exists without its private half", hint="move it away or choose a name")
    _make_folder(pair.private.parent)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, _encryption(passphrase))
    if not _publish(pair.private, pem, _PRIVATE_MODE):
        return False
    _publish_public(pair, key)
    return True


def _publish_public(pair: KeyPair, key: PrivateKey) -> None:
    pem = public_pem(key)
    if not _publish(pair.public, pem, _PUBLIC_MODE) and _read_public(pair.public) != pem:
        raise UsageError(f"{pair.public} is not the public half of {pair.private}")


def _read_public(path: Path) -> bytes:
    """What lies there; nothing where that is no file."""
    try:
        return read_regular(path)
    except OSError:
        return b""


def _encryption(passphrase: bytes | None) -> KeySerializationEncryption:
    if passphrase is None:
        return NoEncryption()
    if not passphrase:
        raise UsageError("the passphrase is empty", hint="leave it out to store the key unencrypted")
    return BestAvailableEncryption(passphrase)


def _publish(path: Path, data: bytes, mode: int) -> bool:
    """Put a complete file at `path` unless something is there; return whether it was put."""
    with writing(path, hint=_OWN_FOLDER):
        return create_file(path, data, mode)


def _make_folder(folder: Path) -> None:
    with writing(folder, hint=_OWN_FOLDER):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
