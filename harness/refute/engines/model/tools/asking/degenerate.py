"""When a text is none: empty, made of what no text is made of, or the same few words over and over."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

# Of runs of three ids, the share that must be different, in answers of so many ids; greedy prose of small models
# repeats itself, and stays well above.
_LEAST_DISTINCT, _SHORTEST = 0.3, 16
_BLANK = frozenset("\n\r\t")


def degenerate(ids: Sequence[int], text: str) -> str | None:
    """Why the answer is degenerate, in words; None where it is not. Short answers may repeat themselves.

    U+FFFD at the very end is a character of several tokens that the last one cut, and no fault.
    """
    if not ids:
        return "nothing was generated"
    if not text.strip():
        return f"{len(ids)} tokens were generated, and no text"
    if odd := sorted({each for each in text.rstrip("\ufffd") or text if _is_odd(each)}):
        return f"the text holds {odd[0]!a}, which is no character of a text"
    runs = list(zip(ids, ids[1:], ids[2:], strict=False))
    share = len(set(runs)) / max(len(runs), 1)
    if len(ids) >= _SHORTEST and share < _LEAST_DISTINCT:
        return f"of its runs of three tokens {share:.0%} are different, expected {_LEAST_DISTINCT:.0%} and more"
    return None


def _is_odd(character: str) -> bool:
    return character == "\ufffd" or (unicodedata.category(character) == "Cc" and character not in _BLANK)
