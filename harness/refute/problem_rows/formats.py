"""Rows of other benchmarks' problem files as HumanEval's: EvalPlus's inputs, and MBPP's task with its assertions."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from typing import Any

from refute.problem_rows.evalplus import evalplus_row
from refute.problem_rows.mbpp import mbpp_row

_GZIP = b"\x1f\x8b"
_INPUTS = "base_input"


def as_humaneval(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with HumanEval's fields, whichever benchmark it is of. Raises ValueError, which says what it lacks."""
    if "test_list" in row and "code" in row:
        return {**row, **mbpp_row(row)}
    if _INPUTS in row and "test" not in row:
        return evalplus_row(row)
    return row


def humaneval_rows(data: bytes) -> list[Mapping[str, Any]]:
    """The rows of a problem file, lines of JSON or one array, plain or gzip, `as_humaneval`.

    Raises ValueError, which says what was found, for a file that is none, and for a row that is no object.
    """
    try:
        text = (gzip.decompress(data) if data.startswith(_GZIP) else data).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"gzip that is cut or damaged: {error}") from error
    array = text.lstrip().startswith("[")
    rows = json.loads(text) if array else [json.loads(line) for line in text.split("\n") if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a row is no JSON object")
    return [as_humaneval(row) for row in rows]


def published(row: Mapping[str, Any]) -> list[Any]:
    """What a row `as_humaneval` has as text by its file: prompt and solution, and a test that is not made of inputs.

    Raises KeyError where one is missing.
    """
    return [row["prompt"], row["canonical_solution"], *([] if _INPUTS in row else [row["test"]])]
