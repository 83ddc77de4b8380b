"""Keeps progress bars of third parties off the console, but nothing that explains a failure."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without_progress_bars() -> Iterator[None]:
    """Hold back what the block writes to `sys.stderr`; if the block raises, write it there after all.

    Logging handlers that exist already keep their stream, so warnings of a library that was imported before
    still appear. Import it first: a handler made inside the block would write into the void afterwards.
    """
    held = io.StringIO()
    try:
        with contextlib.redirect_stderr(held):
            yield
    except BaseException:
        sys.stderr.write(held.getvalue())
        raise
