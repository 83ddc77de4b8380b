"""The verdict in one line."""

from __future__ import annotations

from dataclasses import replace

from refute.judge.predicate.model import Predicate
from refute.report import verdict_line
from refute.report.line import LINE_LIMIT


def test_it_says_verdict_release_reason_and_digest(predicate: Predicate, payload: str) -> None:
    """Ruling first, then the release, why, and where to look it up."""
    line = verdict_line(predicate, payload)
    assert line.startswith("NO-GO embedded: 1 of 18 controls misbehaved")
    assert line.endswith(f"(sha256 {payload[:12]})")


def test_it_is_one_short_visible_line(predicate: Predicate, payload: str, hostile: str) -> None:
    """Whatever a release calls itself and whatever the reason says: one line, within the limit, no hidden character."""
    release = predicate.release.model_copy(update={"id": hostile * 9})
    verdict = replace(predicate.verdict, criteria=(), reasons=(hostile * 9,))
    line = verdict_line(predicate.model_copy(update={"release": release, "verdict": verdict}), payload)
    assert len(line) <= LINE_LIMIT
    assert line.isprintable()
    assert line.startswith("NO-GO ")
