"""Field types that files share (closed models, digests, ids, addresses, UTC times), and why a model refused a file."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from refute.errors import VerificationError

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ReleaseId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Closed(BaseModel):
    """A model of a file: unknown keys are errors, types are not coerced, values do not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


def first_fault(error: ValidationError) -> str:
    """The first thing that pydantic refused, as `key.of.the.field: why`; `the whole: why` where no field is named."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"


def http_address(text: str) -> str:
    """`text`, if it is the address of an HTTP server and may be shown to anybody.

    Raises ValueError, which does not repeat the text, for anything else: user, password, query or fragment.
    """
    if not _is_http(text):
        raise ValueError("this is no HTTP address, such as http://localhost:8000/v1")
    if any(sign in text for sign in "@?#"):
        raise ValueError(
            "an address becomes evidence, and must not carry a user, a password, a query or a fragment:"
            " put the key into an environment variable, and name that"
        )
    return text


def _is_http(text: str) -> bool:
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and parts.port != 0  # reading the port fails where it is no number
    except ValueError:
        return False
    return named and parts.scheme in ("http", "https") and text.isascii() and text.isprintable()


def environment_variable(text: str) -> str:
    """`text`, if it may name an environment variable. Raises ValueError, which does not repeat the text."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("expected the name of an environment variable that holds the key, and never the key itself")
    return text


def utc_now() -> str:
    """The time now, RFC 3339 in UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# RFC 7493 §2.2: beyond this, readers round differently.
MAX_SEQUENCE = 2**53 - 1
UtcTime = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")]
SequenceNumber = Annotated[int, Field(ge=1, le=MAX_SEQUENCE)]


def utc_text(moment: datetime) -> str:
    """`moment` as RFC 3339 in UTC, whole seconds; it must name its time zone."""
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def moment(text: str, what: str = "evaluated_at") -> datetime:
    """The time that `text` spells. Raises VerificationError unless it is RFC 3339 in UTC, whole seconds, with Z."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise contradictory(f"{what} {text!r} names no time zone")
        if utc_text(found) != text:
            raise contradictory(f"{what} {text!r} is not in UTC and whole seconds, as in 2026-01-31T12:00:00Z")
    except (ValueError, OverflowError) as error:
        raise contradictory(f"{what} {text!r} is no time") from error
    return found.astimezone(UTC)


def contradictory(message: str) -> VerificationError:
    """What to raise for signed content that contradicts itself."""
    return VerificationError(message, hint="it was not made by an honest `refute judge` of this version")
