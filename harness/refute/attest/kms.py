"""Private keys that are named by a URI: in an HSM or a cloud KMS, reached through securesystemslib.

The library signs our own pre-authentication encoding and nothing else of it is used; every signature that it returns
is checked with our verifier before it leaves this process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from refute.attest.keys import read_secret
from refute.attest.signature import RemoteKey, load_public_key
from refute.errors import MissingDependencyError, RefuteError, UsageError

_Result = TypeVar("_Result")

# RFC 3986, section 3.1, but of two characters at least and in lower case: no path of a drive or a folder.
_URI = re.compile(r"[a-z][a-z0-9+.-]+:")


def is_key_uri(text: str) -> bool:
    """Whether `text` names a key by URI, such as awskms:ID; a file of such a name can be given as ./NAME."""
    return _URI.match(text) is not None


def remote_key(uri: str, public_pem: bytes, secret: Callable[[str], bytes | None]) -> RemoteKey:
    """The key at `uri`, whose public half is `public_pem`. `secret` is asked for a PIN when the signer wants one.

    Raises MissingDependencyError without securesystemslib; UsageError for an unknown scheme, for a signer that lacks
    its own client library, or that fails in any other way; VerificationError if the public key is not of a kind
    accepted here.
    """
    try:
        # Its documented names, though it lists none in __all__.
        from securesystemslib.signer import (
            SIGNER_FOR_URI_SCHEME,  # pyright: ignore[reportPrivateImportUsage]
            Signer,  # pyright: ignore[reportPrivateImportUsage]
            SSlibKey,  # pyright: ignore[reportPrivateImportUsage]
        )
    except ImportError as error:
        raise MissingDependencyError("keys that are named by a URI", "kms") from error
    scheme = uri.partition(":")[0]
    if scheme not in SIGNER_FOR_URI_SCHEME:
        known = ", ".join(f"{each}:" for each in sorted(SIGNER_FOR_URI_SCHEME))
        raise UsageError(f"no signer for {scheme}: keys; there are {known}", hint="a file is given as ./NAME")
    if scheme == "file2":
        _refuse_open_file(uri)
    public = load_public_key(public_pem)

    def answer(name: str) -> str:
        found = secret(name)
        if found is None:
            raise UsageError(f"the signer of {scheme}: wants a {name}, and none was given")
        return found.decode("utf-8")

    def sign(message: bytes) -> bytes:
        return bytes.fromhex(_guarded(lambda: signer.sign(message).signature, uri))

    signer = _guarded(lambda: Signer.from_priv_key_uri(uri, SSlibKey.from_crypto(public), answer), uri)
    return RemoteKey(public, sign)


def _refuse_open_file(uri: str) -> None:
    """The library reads key files without a look at their mode."""
    read_secret(Path(os.environ.get("CRYPTO_SIGNER_PATH_PREFIX", ""), urlsplit(uri).path), "private key")


def _guarded(call: Callable[[], _Result], uri: str) -> _Result:
    try:
        return call()
    except RefuteError:
        raise
    except Exception as error:  # the library names no common base: any client's error comes through
        raise UsageError(f"the key {uri} cannot sign: {type(error).__name__}: {error}") from error
