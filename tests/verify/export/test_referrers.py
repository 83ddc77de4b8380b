"""A verdict beside what it is about in a registry: found by its subject, pushed once, and refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from oci_registry import Registry, serving
from refute.errors import ServiceError, UsageError
from refute.verify.export.referrers import EMPTY, INDEX, TOKEN, push_referrer

KIND = "application/vnd.dev.sigstore.bundle.v0.3+json"
IMAGE = b'{"schemaVersion": 2}'


@pytest.fixture
def registry() -> Iterator[Registry]:
    """One that knows referrers."""
    with serving(Registry()) as started:
        yield started


def test_the_artefact_refers_to_its_subject(registry: Registry) -> None:
    """With the digest, size and media type of the manifest, and the bytes as its layer."""
    reference = registry.put(IMAGE)
    digest = push_referrer(f"oci://{reference}", b"bundle", KIND)
    (found,) = registry.referring_to(reference.partition("@")[2])
    assert (found["artifactType"], found["config"]["mediaType"], found["config"]["size"]) == (KIND, EMPTY, 2)
    assert found["subject"]["size"] == len(IMAGE)
    assert [registry.blobs[each["digest"]] for each in found["layers"]] == [b"bundle"]
    assert digest in registry.manifests


def test_pushed_again_it_is_the_same(registry: Registry) -> None:
    """Nothing is uploaded a second time."""
    reference = registry.put(IMAGE)
    first, uploads = push_referrer(reference, b"bundle", KIND), registry.uploads
    assert (push_referrer(reference, b"bundle", KIND), registry.uploads) == (first, uploads)


def test_an_older_registry_lists_it_under_the_subjects_tag(registry: Registry) -> None:
    """As the specification has clients do it; once, and beside what others listed."""
    registry.referrers = False
    reference = registry.put(IMAGE)
    tag = reference.partition("@")[2].replace(":", "-")
    pushed = [push_referrer(reference, content, KIND) for content in (b"one", b"two", b"one")]
    kind, content = registry.manifests[tag]
    listed = [each["digest"] for each in json.loads(content)["manifests"]]
    assert (kind, listed, pushed[0]) == (INDEX, pushed[:2], pushed[2])


def test_a_token_is_told_to_who_asks(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the registry's own words are the reason."""
    registry.token = "told"  # noqa: S105  # of a registry that lives as long as this test
    reference = registry.put(IMAGE)
    with pytest.raises(ServiceError, match="status 401: authentication required") as caught:
        push_referrer(reference, b"bundle", KIND)
    assert TOKEN in caught.value.hint
    monkeypatch.setenv(TOKEN, "told")
    assert push_referrer(reference, b"bundle", KIND) in registry.manifests


@pytest.mark.parametrize("reference", ["", "host/name:tag", "host/name", f"host/a@sha256:{'a' * 63}", "a@sha256:"])
def test_what_names_no_manifest_by_digest_is_refused(reference: str) -> None:
    """A tag moves, and a verdict does not."""
    with pytest.raises(UsageError, match="names no manifest by its digest"):
        push_referrer(reference, b"bundle", KIND)


def test_a_registry_that_lies_or_is_not_there_is_named(registry: Registry) -> None:
    """No manifest, another one under this digest, no answer."""
    reference = registry.put(IMAGE)
    digest = reference.partition("@")[2]
    with pytest.raises(ServiceError, match="status 404: manifest unknown"):
        push_referrer(reference[:-4] + "0000", b"bundle", KIND)
    registry.manifests[digest] = INDEX, b"{}"
    with pytest.raises(ServiceError, match="has another manifest under"):
        push_referrer(reference, b"bundle", KIND)
    with pytest.raises(ServiceError, match="does not answer at"):
        push_referrer(f"127.0.0.1:9/name@{digest}", b"bundle", KIND)
    assert registry.uploads == 0
