"""Signing by identity, through doubles of the services: whose word counts, and every way in which it does not."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from refute.attest import build_statement, open_envelope, verify_envelope
from refute.attest.keyless import Identity, key_of_identity, sign_by_identity
from refute.errors import MissingDependencyError, ServiceError, UnreadableInputError, UsageError, VerificationError
from sigstore_services import ISSUER, Services, serving, token

NAME = "https://ci.example/org/small/release.yml@refs/heads/main"
OURS = Identity(NAME, ISSUER)
STATEMENT = build_statement("small", "a" * 64, {"verdict": "GO"})
Content = dict[str, Any]


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    """Authority and logs of our own."""
    with serving(Services()) as started:
        yield started


@pytest.fixture(scope="module")
def trust(services: Services, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Where they are, and whom to believe of them."""
    return services.write(tmp_path_factory.mktemp("trust"))


@pytest.fixture(scope="module")
def bundle(services: Services, trust: tuple[Path, Path]) -> bytes:
    """The statement, signed in our name."""
    return sign_by_identity(STATEMENT, token(NAME), trust[0])


def test_a_statement_is_signed_logged_and_believed(services: Services, trust: tuple[Path, Path], bundle: bytes) -> None:
    """The key in the certificate is the one to verify the envelope by, as any other."""
    key = key_of_identity(bundle, OURS, trust[1])
    assert verify_envelope(open_envelope(bundle), [key])[1] == STATEMENT
    assert len(services.logged) == 1


@pytest.mark.parametrize(
    "other", [Identity("https://ci.example/fork", ISSUER), Identity(NAME, "https://other.example")]
)
def test_another_identity_or_issuer_is_refused(trust: tuple[Path, Path], bundle: bytes, other: Identity) -> None:
    """Whose certificate it is, is the whole point."""
    with pytest.raises(VerificationError, match="not signed by") as caught:
        key_of_identity(bundle, other, trust[1])
    assert caught.value.cause == "signature"


def test_an_identity_without_an_issuer_is_nobody() -> None:
    """Anybody has that name somewhere."""
    for name, issuer in ((NAME, ""), ("", ISSUER)):
        with pytest.raises(UsageError, match="a name and its issuer"):
            Identity(name, issuer)


def test_another_root_is_refused(bundle: bytes, tmp_path: Path) -> None:
    """Services of the same names, with keys of their own."""
    with serving(Services()) as strangers:
        _, root = strangers.write(tmp_path)
    with pytest.raises(VerificationError, match="not signed by"):
        key_of_identity(bundle, OURS, root)


def swap(content: Content, *, field: str) -> None:
    """A signature of somebody else where the log's or the signer's was."""
    entry = content["verificationMaterial"]["tlogEntries"][0]
    places: dict[str, tuple[Content, str]] = {
        "signature": (content["dsseEnvelope"]["signatures"][0], "sig"),
        "payload": (content["dsseEnvelope"], "payload"),
        "promise": (entry["inclusionPromise"], "signedEntryTimestamp"),
        "body": (entry, "canonicalizedBody"),
        "root": (entry["inclusionProof"], "rootHash"),
        "certificate": (content["verificationMaterial"]["certificate"], "rawBytes"),
    }
    holder, name = places[field]
    data = bytearray(base64.b64decode(holder[name]))
    data[len(data) // 2] ^= 1
    holder[name] = base64.b64encode(bytes(data)).decode()


@pytest.mark.parametrize("field", ["signature", "payload", "promise", "body", "root", "certificate"])
def test_one_bit_anywhere_is_refused(trust: tuple[Path, Path], bundle: bytes, field: str) -> None:
    """In the statement, the certificate, and each word of the log."""
    content: Content = json.loads(bundle)
    swap(content, field=field)
    with pytest.raises(VerificationError, match="not signed by"):
        key_of_identity(json.dumps(content).encode(), OURS, trust[1])


@pytest.mark.parametrize("change", [lambda m: m.pop("tlogEntries"), lambda m: m.update(publicKey={"hint": ""})])
def test_what_is_left_out_is_missed(
    trust: tuple[Path, Path], bundle: bytes, change: Callable[[Content], object]
) -> None:
    """No entry in the log, no certificate."""
    content: Content = json.loads(bundle)
    change(content["verificationMaterial"])
    if "publicKey" in content["verificationMaterial"]:
        del content["verificationMaterial"]["certificate"]
    with pytest.raises(VerificationError, match="not signed by"):
        key_of_identity(json.dumps(content).encode(), OURS, trust[1])


@pytest.mark.parametrize("path", ["/api/v2/signingCert", "/api/v1/log/entries"])
def test_a_service_that_refuses_is_named(services: Services, trust: tuple[Path, Path], path: str) -> None:
    """Nothing was signed then."""
    services.refuses.add(path)
    try:
        with pytest.raises(ServiceError, match="could not be signed by identity"):
            sign_by_identity(STATEMENT, token(NAME), trust[0])
    finally:
        services.refuses.clear()


@pytest.mark.parametrize("wrong", ["nonsense", token(NAME, lasts=timedelta(hours=-1))])
def test_a_token_that_is_none_or_is_over_is_refused(trust: tuple[Path, Path], wrong: str) -> None:
    """Before anybody is told of it."""
    with pytest.raises(UsageError, match="the identity token cannot be used"):
        sign_by_identity(STATEMENT, wrong, trust[0])


def test_without_an_identity_nothing_is_signed(trust: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a job that has one; files that are none are named."""
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda: None)
    with pytest.raises(UsageError, match="there is no identity to sign by"):
        sign_by_identity(STATEMENT, None, trust[0])
    for absent in (trust[0].parent, trust[0] / "absent"):
        with pytest.raises(UnreadableInputError):
            sign_by_identity(STATEMENT, token(NAME), absent)
        with pytest.raises(UnreadableInputError):
            key_of_identity(b"", OURS, absent)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways."""
    for name in ("sigstore.dsse", "sigstore.models"):
        monkeypatch.setitem(sys.modules, name, None)
    calls: list[Callable[[], bytes]] = [
        lambda: sign_by_identity(STATEMENT, "x"),
        lambda: key_of_identity(b"", OURS),
    ]
    for call in calls:
        with pytest.raises(MissingDependencyError) as caught:
            call()
        assert caught.value.hint == "pip install 'refute[sigstore]'"
