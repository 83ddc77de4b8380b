"""The verdict as one line, for chats, badges and a commit status."""

from __future__ import annotations

from refute.escaping import clip
from refute.judge.predicate.model import Predicate
from refute.report.view import view_of

# Characters: fits a message of any chat, and a commit status (140 is what GitHub shows of one).
LINE_LIMIT = 140
_DIGEST_SHOWN = 12


def verdict_line(predicate: Predicate, payload_sha256: str) -> str:
    """At most LINE_LIMIT characters of visible text: ruling, release, why, and the start of the payload digest."""
    view = view_of(predicate, payload_sha256)
    start = f"{view.word} {clip(predicate.release.id, 40)}: "
    end = f" (sha256 {clip(payload_sha256, 64)[:_DIGEST_SHOWN]})"
    return start + clip(view.because, LINE_LIMIT - len(start) - len(end)) + end
