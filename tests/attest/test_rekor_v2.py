"""Entries of Rekor version 2: what a log without a clock of its own says, and a timestamp authority beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from refute.attest import build_statement, open_envelope, read_sigstore_bundle, verify_envelope
from refute.attest.dsse import pre_authentication_encoding
from refute.attest.keyless import Identity, key_of_identity, sign_by_identity
from refute.errors import VerificationError
from sigstore_services import ISSUER, Services, serving, token
from timestamp_authority import Authority

NAME = "https://ci.example/org/small/release.yml@refs/heads/main"
OURS = Identity(NAME, ISSUER)
STATEMENT = build_statement("small", "a" * 64, {"verdict": "GO"})
Content = dict[str, Any]


@dataclass(frozen=True)
class Signed:
    """A bundle with an entry of version 2, the services that it is from, and the root that they are trusted under."""

    services: Services
    root: Path
    bundle: bytes

    def holds(self, content: Content) -> bool:
        """Whether OURS signed it."""
        try:
            key_of_identity(json.dumps(content).encode(), OURS, self.root)
        except VerificationError:
            return False
        return True

    def content(self) -> Content:
        """The bundle, to be changed."""
        content: Content = json.loads(self.bundle)
        return content


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    """By `sigstore`'s own client for version 2."""
    with serving(Services(rekor=2)) as services:
        config, root = services.write(tmp_path_factory.mktemp("trust"))
        yield Signed(services, root, sign_by_identity(STATEMENT, token(NAME), config))


def entry_of(content: Content) -> Content:
    """The log's entry in it."""
    (entry,) = content["verificationMaterial"]["tlogEntries"]
    assert isinstance(entry, dict)
    return entry


def test_an_entry_without_a_time_is_believed_by_a_clock_beside_it(signed: Signed) -> None:
    """The digest that was logged is of what DSSE signs, and no promise is there."""
    entry = entry_of(signed.content())
    assert (entry["kindVersion"], entry.get("inclusionPromise")) == ({"kind": "hashedrekord", "version": "0.0.2"}, None)
    assert read_sigstore_bundle(signed.bundle).timestamps
    key = key_of_identity(signed.bundle, OURS, signed.root)
    payload_type, payload = verify_envelope(open_envelope(signed.bundle), [key])
    body = json.loads(base64.b64decode(entry["canonicalizedBody"]))
    message = pre_authentication_encoding(payload_type, payload)
    digest = base64.b64decode(body["spec"]["hashedRekordV002"]["data"]["digest"])
    assert (payload, digest) == (STATEMENT, hashlib.sha256(message).digest())


def places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Where in a bundle text or a number stands."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, *path, key)
    else:
        yield path


