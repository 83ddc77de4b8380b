"""Signatures that others have published: certificate, logs and statement hold under Sigstore's own trusted root, and
nothing of them can be changed."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import sigstore

from refute.attest.keyless import Identity, key_of_identity
from refute.attest.sigstore_bundle import MEDIA_TYPE, read_sigstore_bundle
from refute.errors import VerificationError

PUBLISHED = Path(__file__).with_name("published")
STORE = Path(sigstore.__file__).parent / "_store"
(PUBLIC,) = STORE.glob("*sigstore.dev/trusted_root.json")
(STAGING,) = STORE.glob("*sigstage.dev/trusted_root.json")
GITHUB = "https://token.actions.githubusercontent.com"
CIRCLE = "https://circleci.com/api/v2/projects/fdd9283f-e619-46af-8f9c-851f7d3e8b2b/pipeline-definitions"
SIGNERS = {
    "github.sigstore.json": Identity(
        "https://github.com/trailofbits/pypi-attestation-models/.github/workflows/release.yml@refs/tags/v0.0.4a2",
        GITHUB,
    ),
    "provenance.attestation.json": Identity(
        "https://github.com/trailofbits/pypi-attestations/.github/workflows/release.yml@refs/tags/v0.0.19", GITHUB
    ),
    "gitlab.attestation.json": Identity(
        "https://gitlab.com/facutuesca/gitlab-oidc-project//.gitlab-ci.yml@refs/heads/main", "https://gitlab.com"
    ),
    "circleci.attestation.json": Identity(
        f"{CIRCLE}/8e4f8ab2-8d7c-4827-9f15-de076d6d647f", "https://oidc.circleci.com"
    ),
    "staging.sigstore.json": Identity("william@yossarian.net", "https://github.com/login/oauth"),
}


def bundle(name: str) -> Any:
    """The bundle in a file; PEP 740 writes the same fields under names of its own."""
    content = json.loads((PUBLISHED / name).read_bytes())
    if "mediaType" in content:
        return content
    material, envelope = content["verification_material"], content["envelope"]
    return {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            "certificate": {"rawBytes": material["certificate"]},
            "tlogEntries": material["transparency_entries"],
        },
        "dsseEnvelope": {
            "payload": envelope["statement"],
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": envelope["signature"]}],
        },
    }


def encoded(content: Any) -> bytes:
    """As a file holds it."""
    return json.dumps(content).encode()


@pytest.mark.parametrize("name", SIGNERS)
def test_a_published_signature_holds(name: str) -> None:
    """It is the file of the README; both readers take it, and the identity is shown under the root of its instance."""
    data = (PUBLISHED / name).read_bytes()
    listed = (PUBLISHED / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"`{re.escape(name)}` .* `{hashlib.sha256(data).hexdigest()}`", listed)
    found = read_sigstore_bundle(encoded(bundle(name)))
    assert (len(found.certificates), found.logged) == (1, True)
    own, other = (STAGING, PUBLIC) if name.startswith("staging") else (PUBLIC, STAGING)
    assert key_of_identity(encoded(bundle(name)), SIGNERS[name], own).startswith(b"-----BEGIN PUBLIC KEY-----")
    with pytest.raises(VerificationError, match="not signed by"):
        key_of_identity(encoded(bundle(name)), SIGNERS[name], other)


def with_another_byte(text: str) -> str:
    """Base64 of the same length, whose middle byte is another."""
    raw = bytearray(base64.b64decode(text))
    raw[len(raw) // 2] ^= 1
    return base64.b64encode(raw).decode()


def places(value: Any, *path: str | int) -> list[tuple[str | int, ...]]:
    """Where in a bundle text or a number stands."""
    if isinstance(value, dict):
        return [place for name, inner in value.items() for place in places(inner, *path, name)]
    if isinstance(value, list):
        return [place for number, inner in enumerate(value) for place in places(inner, *path, number)]
    return [path]


def changed(content: Any, place: tuple[str | int, ...]) -> bytes:
    """The bundle with something else there; a number by far, for one proof may lead to the root of neighbouring sizes
    of a log, and the root is what the log has signed."""
    content = json.loads(encoded(content))
    *outer, last = place
    holder = content
    for step in outer:
        holder = holder[step]
    text = str(holder[last])
    try:
        holder[last] = with_another_byte(text) if len(text) > 12 else str(int(text) * 3 + 7)
    except ValueError:  # neither base64 nor a number
        holder[last] = text[:-2] + "?" + text[-1:]
    return encoded(content)


@pytest.mark.parametrize("name", SIGNERS)
def test_whatever_is_changed_in_it_is_noticed(name: str) -> None:
    """Certificate, entry of the log, proof, statement and signature, field by field."""
    content, root = bundle(name), STAGING if name.startswith("staging") else PUBLIC
    kept = []
    for place in places(content):
        try:
            key_of_identity(changed(content, place), SIGNERS[name], root)
            kept.append(place)
        except VerificationError:
            pass
    assert kept == []


@pytest.mark.parametrize("name", SIGNERS)
def test_nobody_else_signed_it(name: str) -> None:
    """Neither another identity of the same issuer nor the same name at another issuer."""
    who, root = SIGNERS[name], STAGING if name.startswith("staging") else PUBLIC
    for other in (Identity(f"{who.name}x", who.issuer), Identity(who.name, f"{who.issuer}/x")):
        with pytest.raises(VerificationError, match="not signed by"):
            key_of_identity(encoded(bundle(name)), other, root)
