"""Whether an engine refuses what it must."""

from __future__ import annotations

from collections.abc import Callable


def refuses(error: type[Exception], call: Callable[[], object]) -> bool:
    """Whether `call` raises `error`; any other exception goes on its way."""
    try:
        call()
    except error:
        return True
    return False
