"""The bytes of a server's answer as the JSON that they mean: unpacked, decoded, and the events of a stream as one."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

_GZIP = b"\x1f\x8b"
_STREAM = re.compile(r"\s*(?:data|event|id|retry)?:")
_DONE = "[DONE]"
# What a delta adds to, of a chat and of a bare completion.
_GROWING = ("content", "text", "reasoning_content", "reasoning")


def read_json(data: bytes, charset: str | None) -> object:
    """The JSON in `data`, which may be packed by gzip or streamed though nobody asked for it.

    UTF-8 is tried before the `charset` that the server declared: some declare one and send the other. Raises ValueError
    for what is no JSON, and for a stream that ends before its answer.
    """
    try:
        plain = gzip.decompress(data) if data.startswith(_GZIP) else data
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"gzip that was cut or damaged: {error}") from error
    text = _decoded(plain, charset)
    return _joined(text) if _STREAM.match(text) else json.loads(text)


def _decoded(data: bytes, charset: str | None) -> str:
    try:
        return data.decode(json.detect_encoding(data))
    except UnicodeDecodeError:
        try:
            return data.decode(charset or "utf-8")
        except LookupError as error:
            raise ValueError(f"an unknown character set: {charset}") from error


def _joined(text: str) -> Mapping[str, Any]:
    """The answer whose pieces are the events of `text`: the first choice's deltas, one behind the other."""
    events = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
    whole: dict[str, Any] = {}
    said: dict[str, str] = {}
    reason = None
    for chunk in (json.loads(event) for event in events if event and event != _DONE):
        if not isinstance(chunk, dict):
            raise ValueError(f"a stream with an event that is no object: {chunk!r:.40}")
        whole |= {key: value for key, value in chunk.items() if value is not None}
        choice: Mapping[str, Any] = next(iter(chunk.get("choices") or ()), {})
        delta = choice.get("delta", choice)
        for key in _GROWING:
            said[key] = f"{said.get(key, '')}{delta.get(key) or ''}"
        reason = choice.get("finish_reason") or reason
    if reason is None and _DONE not in events and "error" not in whole:
        raise ValueError("a stream that ends before its answer")
    put_together = {"message": said, "text": said.get("text") or said.get("content"), "finish_reason": reason}
    return {**whole, **({} if "error" in whole else {"choices": [put_together]})}
