"""Waivers: a named person lets one criterion pass for one subject until a date. Anything malformed is not applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from refute.release import Closed, Sha256

_UTC = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"
_Named = Annotated[str, Field(pattern=r"\S")]


class Waiver(Closed):
    """An exception for one criterion and one subject digest.

    `expires_at` is RFC 3339 in UTC, such as 2027-01-31T00:00:00Z.
    """

    criterion: _Named
    subject_sha256: Sha256
    approver: _Named
    reason: _Named
    expires_at: Annotated[str, Field(pattern=_UTC)]


class Waivers(Closed):
    """A waiver file."""

    waivers: tuple[Waiver, ...]


class Policy(Closed):
    """Who may waive. Empty `approvers` means that nobody may."""

    approvers: tuple[str, ...] = ()


def applicable(
    waivers: Sequence[Waiver], subject_sha256: str | None, at: datetime | None, policy: Policy | None
) -> Mapping[str, Waiver]:
    """The waivers in force for this subject at this moment, by criterion; none without a subject or a moment."""
    if subject_sha256 is None or at is None:
        return {}
    return {
        waiver.criterion: waiver
        for waiver in waivers
        if waiver.subject_sha256 == subject_sha256
        and at < _moment(waiver.expires_at)
        and (policy is None or waiver.approver in policy.approvers)
    }


def _moment(text: str) -> datetime:
    """The expiry as a moment; a date that does not exist (Feb 30) has always expired."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
