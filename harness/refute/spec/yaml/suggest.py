"""Did you mean …? The closest known word, for the end of an error message."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(word: str, known: Iterable[str]) -> str:
    """Text to put behind "unknown … `word`": the closest of `known`, or all of them when none is close.

    Starts with "; " and is empty when nothing is known.
    """
    words = sorted(set(known))
    return close_to(word, words) or (f"; known: {', '.join(f'`{each}`' for each in words)}" if words else "")


def close_to(word: str, known: Iterable[str]) -> str:
    """The same where one of `known` is close, else nothing."""
    close = get_close_matches(word, sorted(set(known)), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""
