"""What a verdict can be handed on as, and how those files are called."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """A format of other people's tools."""

    SIGSTORE = "sigstore"
    VSA = "vsa"
    TEST_RESULT = "test-result"
    PREDICATE = "predicate"


SUFFIXES = {
    Format.SIGSTORE: "sigstore.json",
    Format.VSA: "vsa.intoto.json",
    Format.TEST_RESULT: "test-result.intoto.json",
    Format.PREDICATE: "predicate.json",
}
