"""What of a text is Python: its statements, and as many lines as are."""

from __future__ import annotations

import ast
from collections.abc import Sequence


def statements(code: str) -> list[ast.stmt]:
    """Those of `code`; none where it is no Python."""
    try:
        return ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def python_from(lines: Sequence[str]) -> str:
    """As many of the first lines as are Python and end where a line at the margin begins, or with the last."""
    end = len(lines)
    while end > 0:
        code = "\n".join(lines[:end])
        try:
            ast.parse(code)
        except SyntaxError as error:
            # What stands before the error may be whole; it says less where a string is never closed.
            end = min(end - 1, max((error.lineno or end) - 1, 0))
        except (ValueError, RecursionError, MemoryError):
            return ""
        else:
            behind = next((line for line in lines[end:] if line.strip()), "x")
            return "" if behind[0].isspace() else code
    return ""
