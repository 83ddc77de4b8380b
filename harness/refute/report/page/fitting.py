"""Markdown that a comment can hold: whole parts are left out, and named, when it would be too long."""

from __future__ import annotations

# GitHub refuses a comment that is longer (HTTP 422).
MARKDOWN_LIMIT = 65_536

# Room kept for the line that names what was left out: 15 titles of 80 characters, and words.
_NOTE_ROOM = 2_000


def fit(parts: list[str], room: int | None = None) -> str:
    """The parts in order within MARKDOWN_LIMIT characters, and `room` bytes if given; what does not fit is named.

    The first, which must be short, always stays.
    """
    whole = "\n\n".join(parts) + "\n"
    if _fits(whole, 0, room):
        return whole
    head, kept, left_out = parts[0], list[str](), list[str]()
    for part in parts[1:]:
        (kept if _fits("\n\n".join([head, *kept, part]), _NOTE_ROOM, room) else left_out).append(part)
    return "\n\n".join([head, _left_out(left_out), *kept]) + "\n"


def _fits(text: str, spare: int, room: int | None) -> bool:
    """Whether it fits with `spare` characters to come, of up to 4 bytes each."""
    if len(text) + spare > MARKDOWN_LIMIT:
        return False
    return room is None or len(text.encode("utf-8")) + 4 * spare <= room


def _left_out(parts: list[str]) -> str:
    titles = [part.partition("\n")[0].lstrip("# ") for part in parts]
    named = "; ".join(title[:80] for title in titles[:15])
    more = f"; and {len(titles) - 15} more" if len(titles) > 15 else ""
    why = f"**Left out to stay within {MARKDOWN_LIMIT} characters:**"
    return f"{why} {named}{more}. report.html has everything."
