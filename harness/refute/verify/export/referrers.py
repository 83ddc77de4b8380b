"""A verdict in an OCI registry, beside the image or model that it is about: an artefact with that as its `subject`.

Image and distribution specifications 1.1: https://github.com/opencontainers/image-spec/blob/main/manifest.md and
https://github.com/opencontainers/distribution-spec/blob/main/spec.md. Where a registry has no referrers API, the index
under the tag that the specification names stands in for it.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from email.message import Message

from refute.attest import Json, canonical_json, parse_json, sha256_hex
from refute.errors import ServiceError, UsageError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
TOKEN = "REFUTE_REGISTRY_TOKEN"  # noqa: S105  # the name of the variable
_DOCKER = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_REFERENCE = re.compile(r"(?P<host>[A-Za-z0-9.-]+(?::[0-9]+)?)/(?P<name>[a-z0-9._/-]+)@(?P<digest>sha256:[0-9a-f]{64})")
_LOOPBACK = ("localhost", "127.0.0.1")
_LARGEST = 4 * 1024 * 1024  # of a manifest, as the distribution specification asks of registries


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of a registry; `digest` is the manifest that is spoken of."""

    host: str
    name: str
    digest: str

    @classmethod
    def parse(cls, reference: str) -> Repository:
        """`HOST/NAME@sha256:DIGEST`, with or without `oci://`. Raises UsageError for anything else, such as a tag."""
        found = _REFERENCE.fullmatch(reference.removeprefix("oci://"))
        if found is None:
            raise UsageError(
                f"{reference!a} names no manifest by its digest", hint="write it as HOST/NAME@sha256:DIGEST; tags move"
            )
        return cls(found["host"], found["name"], found["digest"])

    def url(self, place: str) -> str:
        """The address of `place` in the repository; without TLS on this machine alone."""
        scheme = "http" if self.host.partition(":")[0] in _LOOPBACK else "https"
        return f"{scheme}://{self.host}/v2/{self.name}/{place}"


def push_referrer(reference: str, artefact: bytes, media_type: str) -> str:
    """Put `artefact` beside the manifest that `reference` names, and return the digest of the artefact's own manifest.

    The same artefact gives the same digest. $REFUTE_REGISTRY_TOKEN is sent as a bearer token. Raises UsageError for a
    reference that is none, ServiceError where the registry does not have the manifest, answers otherwise than the
    specification has it, or cannot be reached.
    """
    repository = Repository.parse(reference)
    subject = _subject(repository)
    layer, config = _put_blob(repository, artefact, media_type), _put_blob(repository, b"{}", EMPTY)
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": media_type,
            "config": config,
            "layers": [layer],
            "subject": subject,
        }
    )
    descriptor = _descriptor(manifest, MANIFEST)
    digest = f"sha256:{sha256_hex(manifest)}"
    put = _call(repository, f"manifests/{digest}", "PUT", manifest, MANIFEST, (201,))
    if put.headers.get("oci-subject") != repository.digest:
        _list_under_tag(repository, {**descriptor, "artifactType": media_type})
    return digest


def _subject(repository: Repository) -> dict[str, Json]:
    found = _call(repository, f"manifests/{repository.digest}", "GET", accept=(MANIFEST, INDEX, *_DOCKER))
    if f"sha256:{sha256_hex(found.body)}" != repository.digest:
        raise ServiceError(f"{repository.host} has another manifest under {repository.digest}", hint="ask its operator")
    return _descriptor(found.body, found.headers.get("content-type", MANIFEST).partition(";")[0])


def _descriptor(data: bytes, media_type: str) -> dict[str, Json]:
    return {"mediaType": media_type, "digest": f"sha256:{sha256_hex(data)}", "size": len(data)}


def _put_blob(repository: Repository, data: bytes, media_type: str) -> dict[str, Json]:
    descriptor = _descriptor(data, media_type)
    digest = f"sha256:{sha256_hex(data)}"
    there = _call(repository, f"blobs/{digest}", "HEAD", expected=(200, 404))
    if there.status == 404:
        begun = _call(repository, "blobs/uploads/", "POST", b"", expected=(202,))
        place = begun.headers.get("location", "blobs/uploads/")
        mark = "&" if "?" in place else "?"
        _call(repository, f"{place}{mark}digest={digest}", "PUT", data, "application/octet-stream", (201,))
    return descriptor


def _list_under_tag(repository: Repository, descriptor: dict[str, Json]) -> None:
    """The fallback of the specification: an index of referrers, under the subject's digest as a tag."""
    tag = f"manifests/{repository.digest.replace(':', '-')}"
    found = _call(repository, tag, "GET", accept=(INDEX,), expected=(200, 404))
    index = parse_json(found.body, what="the list of referrers") if found.status == 200 else {}
    listed = index.get("manifests", []) if isinstance(index, dict) else None
    if not isinstance(listed, list):
        raise ServiceError(
            f"what {repository.host} lists as referrers of {repository.digest} is no index",
            hint="ask its operator whether it speaks OCI 1.1, or attach to another registry",
        )
    if descriptor not in listed:
        content: dict[str, Json] = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*listed, descriptor]}
        _call(repository, tag, "PUT", canonical_json(content), INDEX, (201,))


def _call(
    repository: Repository,
    place: str,
    method: str,
    data: bytes | None = None,
    media_type: str = "",
    expected: tuple[int, ...] = (200,),
    *,
    accept: tuple[str, ...] = (),
) -> _Answer:
    """What the registry answers at `place`, which it may have named itself. Only it is told the token."""
    url = urllib.parse.urljoin(repository.url(""), place)
    if not url.startswith(("https://", "http://")):
        raise ServiceError(
            f"the registry names {url!a} as the place to upload to",
            hint="attach to another registry: uploads leave its host on no account",
        )
    request = urllib.request.Request(url, data, method=method)  # noqa: S310  # above
    for name, value in (("Accept", ", ".join(accept)), ("Content-Type", media_type)):
        if value:
            request.add_header(name, value)
    if (token := os.environ.get(TOKEN)) and urllib.parse.urlsplit(url).netloc == repository.host:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    answer = _send(request)
    if answer.status not in expected:
        raise ServiceError(
            f"the registry answered {method} {url} with status {answer.status}{_reason(answer.body)}",
            hint=f"set ${TOKEN} where it wants a token" if answer.status in (401, 403) else "",
        )
    return answer


def _send(request: urllib.request.Request) -> _Answer:
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310  # its caller looked at the scheme
            return _Answer(reply.status, _lowered(reply.headers), reply.read(_LARGEST))
    except urllib.error.HTTPError as error:
        return _Answer(error.code, _lowered(error.headers), error.read(_LARGEST))
    except (OSError, ValueError) as error:
        raise ServiceError(
            f"the registry does not answer at {request.full_url}: {error}", hint="run the command again"
        ) from error


def _lowered(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _reason(body: bytes) -> str:
    """What the registry says is wrong, as the specification lays it out."""
    try:
        return f": {json.loads(body)['errors'][0]['message']}"
    except (ValueError, LookupError, TypeError):
        return ""
