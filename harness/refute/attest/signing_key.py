"""The key that the caller of a command signs with: a PEM file, encrypted or not, or a URI of an HSM or cloud KMS."""

from __future__ import annotations

from pathlib import Path

from refute.attest import PrivateKey, key_id, load_private_key
from refute.attest.kms import is_key_uri, remote_key
from refute.attest.passphrase import ask_passphrase, given_passphrase
from refute.disk import read_regular
from refute.errors import UnreadableInputError, UsageError, VerificationError


def open_signing_key(key: str, public_key: Path | None, passphrase_file: Path | None) -> PrivateKey:
    """The private key that `key` names. A URI also needs its public half, in the PEM file `public_key`.

    A passphrase comes from `passphrase_file`, else from $REFUTE_KEY_PASSPHRASE, else from the person at the terminal;
    nobody is asked for one that is not needed. Raises UnreadableInputError, MissingDependencyError or UsageError.
    """
    if is_key_uri(key):
        if public_key is None:
            raise UsageError(f"the key {key} needs its public half too", hint="give it with --public-key PUB")
        return remote_key(
            key,
            read_public_key(public_key),
            lambda name: given_passphrase(passphrase_file) or ask_passphrase(f"{name}: "),
        )
    if public_key is not None:
        raise UsageError("--public-key goes with a key that is named by a URI; a key file has its own public half")
    path = Path(key)
    if passphrase_file is not None:
        return load_private_key(path, given_passphrase(passphrase_file))
    return load_private_key(path, lambda: given_passphrase(None) or ask_passphrase(f"Passphrase for {path}: "))


def load_unattended_key(path: Path) -> PrivateKey:
    """The private key in the PEM file `path` where nobody can be asked: only $REFUTE_KEY_PASSPHRASE may open it.

    Raises UnreadableInputError or UsageError, as `load_private_key` does.
    """
    return load_private_key(path, lambda: given_passphrase(None))


def read_public_key(path: Path) -> bytes:
    """The bytes of a public key file. Raises UnreadableInputError if it cannot be read, or is none."""
    try:
        pem = read_regular(path)
        key_id(pem)
    except OSError as error:
        raise UnreadableInputError(
            f"cannot read the public key {path}: {error.strerror}", hint="name the .pub file"
        ) from error
    except VerificationError as error:
        raise UnreadableInputError(f"{path}: {error}", hint=error.hint or "name the .pub file") from error
    return pem