def spoilt(text: str) -> Iterator[str]:
    """Another text of its kind: a number, or base64 with another first, middle or last byte; else other words."""
    if text.isdigit():
        yield str(int(text) + 1)
        return
    try:
        raw = base64.b64decode(text, validate=True)
        if len(raw) < 12:
            raise ValueError(text)
    except ValueError:
        yield text[:-1] + "?"
        return
    for number in (0, len(raw) // 2, len(raw) - 1):
        yield base64.b64encode(raw[:number] + bytes([raw[number] ^ 1]) + raw[number + 1 :]).decode()


def test_whatever_is_changed_is_noticed(signed: Signed) -> None:
    """Each field of bundle, entry, proof and checkpoint, and each left out."""
    kept = []
    for place in places(signed.content()):
        *outer, last = place
        for text in [None, *spoilt(str(reached(signed.content(), place)))]:
            content = signed.content()
            holder = reached(content, outer)
            if text is not None:
                holder[last] = text
            else:
                del holder[last]
            if signed.holds(content) and (text is not None or content != optional(signed.content())):
                kept.append((place, text))
    assert kept == []


def reached(content: Any, place: Any) -> Any:
    """What stands there."""
    for step in place:
        content = content[step]
    return content


def optional(content: Content) -> Content:
    """A bundle without the one hint that may be absent."""
    content["dsseEnvelope"]["signatures"][0].pop("keyid", None)
    return content


def of_another_digest(spec: Content) -> None:
    spec["data"]["digest"] = base64.b64encode(hashlib.sha256(b"another").digest()).decode()


def of_another_signature(spec: Content) -> None:
    spec["signature"]["content"] = base64.b64encode(b"0" * 70).decode()


def of_a_bare_key(spec: Content) -> None:
    verifier = spec["signature"]["verifier"]
    verifier["publicKey"] = verifier.pop("x509Certificate")


def of_another_kind_of_key(spec: Content) -> None:
    spec["signature"]["verifier"]["keyDetails"] = "PKIX_ECDSA_P384_SHA_384"


def of_another_hash(spec: Content) -> None:
    spec["data"]["algorithm"] = "SHA2_512"


@pytest.mark.parametrize(
    "change",
    [of_another_digest, of_another_signature, of_a_bare_key, of_another_kind_of_key, of_another_hash],
    ids=lambda change: change.__name__,
)
def test_an_entry_about_something_else_is_no_entry(signed: Signed, change: Callable[[Content], None]) -> None:
    """Though the log has it, and proves it: anybody may log what they like."""
    content = signed.content()
    spec = json.loads(base64.b64decode(entry_of(content)["canonicalizedBody"]))["spec"]["hashedRekordV002"]
    content["verificationMaterial"]["tlogEntries"] = [signed.services.entry({"hashedRekordV002": spec})]
    assert signed.holds(content)
    change(spec)
    content["verificationMaterial"]["tlogEntries"] = [signed.services.entry({"hashedRekordV002": spec})]
    assert not signed.holds(content)


@pytest.mark.parametrize(("kind", "version"), [("dsse", "0.0.2"), ("hashedrekord", "0.0.3"), ("intoto", "0.0.2")])
def test_other_kinds_are_refused_by_name(signed: Signed, kind: str, version: str) -> None:
    """`dsse` of version 0.0.2 was taken out of the log before it served anybody."""
    content = signed.content()
    entry = json.loads(base64.b64decode(entry_of(content)["canonicalizedBody"]))["spec"]["hashedRekordV002"]
    payload = base64.b64decode(content["dsseEnvelope"]["payload"])
    digest = {"algorithm": "SHA2_256", "digest": base64.b64encode(hashlib.sha256(payload).digest()).decode()}
    spec = {"dsseV002": {"payloadHash": digest, "signatures": [entry["signature"]]}}
    content["verificationMaterial"]["tlogEntries"] = [signed.services.entry(spec, kind, version)]
    with pytest.raises(VerificationError, match=f"{kind}/{version}|got {version}"):
        key_of_identity(json.dumps(content).encode(), OURS, signed.root)


def restamped(signed: Signed, clock: Authority, data: bytes | None = None) -> Content:
    """The bundle with the answer of `clock` about the signature, or about `data`."""
    content = signed.content()
    seen = base64.b64decode(content["dsseEnvelope"]["signatures"][0]["sig"]) if data is None else data
    stamp = base64.b64encode(clock.stamp(hashlib.sha256(seen).digest())).decode()
    material = content["verificationMaterial"]["timestampVerificationData"]
    material["rfc3161Timestamps"] = [{"signedTimestamp": stamp}]
    return content


def test_only_a_trusted_clock_says_when(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    """About the signature, while the certificate was valid; a time in the entry is nobody's word."""
    clock = signed.services.clock
    assert signed.holds(restamped(signed, clock))
    assert not signed.holds(restamped(signed, clock, STATEMENT))
    assert not signed.holds(restamped(signed, Authority()))
    for hours in (-1, 1):
        with monkeypatch.context() as patched:
            patched.setattr(clock, "clock", lambda hours=hours: datetime.now(UTC) + timedelta(hours=hours))
            assert not signed.holds(restamped(signed, clock))
    untimed = signed.content()
    del untimed["verificationMaterial"]["timestampVerificationData"]
    assert not signed.holds(untimed)
    entry_of(untimed)["integratedTime"] = str(int(datetime.now(UTC).timestamp()))
    assert not signed.holds(untimed)
    entry_of(untimed)["inclusionPromise"] = {"signedEntryTimestamp": base64.b64encode(b"0" * 70).decode()}
    assert not signed.holds(untimed)


def test_one_entry_is_one(signed: Signed) -> None:
    """None, two, or the first version's in the second's place."""
    content = signed.content()
    entry = entry_of(content)
    for entries in ([], [entry, entry]):
        content["verificationMaterial"]["tlogEntries"] = entries
        assert not signed.holds(content)
